/** Where kernels are tested: "cpu", or what MIXWRIGHT_TEST_DEVICE names ("cuda": a GPU, or the emulated engine's). */
export const testDevice = process.env.MIXWRIGHT_TEST_DEVICE ?? "cpu";
