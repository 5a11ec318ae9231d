import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { probe } from "../../lib/core/cuda_probe.ts";
import { url } from "../support/child.ts";
import {
  childWithDriverFile,
  engineWithGpu,
  library,
  packageWithCpu,
  whyNoDriverFile,
  whyNoFakes,
} from "../support/fake_cuda.ts";
import { tempDir } from "../support/temp_dir.ts";

const importDevice = (root: string) =>
  `import { device } from ${JSON.stringify(pathToFileURL(path.join(root, "dist/core/device.mjs")).href)};
   process.on("warning", ({ message }) => console.log("warning:", message));
   const opened = (name) => device(name).then((dev) => dev.name, ({ message }) => message);`;

/** How many processes have this word in their command line. */
const processesWith = (word: string): number =>
  readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid) && existsSync(`/proc/${pid}/cmdline`))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(word);
      } catch {
        return false; // it has ended
      }
    }).length;

test("a driver that hangs: cpu does not wait for it, auto does without blocking, says so, and leaves nothing behind", async ({
  skip,
}) => {
  if (whyNoDriverFile) skip(whyNoDriverFile);
  const { root, built } = packageWithCpu();
  library(built, "for (;;) sleep(60)");
  const { code, out } = await childWithDriverFile(`
    ${importDevice(root)}
    const from = performance.now();
    let ticks = 0;
    setInterval(() => ticks++, 50).unref();
    console.log(await opened("cpu"), performance.now() - from < 5000);
    const [auto, cpu] = await Promise.all([opened("auto"), opened("cpu")]);
    console.log(auto, cpu, performance.now() - from < 20_000, ticks > 50);
    console.log(await opened("cuda"));
    console.log(await opened("auto"));`);
  const reason = `the CUDA engine ${built}, tried in a process of its own, gave no answer within 10 s. nvidia-smi shows whether the driver answers. MIXWRIGHT_ENGINE=cpu goes without CUDA, and without this trial`;
  expect([code, out.trim().split("\n")]).toEqual([
    0,
    [
      "cpu true",
      "cpu cpu true true",
      `device: "cuda" was asked for, ${reason}. "cpu" is always there, "auto" takes the best there is`,
      "cpu",
      `warning: device: "auto" is the CPU, as ${reason}`,
    ],
  ]);
  expect(processesWith(built)).toBe(0);
});

test("a process loads one engine: cpu first keeps to the CPU's, cuda or auto first has both", async ({
  skip,
}) => {
  if (whyNoDriverFile) skip(whyNoDriverFile);
  const { root, built } = packageWithCpu();
  engineWithGpu(built);
  const first = async (names: string) =>
    (
      await childWithDriverFile(`
        ${importDevice(root)}
        console.log(await Promise.all(${names}.map(opened)));
        console.log(await opened("cpu"), await opened("auto"), await opened("cuda"));`)
    ).out;
  expect(await first('["auto", "cpu"]')).toBe("[ 'cuda:0', 'cpu' ]\ncpu cuda:0 cuda:0\n");
  expect(await first('["cuda:0"]')).toBe("[ 'cuda:0' ]\ncpu cuda:0 cuda:0\n");
  const reason =
    'device("cpu") came first, for which this process has loaded its one engine, that of the CPU. Open "cuda" or "auto" before "cpu", or set MIXWRIGHT_ENGINE=cuda';
  expect((await first('["cpu"]')).trim().split("\n")).toEqual([
    "[ 'cpu' ]",
    `cpu cpu device: "cuda" was asked for, ${reason}. "cpu" is always there, "auto" takes the best there is`,
    `warning: device: "auto" is the CPU, as ${reason}`,
  ]);
});

test("a worker keeps to the engine that its process has loaded, tried or not", async ({ skip }) => {
  if (whyNoDriverFile) skip(whyNoDriverFile);
  const { root, built } = packageWithCpu();
  engineWithGpu(built);
  const { out } = await childWithDriverFile(`
    import { isMainThread, Worker } from "node:worker_threads";
    ${importDevice(root)}
    if (isMainThread) {
      await opened("cpu");
      new Worker(new URL(import.meta.url));
    } else console.log(await opened("cuda"));`);
  expect(out).toMatch(/^device: "cuda" was asked for, device\("cpu"\) came first/);
});

test("under Node's permission model, where no process may be started, auto and cpu open", async ({
  skip,
}) => {
  if (whyNoDriverFile) skip(whyNoDriverFile);
  const { root, built } = packageWithCpu();
  engineWithGpu(built);
  const flags = ["--experimental-permission", "--allow-addons", "--allow-fs-read=*"];
  const { code, out } = await childWithDriverFile(
    `${importDevice(root)}
     console.log(await opened("auto"), await opened("cpu"));
     console.log(await opened("cuda"));`,
    { flags },
  );
  expect([code, out]).toEqual([
    0,
    expect.stringMatching(
      /cpu cpu\n.*could not be asked \(.*restricted.*\)\. Node's --allow-child-process allows it\./,
    ),
  ]);
});

test("an installed package names no command that only a clone has", async ({ skip }) => {
  if (whyNoDriverFile) skip(whyNoDriverFile);
  const { root } = packageWithCpu();
  const { out } = await childWithDriverFile(`${importDevice(root)} console.log(await opened("cuda"));`);
  expect(out).toContain(
    "no CUDA engine is built. Install mixwright anew, or npm run build:cuda in a clone of its repository makes one",
  );
});

test("what a driver starts is ended with the trial, and isn't waited for", async ({ skip }) => {
  if (whyNoFakes) skip(whyNoFakes);
  const dir = tempDir();
  for (const [name, body] of [
    ["keeps.node", "if (fork() == 0) { sleep(60); _exit(0); }"],
    ["leaves.node", "if (fork() == 0) { setsid(); sleep(10); _exit(0); }"],
  ] as const) {
    const file = library(path.join(dir, name), body);
    const from = performance.now();
    expect(await probe(file, 9000)).toMatch(/does not load \(exit status 1/);
    expect(performance.now() - from).toBeLessThan(5000);
    if (name === "keeps.node") expect(processesWith(file)).toBe(0);
  }
});

test("a trial that hangs ends soon after the process that asked was killed", async ({ skip }) => {
  if (whyNoFakes) skip(whyNoFakes);
  const file = library(path.join(tempDir(), "hangs.node"), "for (;;) sleep(60)");
  const script = `import(${url("lib/core/cuda_probe.ts")}).then(({ probe }) => probe(process.argv[1], 1500))`;
  const asking = spawn(process.execPath, ["--import", "tsx", "-e", script, file], { stdio: "ignore" });
  while (processesWith(file) < 2) await sleep(20);
  await sleep(300);
  asking.kill("SIGKILL");
  await sleep(200);
  expect(processesWith(file)).toBe(1);
  await expect.poll(() => processesWith(file), { timeout: 10_000 }).toBe(0);
});
