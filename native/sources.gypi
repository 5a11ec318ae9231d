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
      "native/ops/attention.cpu.cc",
      "native/ops/attention_grad.cpu.cc",
      "native/ops/kernels.cpu.cc",
      "native/ops/rms_norm.cpu.cc",
      "native/ops/rotary.cpu.cc",
      "native/ops/sample.cpu.cc"
    ]
  }
}
