{
  "variables": {
    "core_sources": [
      "native/binding/device.cc",
      "native/binding/environment.cc",
      "native/binding/module.cc",
      "native/core/checks.cc",
      "native/core/pool.cc",
      "native/core/stream.cc",
      "native/cpu/exec.cc",
      "native/ops/isa.cc"
    ],
    "cpu_sources": [
      "native/ops/adamw.cpu.cc",
      "native/ops/add.cpu.cc",
      "native/ops/attention.cpu.cc",
      "native/ops/combine_rows.cpu.cc",
      "native/ops/dora_compose.cpu.cc",
      "native/ops/dropout.cpu.cc",
      "native/ops/gather_rows.cpu.cc",
      "native/ops/kernels.cpu.cc",
      "native/ops/lion.cpu.cc",
      "native/ops/random.cpu.cc",
      "native/ops/rms_norm.cpu.cc",
      "native/ops/rotary.cpu.cc",
      "native/ops/router.cpu.cc",
      "native/ops/router_loss.cpu.cc",
      "native/ops/sample.cpu.cc",
      "native/ops/segment_sum.cpu.cc",
      "native/ops/sgd.cpu.cc",
      "native/ops/sigmoid_gate.cpu.cc",
      "native/ops/sort_by_expert.cpu.cc",
      "native/ops/sum_squares.cpu.cc",
      "native/ops/swiglu.cpu.cc"
    ]
  }
}
