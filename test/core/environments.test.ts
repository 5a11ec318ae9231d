import { expect, test } from "vitest";
import { engineFile } from "../../lib/core/native.ts";
import { child, url, workerPrelude } from "../support/child.ts";

const engine = JSON.stringify(engineFile());
const open =
  "{ cuda: -1, threads: 1, limitBytes: 1e12, isa: '', sync: false, finite: false, trace: false, guard: false }";
/** A child with `start(body, data)`: runs a plain worker that has the engine, resolves to its last message. */
const withWorkers = `
  import { Worker } from "node:worker_threads";
  const start = (body, workerData) => new Promise((resolve, reject) => {
    let last;
    const prelude = \`const { parentPort, workerData } = require("node:worker_threads");
      const engine = require(${engine.replaceAll("\\", "\\\\")});\`;
    const worker = new Worker(prelude + body, { eval: true, workerData, execArgv: [] });
    worker.on("message", (message) => { last = message; });
    worker.on("error", reject);
    worker.on("exit", () => resolve(last));
  });
`;

test("the 300th environment of a process works, and refuses the tensors of all others", async () => {
  const { code, out } = await child(`
    ${withWorkers}
    import { device } from ${url("lib/core/device.ts")};
    const dev = await device("cpu", { threads: 1 });
    const mine = dev.full([4], 3);
    const body = \`
      const dev = engine.open(${open});
      const id = engine.alloc(dev, 0, 1, 4, 1, 1, 1);
      engine.ops.fill(dev, id, 7);
      let refused = 0;
      for (const foreign of workerData) {
        try { engine.ops.fill(dev, foreign, 1); } catch (error) { refused += error.message === "tensor belongs to another Node environment"; }
      }
      engine.read(id).then(([value]) => parentPort.postMessage({ id, value, refused }));
    \`;
    const ids = new Set([mine.id]);
    let wrong = 0;
    for (let i = 0; i < 75; i++) {
      const before = [...ids];
      for (const { id, value, refused } of await Promise.all(Array.from({ length: 4 }, () => start(body, before)))) {
        if (id === 0 || !Number.isSafeInteger(id) || value !== 7 || refused !== before.length) wrong++;
        ids.add(id);
      }
    }
    console.log(ids.size, wrong, await mine.data());
  `);
  expect([code, out.trim()]).toEqual([0, "301 0 Float32Array(4) [ 3, 3, 3, 3 ]"]);
});

test("a worker that ends with its device open gives back its tensors and the reads it still owes", async () => {
  const { code, out } = await child(`
    ${withWorkers}
    const mb = () => process.memoryUsage().rss / 1e6;
    const body = \`
      const dev = engine.open(${open});
      const id = engine.alloc(dev, 0, 1, 25e6, 1, 1, 1);
      engine.ops.fill(dev, id, 1);
      engine.read(id);
      engine.read(engine.view(id, 0, 0, 1, 1, 1, 1, 1)).then(() => process.exit());
    \`;
    await start(body);
    const before = mb();
    for (let i = 0; i < 6; i++) await start(body);
    const grown = mb() - before;
    console.log(grown < 150 ? "given back" : "grew by " + grown + " MB");
  `);
  expect([code, out.trim()]).toEqual([0, "given back"]);
});

test("a worker that ends in debug mode guard says what its kernels overwrote", async () => {
  const { code, out } = await child(
    `
    import { Worker } from "node:worker_threads";
    const body = \`
      ${workerPrelude}
      const { device } = await import(${url("lib/core/device.ts")});
      const { run } = await import(${url("lib/core/run.ts")});
      const dev = await device("cpu", { threads: 1 });
      const x = dev.full([2, 4], 1), weight = dev.full([4], 1), y = dev.empty([2, 4]), rstd = dev.empty([1]);
      run("rms_norm", x, weight, y, rstd, 1e-5); // writes two rstd
    \`;
    await new Promise((resolve) => new Worker(body, { eval: true }).on("exit", resolve));
  `,
    { env: { MIXWRIGHT_DEBUG: "guard" } },
  );
  expect([code, out]).toEqual([0, "mixwright: guard: a kernel wrote past a block of 4 bytes\n"]);
});

test.runIf(process.platform === "linux")(
  "threads that can't be started: those that were end, the error says how many",
  async () => {
    const { code, out } = await child(`
      import { execFileSync } from "node:child_process";
      import { readFileSync } from "node:fs";
      import { device } from ${url("lib/core/device.ts")};
      (await device("cpu", { threads: 1 })).close();
      const room = Number(/VmSize:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024 + 2 ** 30;
      execFileSync("prlimit", ["--as=" + room, "--pid", String(process.pid)]);
      try { await device("cpu", { threads: 1024 }); } catch (error) { console.log(error.name + ": " + error.message); }
      const dev = await device("cpu", { threads: 2 });
      console.log(await dev.full([1], 5).item());
    `);
    expect(code, out).toBe(0);
    expect(out).toMatch(
      /^DeviceError: device: 1024 threads were asked for, \d+ could be started \(.*\)\n5\n$/,
    );
  },
);
