{
  "variables": {
    "core_sources": [
      "native/binding/device.cc",
      "native/binding/environment.cc",
      "native/binding/module.cc",
      "native/core/pool.cc",
      "native/core/stream.cc",
      "native/cpu/exec.cc",
      "native/ops/isa.cc"
    ],
    "cpu_sources": [
      "native/ops/dora_norm.cpu.cc",
      "native/ops/grouped_matmul.cpu.cc",
      "native/ops/kernels.cpu.cc",
      "native/ops/linear_cross_entropy.cpu.cc",
      "native/ops/matmul.cpu.cc",
      "native/ops/rms_norm.cpu.cc",
      "native/ops/scale_rows.cpu.cc"
    ]
  }
}
