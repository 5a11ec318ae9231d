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
      "native/ops/adamw.cpu.cc",
      "native/ops/dropout.cpu.cc",
      "native/ops/kernels.cpu.cc",
      "native/ops/lion.cpu.cc",
      "native/ops/random.cpu.cc",
      "native/ops/rms_norm.cpu.cc",
      "native/ops/sgd.cpu.cc",
      "native/ops/sum_squares.cpu.cc"
    ]
  }
}
