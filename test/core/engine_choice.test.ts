import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { probe, wayOut, whyNoDriver } from "../../lib/core/cuda_probe.ts";
import {
  chooseEngine,
  cudaEnginePaths,
  engineFile,
  enginePaths,
  loadEngine,
  tryCuda,
} from "../../lib/core/native.ts";
import { child, url } from "../support/child.ts";
import { engineWithGpu, library, whyNoFakes } from "../support/fake_cuda.ts";
import { tempDir } from "../support/temp_dir.ts";

/** A package folder with a CPU engine, and with a CUDA engine that is a file of that text, or runs C when it is loaded. */
function packageWith(cuda?: { text: string } | { code: string }): string {
  const root = tempDir();
  const put = (file: string) => mkdirSync(path.dirname(file), { recursive: true });
  const [cpuFile, cudaFile] = [enginePaths(root)[0]!, cudaEnginePaths(root)[0]!];
  put(cpuFile);
  copyFileSync(engineFile(), cpuFile);
  if (cuda === undefined) return root;
  put(cudaFile);
  if ("text" in cuda) writeFileSync(cudaFile, cuda.text);
  else library(cudaFile, cuda.code);
  return root;
}
const withDriver = { noDriver: () => "" };

test("without a CUDA engine, without a driver: the CPU engine, and the reason", () => {
  const bare = packageWith();
  expect(chooseEngine(undefined, { root: bare, ...withDriver })).toEqual({
    paths: enginePaths(bare),
    whyNoCuda: "no CUDA engine is built",
    untried: [],
  });
  const root = packageWith({ text: "" });
  const reason = "no NVIDIA driver was found";
  expect(chooseEngine(undefined, { root, noDriver: () => reason })).toEqual({
    paths: enginePaths(root),
    whyNoCuda: reason,
    untried: [],
  });
  expect(whyNoDriver(["/nowhere/nvidiactl"])).toBe(reason);
  expect(whyNoDriver(["/nowhere/nvidiactl", "/dev/null"])).toBe("");
});

test("the CUDA engine is taken when a process of its own has found a device; the CPU engine stands by", async () => {
  const root = packageWith({ text: "" });
  const file = cudaEnginePaths(root)[0]!;
  const choice = chooseEngine(undefined, { root, ...withDriver });
  expect(choice).toEqual({ paths: enginePaths(root), whyNoCuda: "", untried: [file] });
  expect(await tryCuda(choice, async (asked) => (asked === file ? "" : "other"))).toEqual({
    paths: [file, ...enginePaths(root)],
    whyNoCuda: "",
    untried: [],
  });
});

test("MIXWRIGHT_ENGINE chooses: cpu, cuda without a trial, a file", () => {
  const root = packageWith({ text: "" });
  const chosen = (wanted: string) => chooseEngine(wanted, { root, ...withDriver });
  expect(chosen("cpu")).toMatchObject({ paths: enginePaths(root), untried: [] });
  expect(chosen("cuda")).toMatchObject({ paths: cudaEnginePaths(root), untried: [] });
  expect(chosen("some/engine.node")).toMatchObject({
    paths: [path.resolve("some/engine.node")],
    untried: [],
  });
});

describe("an engine that", () => {
  const cases: [string, { text: string } | { code: string }, RegExp][] = [
    [
      "is no library",
      { text: "no library" },
      /does not load \(exit status 1: .*(invalid ELF|too short|not a)/,
    ],
    ["aborts when loaded", { code: 'write(2, "boom", 4); abort()' }, /ended it by SIGABRT: boom$/],
    ["crashes when loaded", { code: "*(volatile int*)8 = 1" }, /ended it by SIGSEGV$/],
    ["ends the process when loaded", { code: "_exit(0)" }, /does not load \(exit status 0\)$/],
    ["hangs when loaded", { code: "sleep(60)" }, /gave no answer within 0.5 s$/],
  ];
  test.for(cases)("%s is left alone, and the reason is kept", async ([title, engine, reason], { skip }) => {
    if ("code" in engine && whyNoFakes) skip(whyNoFakes);
    const root = packageWith(engine);
    const hangs = title.startsWith("hangs");
    const ask = (file: string) => probe(file, hangs ? 500 : 30_000);
    const { paths, whyNoCuda } = await tryCuda(chooseEngine(undefined, { root, ...withDriver }), ask);
    expect(whyNoCuda).toMatch(reason);
    expect(whyNoCuda).toContain(cudaEnginePaths(root)[0]);
    expect(wayOut(whyNoCuda)).toContain("MIXWRIGHT_ENGINE=cpu goes without CUDA");
    expect(wayOut(whyNoCuda)).toContain(hangs ? "nvidia-smi" : "npm run build:cuda");
    expect(loadEngine(paths).binding.usableIsas()).toContain("baseline");
  });
});

test("where the build is broken, the prebuilt CUDA engine is tried; where the driver is to blame, it is not", async ({
  skip,
}) => {
  if (whyNoFakes) skip(whyNoFakes);
  const root = packageWith({ text: "broken" });
  const [built, prebuilt] = cudaEnginePaths(root);
  engineWithGpu(prebuilt!);
  const choice = chooseEngine(undefined, { root, ...withDriver });
  expect(await tryCuda(choice)).toMatchObject({ paths: [prebuilt, ...enginePaths(root)], whyNoCuda: "" });
  const asked: string[] = [];
  const late = await tryCuda(choice, async (file) => {
    asked.push(file);
    return "it gave no answer within 10 s";
  });
  expect([asked, late.whyNoCuda]).toEqual([[built], "it gave no answer within 10 s"]);
});

test("an engine that finds no device says why", async () => {
  expect(await probe(engineFile())).toMatch(/^this engine was built without CUDA$|^the NVIDIA driver|^$/);
});

test("what MIXWRIGHT_ENGINE names and isn't an engine: the message names the variable, and what it takes", async () => {
  const script = `
    import { device } from ${url("lib/core/device.ts")};
    await device("cpu").catch((error) => console.log(error.name, error.message));`;
  for (const wanted of ["nonsense", "CPU", "/tmp", "package.json"]) {
    const { code, out } = await child(script, { env: { MIXWRIGHT_ENGINE: wanted } });
    expect([code, out]).toEqual([0, expect.stringMatching(/^DeviceError mixwright: no native engine loads/)]);
    expect(out).toContain(path.resolve(wanted));
    expect(out).toContain(
      `MIXWRIGHT_ENGINE is "${wanted}", "cpu", "cuda" or the file of an engine was needed. Unset it`,
    );
    expect(out.includes("loads, and is no engine of mixwright")).toBe(wanted === "package.json");
  }
});

test("device(): cuda says why it isn't there and what to do; auto is the CPU; workers keep to the choice", async () => {
  const script = `
    import { Worker } from "node:worker_threads";
    import { device } from ${url("lib/core/device.ts")};
    await device("cuda").catch((error) => console.log(error.name, error.message));
    const dev = await device("auto");
    console.log(dev.name, await dev.full([1], 3).item());
    dev.close();
    const body = 'const { getEnvironmentData, parentPort } = require("node:worker_threads");' +
      'parentPort.postMessage(getEnvironmentData("mixwright:engine").whyNoCuda)';
    new Worker(body, { eval: true, execArgv: [] }).on("message", (why) => console.log(why));`;
  const { code, out } = await child(script, { env: { MIXWRIGHT_ENGINE: "cpu" } });
  expect([code, out]).toEqual([
    0,
    'DeviceError device: "cuda" was asked for, MIXWRIGHT_ENGINE is cpu. Unset it, or set it to cuda. ' +
      '"cpu" is always there, "auto" takes the best there is\ncpu 3\nMIXWRIGHT_ENGINE is cpu\n',
  ]);
});
