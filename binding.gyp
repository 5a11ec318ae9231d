{
  "includes": ["native/sources.gypi"],
  "variables": {
    "kernel_flags": ["-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
  },
  "target_defaults": {
    "include_dirs": ["native"],
    "cflags!": ["-fno-exceptions"],
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
    "cflags_cc": ["-std=c++17", "-Wall", "-Wextra", "-Wno-psabi", "-Wno-ignored-attributes", "-fvisibility=hidden"],
    "xcode_settings": {
      "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
      "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
      "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
      "MACOSX_DEPLOYMENT_TARGET": "11.0"
    }
  },
  "targets": [
    {
      "target_name": "kernels_baseline",
      "type": "static_library",
      "sources": ["<@(cpu_sources)"],
      "defines": ["MW_ISA=baseline", "MW_LANES=4"],
      "cflags_cc": ["<@(kernel_flags)"]
    },
    {
      "target_name": "mixwright",
      "sources": ["<@(core_sources)"],
      "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_CPP_EXCEPTIONS_ALL"],
      "dependencies": ["kernels_baseline"],
      "conditions": [
        ["target_arch=='x64'", {
          "defines": ["MW_HAS_X86"],
          "dependencies": ["kernels_avx2", "kernels_avx512"]
        }],
        ["OS=='linux'", { "ldflags": ["-Wl,--gc-sections,--exclude-libs,libstdc++.a", "-static-libstdc++"] }]
      ]
    }
  ],
  "conditions": [
    ["target_arch=='x64'", {
      "targets": [
        {
          "target_name": "kernels_avx2",
          "type": "static_library",
          "sources": ["<@(cpu_sources)"],
          "defines": ["MW_ISA=avx2", "MW_LANES=8"],
          "cflags_cc": ["<@(kernel_flags)", "-mavx2", "-mfma", "-mf16c"]
        },
        {
          "target_name": "kernels_avx512",
          "type": "static_library",
          "sources": ["<@(cpu_sources)"],
          "defines": ["MW_ISA=avx512", "MW_LANES=16"],
          "cflags_cc": ["<@(kernel_flags)", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx2", "-mfma", "-mf16c", "-mprefer-vector-width=512"]
        }
      ]
    }]
  ]
}
