import { copyFileSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { whyNoDriver } from "../../lib/core/cuda_probe.ts";
import { cudaEnginePaths } from "../../lib/core/native.ts";
import { child, url } from "../support/child.ts";
import { works } from "../support/cli.ts";
import { childWithDriverFile, library, packageWithCpu, whyNoDriverFile } from "../support/fake_cuda.ts";
import { tempDir } from "../support/temp_dir.ts";

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

  describe("a driver that", () => {
    const cases: [string, string | number, RegExp][] = [
      [
        "doesn't work",
        999,
        /answers with error 999: unknown error\. nvidia-smi shows whether it works at all/,
      ],
      ["isn't ready", 802, /error 802: .*nvidia-fabricmanager/],
      ["differs in version from its module", 803, /error 803: .*reboot after an update/],
      ["finds no device", 100, /the NVIDIA driver finds no device\. CUDA_VISIBLE_DEVICES/],
      [
        "is no library",
        "no library",
        /driver's library does not load: .*libcuda\.so\.1: .*NVIDIA_DRIVER_CAPABILITIES=/,
      ],
      [
        "has no library",
        "",
        /driver's library does not load: libcuda\.so\.1: cannot open .*NVIDIA_DRIVER_CAPABILITIES=/,
      ],
    ];
    test.runIf(noDriver).for(cases)(
      "%s: the reason, and what to do",
      async ([, driver, message], { skip }) => {
        if (whyNoDriverFile) skip(whyNoDriverFile);
        const { root, built } = packageWithCpu();
        mkdirSync(path.dirname(built), { recursive: true });
        copyFileSync(file, built);
        const libcuda = path.join(tempDir(), "libcuda.so.1");
        if (typeof driver === "number") library(libcuda, "", driverWith(driver));
        else if (driver) writeFileSync(libcuda, driver);
        const script = `
        import { device } from ${JSON.stringify(path.join(root, "dist/core/device.mjs"))};
        await device("cuda").catch((error) => console.log(error.message));
        console.log((await device("auto")).name);`;
        const { code, out } = await childWithDriverFile(script, {
          env: { LD_LIBRARY_PATH: path.dirname(libcuda) },
        });
        expect([code, out]).toEqual([0, expect.stringMatching(message)]);
        expect(out).toMatch(/\ncpu\n$/);
      },
    );
  });
});

/** The part of libcuda that is asked for devices, with what cuInit returns. */
const driverWith = (status: number) => `
  int cuInit(unsigned flags) { return ${status}; }
  int cuDriverGetVersion(int* version) { *version = 13000; return 0; }
  int other(void) { return 999; }
  int cuGetProcAddress_v2(const char* name, void** found, int version, unsigned long long flags, int* status) {
    if (status) *status = 0;
    *found = !strcmp(name, "cuInit") ? (void*)cuInit : !strcmp(name, "cuDriverGetVersion") ? (void*)cuDriverGetVersion
           : !strcmp(name, "cuGetProcAddress") ? (void*)cuGetProcAddress_v2 : (void*)other;
    return 0;
  }
  int cuGetProcAddress(const char* name, void** found, int version, unsigned long long flags) {
    return cuGetProcAddress_v2(name, found, version, flags, 0);
  }`;
