import { expect, test } from "vitest";
import { cudaDevices } from "../../lib/core/native.ts";
import { child, url } from "../support/child.ts";

// The emulated device counts the waits of threads that launch kernels (test/native/cuda/runtime.cc).
const emulated = cudaDevices().devices[0]?.name === "emulated";

/** How often the thread that launches waits for the device in a run of so many steps, whose metrics are read one step late. */
async function waits(steps: number, betweenSteps = ""): Promise<number> {
  const { code, out } = await child(
    `
    import { device } from ${url("lib/core/device.ts")};
    import { pretrain } from ${url("lib/train/pretrain.ts")};
    import { tinyData, tinyMoe, tinyOptimizer } from ${url("test/support/tiny_run.ts")};
    const dev = await device("cuda");
    const model = tinyMoe(dev);
    for await (const m of pretrain({ model, data: tinyData(), optimizer: tinyOptimizer(), steps: ${steps}, auxLossCoef: 0.01 })) {
      if (!Number.isFinite(m.loss + m.gradNorm + m.auxLoss)) throw new Error(JSON.stringify(m));
      ${betweenSteps}
    }
    await dev.ready();
    dev.close();`,
    { env: { EMULATED_WAITS: "1" } },
  );
  const said = /emulator: a thread that launches has waited (\d+) times/.exec(out);
  expect([code, said?.length], out).toEqual([0, 2]);
  return Number(said![1]);
}

test.runIf(emulated)(
  "training: neither reads, fences nor uploads make the thread that launches wait",
  async () => {
    const [few, more, fenced, whole] = await Promise.all([
      waits(3),
      waits(9),
      waits(9, "await dev.ready({ behind: 1 });"),
      waits(9, "for (const w of Object.values(model.params)) w.bytesData();"),
    ]);
    expect([more, fenced, whole]).toEqual([few, few, few]); // scratch memory grows in the first step
  },
);
