import { existsSync, statSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { whyNoDriver } from "../../lib/core/cuda_probe.ts";
import { cudaEnginePaths } from "../../lib/core/native.ts";
import { child, url } from "../support/child.ts";
import { works } from "../support/cli.ts";

const file = cudaEnginePaths()[0]!;
const noDriver = whyNoDriver() !== "";
const env = { MIXWRIGHT_ENGINE: "cuda" };

// npm run build:cuda makes it, where there are nvcc and cmake.
describe.runIf(existsSync(file))("the CUDA engine", () => {
  test("is below 20 MB", () => {
    expect(statSync(file).size).toBeLessThan(20e6);
  });

  test.runIf(noDriver)("loads without a driver, says so, and computes on the CPU", async () => {
    const { code, out } = await child(
      `
      import { cudaDevices, engineFile } from ${url("lib/core/native.ts")};
      import { device } from ${url("lib/core/device.ts")};
      console.log(path.basename(engineFile()), JSON.stringify(cudaDevices()));
      import path from "node:path";
      await device("cuda").catch((error) => console.log(error.message));
      const dev = await device("auto");
      console.log(dev.name, await dev.full([1], 3).item());`,
      { env },
    );
    expect([code, out.trim().split("\n")]).toEqual([
      0,
      [
        'mixwright_cuda.node {"devices":[],"built":true,"reason":"no NVIDIA driver was found"}',
        expect.stringMatching(
          /^device: "cuda" was asked for, no NVIDIA driver was found\. Install NVIDIA's driver, 580 or newer/,
        ),
        "cpu 3",
      ],
    ]);
  });

  test.runIf(noDriver)("doctor tells that it is built, and why there is no device", async () => {
    for (const engine of ["", "cuda"]) {
      const { CUDA } = JSON.parse(await works(["doctor", "--json"], { env: { MIXWRIGHT_ENGINE: engine } }));
      expect(CUDA).toMatchObject({ devices: [] });
      expect(CUDA.value).toContain(
        `built (${path.resolve(file)}), no device: no NVIDIA driver was found. Install`,
      );
    }
  });
});
