import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { probe, wayOut, whyNoDriver } from "../../lib/core/cuda_probe.ts";
import { chooseEngine, cudaEnginePaths, engineFile, enginePaths, loadEngine } from "../../lib/core/native.ts";
import { child, url } from "../support/child.ts";
import { runTool } from "../support/run_tool.ts";
import { tempDir } from "../support/temp_dir.ts";

const noCompiler = spawnSync("g++", ["--version"]).status !== 0;

/** A package folder with a CPU engine, and with a CUDA engine that is a file of that text, or made from C++. */
function packageWith(cuda?: { text: string } | { code: string }): string {
  const root = tempDir();
  const put = (file: string) => mkdirSync(path.dirname(file), { recursive: true });
  const [cpuFile, cudaFile] = [enginePaths(root)[0]!, cudaEnginePaths(root)[0]!];
  put(cpuFile);
  copyFileSync(engineFile(), cpuFile);
  if (cuda === undefined) return root;
  put(cudaFile);
  if ("text" in cuda) writeFileSync(cudaFile, cuda.text);
  else {
    const source = path.join(root, "engine.cc");
    writeFileSync(source, cuda.code);
    runTool("g++", ["-shared", "-fPIC", "-o", cudaFile, source]);
  }
  return root;
}
const withDriver = { noDriver: () => "" };
const atLoad = (body: string) => `
  #include <cstdlib>
  #include <unistd.h>
  __attribute__((constructor)) static void at_load() { ${body}; }`;

test("without a CUDA engine, without a driver: the CPU engine, and the reason", () => {
  const bare = packageWith();
  expect(chooseEngine(undefined, { root: bare, ...withDriver })).toEqual({
    paths: enginePaths(bare),
    whyNoCuda: "no CUDA engine is built",
  });
  const root = packageWith({ text: "" });
  const reason = "no NVIDIA driver was found";
  const asked = () => expect.fail("nothing is tried where there is no driver");
  expect(chooseEngine(undefined, { root, noDriver: () => reason, ask: asked })).toEqual({
    paths: enginePaths(root),
    whyNoCuda: reason,
  });
  expect(whyNoDriver(["/nowhere/nvidiactl"])).toBe(reason);
  expect(whyNoDriver(["/nowhere/nvidiactl", "/dev/null"])).toBe("");
});

test("the CUDA engine is taken when a process of its own has found a device; the CPU engine stands by", () => {
  const root = packageWith({ text: "" });
  const file = cudaEnginePaths(root)[0]!;
  const choice = chooseEngine(undefined, {
    root,
    ...withDriver,
    ask: (asked) => (asked === file ? "" : "other"),
  });
  expect(choice).toEqual({ paths: [file, ...enginePaths(root)], whyNoCuda: "" });
});

test("MIXWRIGHT_ENGINE chooses: cpu, cuda without a trial, a file", () => {
  const root = packageWith({ text: "" });
  const ask = () => expect.fail("it was not to be tried");
  expect(chooseEngine("cpu", { root, ...withDriver, ask }).paths).toEqual(enginePaths(root));
  expect(chooseEngine("cuda", { root, ask }).paths).toEqual(cudaEnginePaths(root));
  expect(chooseEngine("some/engine.node", { root, ask }).paths).toEqual([path.resolve("some/engine.node")]);
});

describe("an engine that", () => {
  const cases: [string, { text: string } | { code: string }, RegExp][] = [
    [
      "is no library",
      { text: "no library" },
      /does not load \(exit status 1: .*(invalid ELF|too short|not a)/,
    ],
    ["aborts when loaded", { code: atLoad('write(2, "boom\\n", 5); abort()') }, /ended it by SIGABRT: boom$/],
    ["crashes when loaded", { code: atLoad("*(volatile int*)8 = 1") }, /ended it by SIGSEGV$/],
    ["ends the process when loaded", { code: atLoad("_exit(0)") }, /does not load \(exit status 0\)$/],
    ["hangs when loaded", { code: atLoad("sleep(60)") }, /gave no answer within 0.5 s$/],
  ];
  test.for(cases)("%s is left alone, and the reason is kept", ([title, engine, reason], { skip }) => {
    if ("code" in engine && noCompiler) skip("not found: g++");
    const root = packageWith(engine);
    const ask = (file: string) => probe(file, title.startsWith("hangs") ? 500 : 30_000);
    const { paths, whyNoCuda } = chooseEngine(undefined, { root, ...withDriver, ask });
    expect(whyNoCuda).toMatch(reason);
    expect(whyNoCuda).toContain(cudaEnginePaths(root)[0]);
    expect(wayOut(whyNoCuda)).toContain("MIXWRIGHT_ENGINE=cuda");
    expect(loadEngine(paths).binding.usableIsas()).toContain("baseline");
  });
});

test("an engine that finds no device says why", () => {
  expect(probe(engineFile())).toMatch(/^this engine was built without CUDA$|^no |^the NVIDIA driver|^$/);
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
