import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { whyNoDriver } from "../../lib/core/cuda_probe.ts";
import { cudaEnginePaths } from "../../lib/core/native.ts";
import { runTool } from "../support/run_tool.ts";
import { tempDir } from "../support/temp_dir.ts";

const root = path.resolve(import.meta.dirname, "../..");
const bundle = path.join(root, "build-cuda/bundle");
const possible =
  process.platform === "linux" &&
  process.arch === "x64" &&
  whyNoDriver() !== "" &&
  existsSync(cudaEnginePaths(root)[0]!) &&
  spawnSync("xz", ["--version"]).status === 0;

test.runIf(possible)(
  "the bundle for machines with a GPU says here that there is no device; its tests run",
  {
    timeout: 900_000,
  },
  () => {
    runTool(process.execPath, ["--import", "tsx", "scripts/gpu_bundle.ts"], { cwd: root });
    expect(statSync(path.join(bundle, "payload.tar.xz")).size).toBeLessThan(60e6);

    const env = { PATH: "/usr/bin:/bin", TMPDIR: tempDir() };
    const { status, stdout, stderr } = spawnSync("sh", [path.join(bundle, "run.sh")], {
      env,
      encoding: "utf8",
    });
    expect([status, stderr]).toEqual([2, ""]);
    expect(stdout).toContain("There is no device: no NVIDIA driver was found. Install NVIDIA's driver");

    const folder = tempDir();
    runTool("sh", ["-c", `xz -dc ${bundle}/payload.tar.xz | tar -x -C ${folder}`]);
    for (const file of ["ops/rms_norm", "train/oracle"]) {
      const words = ["app/scripts/gpu/run_tests.js", `app/test/${file}.test.js`];
      const said = runTool("./node", words, {
        cwd: folder,
        env: { MIXWRIGHT_ENGINE: "cuda", MIXWRIGHT_TEST_DEVICE: "cpu" },
      });
      expect(said).toMatch(/^\{"passed":[1-9]\d*,"skipped":0,"failures":\[\]\}$/m);
    }
  },
);
