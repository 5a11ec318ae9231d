import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { findToolkit } from "../../scripts/cuda_toolkit.ts";
import { tempDir } from "../support/temp_dir.ts";

const root = path.resolve(import.meta.dirname, "../..");

/** A folder for PATH with these programs, each a shell script. */
function programs(scripts: Record<string, string>): string {
  const folder = tempDir();
  for (const [name, script] of Object.entries(scripts)) {
    writeFileSync(path.join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(path.join(folder, name), 0o755);
  }
  return folder;
}
const nvcc = (release: string) =>
  `[ "$1" = --version ] && echo "release ${release}, V${release}.0"; [ "$1" = --list-gpu-arch ] && printf 'compute_75\\ncompute_80\\ncompute_90\\n'; :`;
const cmake = ":";

describe("before anything is compiled", () => {
  const cases: [string, Record<string, string>, Record<string, string>, RegExp][] = [
    [
      "an nvcc that fails",
      { nvcc: "echo no licence >&2; exit 3", cmake },
      {},
      /^nvcc --version ended with 3: no licence\. CUDACXX=/,
    ],
    [
      "an nvcc that is too old",
      { nvcc: nvcc("11.8"), cmake },
      {},
      /^nvcc is of version 11.8, 13.0 or newer was needed\. CUDACXX=/,
    ],
    [
      "CUDACXX that isn't there",
      { nvcc: nvcc("13.0"), cmake },
      { CUDACXX: "/no/nvcc" },
      /^\/no\/nvcc not found\. CUDACXX=/,
    ],
    ["no cmake", { nvcc: nvcc("13.0") }, {}, /^cmake not found .*Install it/],
    [
      "75",
      { nvcc: nvcc("13.0"), cmake },
      { CUDAARCHS: "80;75" },
      /^CUDAARCHS has "75", needed are 80 or more as nvcc knows it \(75 80 90\)/,
    ],
    [
      "an architecture nvcc doesn't know",
      { nvcc: nvcc("13.0"), cmake },
      { CUDAARCHS: "95-real" },
      /^CUDAARCHS has "95-real"/,
    ],
    [
      "an architecture in another spelling",
      { nvcc: nvcc("13.0"), cmake },
      { CUDAARCHS: "sm_90" },
      /^CUDAARCHS has "sm_90"/,
    ],
    [
      "native without a GPU",
      { nvcc: nvcc("13.0"), cmake },
      { CUDAARCHS: "native" },
      /nvidia-smi shows no GPU here\. Name its capability: CUDAARCHS=90/,
    ],
  ];
  test.each(cases)("%s is refused, with a way out", (_, tools, env, message) => {
    expect(() => findToolkit({ PATH: programs(tools), ...env })).toThrow(message);
  });

  test("what is taken: all architectures, those of CUDAARCHS, those of this machine's GPUs; CUDACXX before PATH", () => {
    const smi = { "nvidia-smi": "echo 9.0; echo 8.0; echo 9.0" };
    const PATH = programs({ nvcc: nvcc("13.0"), cmake, ...smi });
    const all = { nvcc: "nvcc", architectures: "80-real;86-real;89-real;90-real;90-virtual" };
    const PATHwithAll = programs({
      nvcc: `${nvcc("13.0")}; [ "$1" = --list-gpu-arch ] && printf 'compute_86\\ncompute_89\\n'; :`,
      cmake,
    });
    expect(findToolkit({ PATH: PATHwithAll })).toEqual(all);
    expect(findToolkit({ PATH: PATHwithAll, CUDAARCHS: "" })).toEqual(all);
    expect(findToolkit({ PATH, CUDAARCHS: "80-real;90" }).architectures).toBe("80-real;90");
    expect(findToolkit({ PATH, CUDAARCHS: "native" }).architectures).toBe("90-real;80-real");
    const CUDACXX = path.join(programs({ nvcc: nvcc("14.1") }), "nvcc");
    expect(findToolkit({ PATH, CUDACXX, CUDAARCHS: "90" }).nvcc).toBe(CUDACXX);
  });

  test("build:cuda says it before it builds the CPU engine", () => {
    const { status, stdout, stderr } = spawnSync("npm", ["run", "--silent", "build:cuda"], {
      cwd: root,
      encoding: "utf8",
      env: { ...process.env, CUDACXX: "/no/nvcc" },
    });
    expect([status, stdout, stderr.trim()]).toEqual([
      1,
      "",
      expect.stringMatching(/^build:cuda: \/no\/nvcc not found\. CUDACXX=.*$/),
    ]);
  });
});

const tools = ["nvcc", "cmake"].filter((tool) => spawnSync(tool, ["--version"]).error !== undefined);

test("a configure that failed doesn't stay, nor do the architectures of the build before", {
  timeout: 300_000,
}, ({ skip }) => {
  if (tools.length > 0) skip(`not found: ${tools.join(", ")}`);
  // The real builders on a project of one kernel.
  const copy = tempDir();
  for (const name of ["scripts", "lib", "native/CMakeLists.txt", "native/ptxas_log.sh"])
    cpSync(path.join(root, name), path.join(copy, name), { recursive: true });
  for (const name of ["node_modules", "build"]) symlinkSync(path.join(root, name), path.join(copy, name));
  writeFileSync(
    path.join(copy, "package.json"),
    '{ "type": "module", "scripts": { "build:native": "true" } }',
  );
  mkdirSync(path.join(copy, "native/cuda"));
  writeFileSync(
    path.join(copy, "native/cuda/one.cu"),
    "__global__ void one(float* x) { *x = 1; }\nvoid launch(float* x) { one<<<1, 1>>>(x); }\n",
  );
  const sources = path.join(copy, "native/sources.gypi");
  const build = (CUDAARCHS: string) =>
    spawnSync(process.execPath, ["--import", "tsx", "scripts/build_cuda.ts"], {
      cwd: copy,
      encoding: "utf8",
      env: { ...process.env, CUDAARCHS, PATH: `${root}/node_modules/.bin:${process.env.PATH}` },
    });
  writeFileSync(sources, "no JSON");
  expect(build("90-real").status).not.toBe(0);

  const list = '["native/cuda/one.cu"]';
  writeFileSync(sources, `{ "variables": { "core_sources": ${list}, "cuda_sources": ${list} } }`);
  for (const [asked, held] of [
    ["90-real", ["sm_90"]],
    ["80-real;89-real", ["sm_80", "sm_89"]],
  ] as const) {
    const { status, stdout, stderr } = build(asked);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain(`code for ${asked}\n`);
    const logs = readdirSync(path.join(copy, "build-cuda"), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith("one.cu.o.log"))
      .map((file) => readFileSync(path.join(copy, "build-cuda", file), "utf8"));
    expect([...new Set(logs.join("").match(/\bsm_\d+/g))].sort()).toEqual(held);
  }
});
