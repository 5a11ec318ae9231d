import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { whyNoDriver } from "../../lib/core/cuda_probe.ts";
import { cudaEnginePaths } from "../../lib/core/native.ts";
import { runTool } from "../support/run_tool.ts";
import { tempDir } from "../support/temp_dir.ts";

const root = path.resolve(import.meta.dirname, "../..");
const bundle = path.join(root, "build-cuda/bundle");
const emulated = path.join(root, "build/emulated/mixwright.node");
const interpreter = process.env.MIXWRIGHT_PEERS_PYTHON ?? "python3";
const possible =
  process.platform === "linux" &&
  process.arch === "x64" &&
  whyNoDriver() !== "" &&
  existsSync(cudaEnginePaths(root)[0]!) &&
  spawnSync("xz", ["--version"]).status === 0;

function runBundle(words: readonly string[], env: NodeJS.ProcessEnv) {
  const options = { env: { TMPDIR: tempDir(), ...env }, encoding: "utf8" } as const;
  return spawnSync("sh", [path.join(bundle, "run.sh"), ...words], options);
}

test.runIf(possible)(
  "the bundle for machines with a GPU says here that there is no device; its tests run",
  {
    timeout: 900_000,
  },
  () => {
    runTool(process.execPath, ["--import", "tsx", "scripts/gpu_bundle.ts"], { cwd: root });
    expect(statSync(path.join(bundle, "payload.tar.xz")).size).toBeLessThan(60e6);

    const { status, stdout, stderr } = runBundle([], { PATH: "/usr/bin:/bin" });
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

test.runIf(possible)("the bundle is unpacked by Python where there is no xz", ({ skip }) => {
  if (spawnSync("python3", ["-c", "import lzma"]).status !== 0) skip("not found: python3 with lzma");
  const tools = path.join(tempDir(), "bin");
  mkdirSync(tools);
  for (const tool of ["sh", "dirname", "mktemp", "rm", "tar"])
    symlinkSync(runTool("sh", ["-c", `command -v ${tool}`]).trim(), path.join(tools, tool));
  const python = runTool("python3", ["-c", "import sys; print(sys.executable)"]).trim();
  symlinkSync(python, path.join(tools, "python3"));
  const { status, stdout } = runBundle([], { PATH: tools });
  expect(status).toBe(2);
  expect(stdout).toContain("There is no device");
});

// The whole way on an emulated device (test/cuda/emulated.test.ts builds it), against PyTorch on the CPU where that is installed.
test.runIf(possible)(
  "the bundle's report on training and peers is written as it goes",
  { timeout: 900_000 },
  ({ skip }) => {
    if (!existsSync(emulated)) skip(`not found: ${emulated}`);
    const out = path.join(tempDir(), "out");
    const { PATH } = process.env;
    const { status, stdout } = runBundle(
      ["--small", "--only", "train,peers", "--limit", "800", "--out", out],
      {
        ...{
          PATH,
          MIXWRIGHT_ENGINE: emulated,
          MIXWRIGHT_PEERS_PYTHON: interpreter,
          MIXWRIGHT_PEERS_DEVICE: "cpu",
        },
      },
    );
    expect(stdout).toContain("All well.");
    expect(status).toBe(0);
    const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");
    expect(lines(readFileSync(path.join(out, "report.md"), "utf8"))).toEqual(lines(stdout));
    for (const title of ["bf16, on both devices", "The quickstart", "| G12 | step", "peers: "])
      expect(stdout).toContain(title);
    const raw = readFileSync(path.join(out, "raw.jsonl"), "utf8").trim().split("\n");
    const kept = raw.map((line) => JSON.parse(line) as { figure?: string });
    expect(new Set(kept.map(({ figure }) => figure?.split(".")[0])).size).toBe(13); // G1 to G12, and what has none
  },
);
