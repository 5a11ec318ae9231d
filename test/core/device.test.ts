import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import {
  ConfigError,
  DeviceError,
  DisposedError,
  OutOfMemoryError,
  ShapeError,
} from "../../lib/core/errors.ts";
import { cudaDevices, native } from "../../lib/core/native.ts";
import { run } from "../../lib/core/run.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { add, scale } from "../../lib/ops/add.ts";
import { gatherRows } from "../../lib/ops/gather_rows.ts";
import { linear } from "../../lib/ops/linear.ts";
import { child as runChild, url, workerPrelude } from "../support/child.ts";
import { testDevice } from "../support/test_device.ts";

/** The name of the tested device in a child's script. */
const name = JSON.stringify(testDevice);
/** Rows and columns of what takes a while: an emulated device takes long for less. */
const width = testDevice === "cpu" ? 512 : 32;
const dev = await device(testDevice, { threads: 2 });
afterEach(() => expect(dev.stats().live).toBe(0));
afterAll(() => dev.close());

async function failureOf(fn: () => unknown): Promise<Error & Record<string, unknown>> {
  try {
    await fn();
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  throw new Error("nothing was thrown");
}

/** Runs a script in a Node process of its own, to its end. */
const child = (script: string, options = {}) =>
  runChild(
    `
    import { device } from ${url("lib/core/device.ts")};
    import { linear } from ${url("lib/ops/linear.ts")};
    import { scope } from ${url("lib/core/scope.ts")};
    const work = (dev, calls) => scope(() => {
      const x = dev.full([${width}, ${width}], 1);
      for (let i = 0; i < calls; i++) linear(x, x).dispose();
    });
    ${script}`,
    options,
  );

test("names and options that aren't known are refused", async () => {
  for (const name of ["gpu", "cpu:1", "cuda:x", ""]) await expect(device(name)).rejects.toThrow(ConfigError);
  await expect(device("cuda:99")).rejects.toThrow(DeviceError);
  for (const threads of [0, 1.5, Number.NaN, 2000])
    await expect(device("cpu", { threads })).rejects.toThrow(ConfigError);
  for (const memoryLimitBytes of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
    await expect(device("cpu", { memoryLimitBytes })).rejects.toMatchObject({ key: "memoryLimitBytes" });
  const isa = await failureOf(() => device("cpu", { isa: "mmx" }));
  expect(isa).toBeInstanceOf(ConfigError);
  expect(isa.message).toContain('instruction set "mmx" is not usable here; usable are ');
  const option = await failureOf(() => device("cpu", { thread: 2 } as never));
  expect(option).toBeInstanceOf(ConfigError);
  expect(option.message).toContain('device: unknown option "thread", is it threads?');
  await expect(device("cpu", { debug: ["slow" as never] })).rejects.toThrow(ConfigError);
  process.env.MIXWRIGHT_DEBUG = "finite,fnite";
  const failure = await failureOf(() => device("cpu"));
  delete process.env.MIXWRIGHT_DEBUG;
  expect(failure).toMatchObject({
    key: "MIXWRIGHT_DEBUG",
    message: 'device: debug mode "fnite", known are sync, finite, trace, guard',
  });
});

test("auto is the best there is, stats say what", async () => {
  const auto = await device("auto", { threads: 3 });
  const gpu = cudaDevices().devices.length > 0;
  expect(auto.name).toBe(gpu ? "cuda:0" : "cpu");
  const threads = gpu ? 1 : 3; // of the CPU's kernels
  expect(auto.stats()).toMatchObject({ live: 0, bytes: 0, threads, isa: native().usableIsas()[0] });
  auto.close();
  auto.close();
  expect(auto.open).toBe(false);
});

/** Poisons the stream: index 9 of a table of 4 rows. */
function poison(on: Device) {
  const [x, rows] = [on.full([4, 2], 1), on.tensor(Int32Array.of(0, 9), [2])];
  on.step = 7;
  const y = on.at("model", () => on.at("embed", () => gatherRows(x, rows)));
  on.step = -1;
  return { x, rows, y };
}

test("poison: the first failure comes with op, module path and step, until reset", async () => {
  const before = dev.full([2], 5);
  const tensors = poison(dev);
  const facts = { op: "gather_rows", path: "model.embed", step: 7 };
  const read = await failureOf(() => tensors.y.data());
  expect(read).toBeInstanceOf(DeviceError);
  expect(read).toMatchObject(facts);
  expect(read.message).toBe(
    "gather_rows at model.embed, step 7: row 1 holds index 9, the table has 4 rows." +
      " The device skips all later commands until reset()",
  );
  expect(dev.stats().poisoned).toBe(true);
  for (const use of [
    () => run("fill", before, 1),
    () => before.write(Float32Array.of(1, 1)),
    () => before.data(),
    () => before.bytesData(),
    () => dev.ready(),
  ]) {
    const failure = await failureOf(use);
    expect(failure).toBeInstanceOf(DeviceError);
    expect(failure).toMatchObject(facts);
  }
  dev.reset();
  expect(dev.stats().poisoned).toBe(false);
  expect([...(await before.data())]).toEqual([5, 5]);
  const twice = scale(before, 2);
  expect([...(await twice.data())]).toEqual([10, 10]);
  await dev.ready();
  disposeAll(before, tensors, twice);
});

test("poison: a read in front of the failure is good, whatever comes behind it fails", async () => {
  const before = dev.full([2], 5);
  const good = [before.data(), dev.ready()];
  const tensors = poison(dev);
  const late = await Promise.allSettled([tensors.y.data(), dev.ready(), before.data()]);
  expect(await Promise.all(good)).toEqual([Float32Array.of(5, 5), undefined]);
  for (const one of late)
    expect(one).toMatchObject({ status: "rejected", reason: { op: "gather_rows", step: 7 } });
  dev.reset();
  disposeAll(before, tensors);
});

// On a GPU commands are launched before the host knows, and only optimizers look for themselves (train/failures.test.ts).
test.runIf(testDevice === "cpu")("poison: what was queued behind the failure is skipped", async () => {
  const target = dev.full([2], 1);
  await dev.ready();
  const tensors = poison(dev);
  try {
    run("fill", target, 2);
  } catch (error) {
    expect(error).toBeInstanceOf(DeviceError); // the failure was there already
  }
  await expect(dev.ready()).rejects.toThrow(DeviceError);
  dev.reset();
  expect([...(await target.data())]).toEqual([1, 1]);
  disposeAll(target, tensors);
});

test("a module path ends with its callback, whether that throws or not", async () => {
  expect(() =>
    dev.at("a", () => {
      throw new Error("stop");
    }),
  ).toThrow("stop");
  expect(dev.path).toBe("");
  expect(dev.at("a", () => dev.at("b", () => dev.path))).toBe("a.b");
});

test("out of memory: thrown at the line that asks, with the bytes; what is given back can be had again", async () => {
  const small = await device(testDevice, { threads: 1, memoryLimitBytes: 1 << 20 });
  const half = small.full([1 << 17], 1);
  const failure = await failureOf(() => small.at("layers.3", () => small.full([1 << 18])));
  expect(failure).toBeInstanceOf(OutOfMemoryError);
  expect(failure.bytes).toBeGreaterThanOrEqual(1 << 20);
  expect(failure.liveBytes).toBeGreaterThanOrEqual(1 << 19);
  expect(failure.message).toContain("tensor: [262144] f32 takes");
  expect(failure.message).toContain("live ([131072] f32 takes 524288 of them)");
  expect(failure.message).toContain("at layers.3, the limit is 1048576");
  expect(small.stats().live).toBe(1);
  expect([...(await half.data())].every((v) => v === 1)).toBe(true);
  half.dispose();
  for (let i = 0; i < 50; i++) small.full([(1 << 17) + 1000 * i]).dispose();
  const whole = small.full([1 << 18], 2);
  expect((await whole.data()).at(-1)).toBe(2);
  small.close();
});

test("ready({ behind: 1 }) resolves when the call before last has run", async () => {
  const x = dev.full([width / 2, width / 2], 1);
  for (let step = 0; step < 5; step++) {
    disposeAll(linear(x, x));
    await dev.ready({ behind: 1 });
    expect(dev.stats().queued).toBeLessThan(10);
  }
  await dev.ready();
  expect(dev.stats().queued).toBeLessThanOrEqual(1); // the fence itself may still be on its way out
  x.dispose();
});

test("ready({ behind: 1 }) reports a failure one call late, never as an unhandled rejection", async () => {
  await dev.ready();
  const tensors = poison(dev);
  await dev.ready({ behind: 1 });
  await expect(dev.ready({ behind: 1 })).rejects.toThrow(DeviceError);
  dev.reset();
  await dev.ready({ behind: 1 });
  await dev.ready();
  disposeAll(tensors);
});

test("run-ahead is bounded: a full queue blocks the caller, and counts itself", async () => {
  const x = dev.full([width ** 2]);
  for (let i = 0; i < 20_000; i++) run("fill", x, i);
  expect(dev.stats().queued).toBeLessThanOrEqual(1 << 14);
  expect(dev.stats().blockedMs).toBeGreaterThan(0);
  expect((await x.data())[0]).toBe(19_999);
  x.dispose();
});

test("debug mode sync: the guilty call throws", async () => {
  const inline = await device(testDevice, { threads: 2, debug: ["sync"] });
  const [x, rows] = [inline.full([4, 2], 1), inline.tensor(Int32Array.of(0, 9), [2])];
  expect(() => gatherRows(x, rows)).toThrow(/^gather_rows: row 1 holds index 9/);
  expect(() => scale(x, 2)).toThrow(DeviceError);
  inline.reset();
  expect([...(await scale(x, 2).data())]).toEqual(Array(8).fill(2));
  inline.close();
});

test("debug mode finite: names the first op whose output isn't", async () => {
  const finite = await device(testDevice, { threads: 2, debug: ["finite"] });
  const x = finite.full([3], 1e30);
  const failure = await failureOf(() =>
    finite.at("layers.1", () => {
      const y = scale(x, 1e30);
      return add(y, y).data();
    }),
  );
  expect(failure).toMatchObject({ op: "add", path: "layers.1" });
  expect(failure.message).toMatch(/output 0 holds inf at element 0 of 3|element 0 is inf/);
  finite.close();
});

test("debug mode guard: fresh memory is NaN, a write past the end is found", async () => {
  const guard = await device(testDevice, { threads: 1, debug: ["guard"] });
  const fresh = guard.empty([5]);
  expect([...(await fresh.data())].every(Number.isNaN)).toBe(true);
  const [x, weight, y, tooShort] = [
    guard.full([2, 4], 1),
    guard.full([4], 1),
    guard.empty([2, 4]),
    guard.empty([1]),
  ];
  run("rms_norm", x, weight, y, tooShort, 1e-5); // writes two rstd
  await guard.ready();
  tooShort.dispose();
  const failure = await failureOf(() => guard.ready());
  expect(failure).toMatchObject({ op: "guard" });
  expect(failure.message).toContain("a kernel wrote past a block of 4 bytes");
  guard.close();
});

test("debug mode guard: what is found at close is said, whether its tensors were disposed or live", async () => {
  const script = (end: string) => `
    const dev = await device(${name}, { threads: 1, debug: ["guard"] });
    const { run } = await import(${url("lib/core/run.ts")});
    const x = dev.full([2, 4], 1), weight = dev.full([4], 1), y = dev.empty([2, 4]), rstd = dev.empty([1]);
    run("rms_norm", x, weight, y, rstd, 1e-5); // writes two rstd
    ${end}
    dev.close();`;
  const broken = "mixwright: guard: a kernel wrote past a block of 4 bytes\n";
  const runs = await Promise.all([
    child(script("await dev.ready();")),
    child(script("")),
    child(script("rstd.dispose();")),
    child(`const dev = await device(${name}, { threads: 1, debug: ["guard"] });
      for (let i = 0; i < 17_000; i++) dev.empty([4]);
      dev.close();`),
  ]);
  expect(runs.map(({ code, out }) => [code, out])).toEqual([
    [0, broken],
    [0, broken],
    [0, broken],
    [0, ""],
  ]);
});

test("debug mode guard: memory taken on a poisoned stream is not blamed after a reset", async () => {
  const guard = await device(testDevice, { threads: 1, debug: ["guard"] });
  const big = guard.full([2 * width, 2 * width], 1);
  const table = guard.full([4, 2], 1);
  const rows = guard.tensor(Int32Array.of(0, 9), [2]);
  for (let i = 0; i < 20; i++) linear(big, big).dispose(); // the failure is some way off
  gatherRows(table, rows);
  const fresh = guard.empty([8192]);
  await expect(guard.ready()).rejects.toThrow(DeviceError);
  guard.reset();
  fresh.dispose();
  await guard.ready();
  guard.close();
});

test("debug mode trace: a timeline with op, path and step", async () => {
  const cwd = mkdtempSync(path.join(tmpdir(), "mixwright-"));
  const { code, out } = await child(
    `const dev = await device(${name}, { threads: 1 });
     dev.step = 3;
     dev.at("model.layers.0", () => work(dev, 2));
     await dev.ready();
     dev.close();`,
    { cwd, env: { MIXWRIGHT_DEBUG: "trace" } },
  );
  expect([code, out]).toEqual([0, ""]);
  const [file] = readdirSync(cwd);
  const spans = JSON.parse(readFileSync(path.join(cwd, file!), "utf8"));
  rmSync(cwd, { recursive: true });
  expect(spans.filter((span: { name: string }) => span.name === "matmul")).toHaveLength(2);
  expect(spans.find(({ name }: { name: string }) => name === "fill")).toMatchObject({
    name: "fill",
    ph: "X",
    args: { path: "model.layers.0", step: 3 },
  });
});

test("debug mode trace: a file for each device; one that can't be written is named", async () => {
  const cwd = mkdtempSync(path.join(tmpdir(), "mixwright-"));
  const env = { MIXWRIGHT_DEBUG: "trace" };
  const two = `for (let i = 0; i < 2; i++) { const dev = await device(${name}, { threads: 1 }); dev.full([1]); dev.close(); }`;
  const both = await child(two, { cwd, env });
  expect([both.code, both.out]).toEqual([0, ""]);
  expect(readdirSync(cwd)).toHaveLength(2);
  const gone = await child(
    `import { rmSync } from "node:fs"; rmSync(process.cwd(), { recursive: true }); ${two}`,
    { cwd, env },
  );
  expect(gone.code).toBe(0);
  expect(gone.out).toMatch(
    /^mixwright: the trace file mixwright-trace-\d+-1\.json could not be written: No such/,
  );
});

test("a closed device: its tensors and calls are refused, disposing them is not", async () => {
  const closed = await device(testDevice, { threads: 1 });
  const x = closed.full([2]);
  closed.close();
  for (const use of [
    () => scale(x, 1),
    () => run("fill", x, 1),
    () => x.view([1]),
    () => x.write(Float32Array.of(1, 2)),
    () => x.data(),
    () => x.bytesData(),
    () => closed.stats(),
    () => closed.tensor([1], [1]),
    () => closed.full([1]),
    () => closed.ready(),
    () => closed.reset(),
    () => closed.checkFinite(true),
    () => closed.at("a", () => 1),
    () => {
      closed.step = 1;
    },
  ]) {
    const failure = await failureOf(use);
    expect(failure).toBeInstanceOf(DisposedError);
    expect(failure.message).toBe(`device: ${closed.name} was closed, an open one was needed`);
  }
  x.dispose();
});

test("operands on two devices are refused in the op's words, by the op, by run and by the engine", async () => {
  const other = await device(testDevice, { threads: 1 });
  const [mine, theirs] = [dev.full([2], 1), other.full([2], 2)];
  for (const use of [() => add(mine, theirs), () => add(theirs, mine)]) {
    const failure = await failureOf(use);
    expect(failure).toBeInstanceOf(ShapeError);
    expect(failure.message).toBe("add: a and b live on two devices, one was needed (a [2] f32, b [2] f32)");
  }
  expect(() => run("add", mine, theirs, mine, 1, 1)).toThrow(ShapeError);
  const engine = native();
  expect(() => engine.ops.add!(dev.handle, mine.id, theirs.id, mine.id, 1, 1)).toThrow(
    "add: an operand lives on another device",
  );
  expect(() => engine.ops.fill!(dev.handle, theirs.id, 1)).toThrow(
    "fill: an operand lives on another device",
  );
  const lists = Object.keys(engine.signatures).filter((name) => engine.signatures[name]!.startsWith("i"));
  for (const name of lists) {
    const operands = [...engine.signatures[name]!].map((letter) =>
      letter === "n" ? 0 : letter === "I" || letter === "O" ? mine.id : [mine.id, theirs.id],
    );
    expect(() => engine.ops[name]!(dev.handle, ...operands)).toThrow(
      `${name}: an operand lives on another device`,
    );
  }
  expect(lists).not.toEqual([]);
  mine.dispose();
  other.close();
});

test("a process ends at once: with commands queued, by process.exit, with a device left open", async () => {
  const open = `const dev = await device(${name}, { threads: 2 }); `;
  const runs = await Promise.all([
    child(`${open} work(dev, 2000);`),
    child(`${open} work(dev, 2000); dev.full([4]).data(); process.exit(0);`),
    child(`${open} const x = dev.full([4], 3); console.log((await x.data())[0]);`),
    child(`${open} const x = dev.full([4], 3); x.data().then((d) => console.log(d[0]));`), // a promise keeps it alive
  ]);
  expect(runs.map(({ code, out }) => [code, out.trim()])).toEqual([
    [0, ""],
    [0, ""],
    [0, "3"],
    [0, "3"],
  ]);
  for (const { ms } of runs) expect(ms).toBeLessThan(20_000);
});

test("worker_threads: a worker terminated with commands queued and reads waiting", async () => {
  const { code, out } = await child(`
    import { Worker } from "node:worker_threads";
    const body = \`
      ${workerPrelude}
      const { device } = await import(${url("lib/core/device.ts")});
      const { linear } = await import(${url("lib/ops/linear.ts")});
      const dev = await device(${name}, { threads: 2 });
      const x = dev.full([${width}, ${width}], 1);
      for (let i = 0; i < 2000; i++) linear(x, x).dispose();
      x.data();
      parentPort.postMessage("queued");
    \`;
    const worker = new Worker(body, { eval: true });
    await new Promise((resolve) => worker.on("message", resolve));
    console.log(await worker.terminate());
    const dev = await device(${name}, { threads: 1 });
    console.log(await dev.full([1], 3).item());
  `);
  expect([code, out.trim()]).toEqual([0, "1\n3"]);
});

test("worker_threads: two at once beside the main thread; a tensor of another environment is refused", async () => {
  const { code, out } = await child(`
    import { Worker } from "node:worker_threads";
    import { native } from ${url("lib/core/native.ts")};
    const dev = await device(${name}, { threads: 1 });
    const mine = dev.full([2], 1);
    const body = \`
      ${workerPrelude}
      const { device } = await import(${url("lib/core/device.ts")});
      const { native } = await import(${url("lib/core/native.ts")});
      const { linear } = await import(${url("lib/ops/linear.ts")});
      const dev = await device(${name}, { threads: 2 });
      const x = dev.full([64, 64], workerData.value);
      let y = x;
      for (let i = 0; i < 50; i++) { const z = linear(x, x); if (y !== x) y.dispose(); y = z; }
      let refused = "";
      try { native().free(workerData.foreign); } catch (error) { refused = error.message; }
      parentPort.postMessage({ value: (await y.data())[0], refused, live: dev.stats().live });
    \`;
    const start = (value) => new Promise((resolve, reject) => {
      let message;
      const worker = new Worker(body, { eval: true, workerData: { value, foreign: mine.id } });
      worker.on("message", (m) => { message = m; });
      worker.on("error", reject);
      worker.on("exit", (code) => resolve({ code, ...message }));
    });
    const both = [start(1), start(2)];
    work(dev, 20);
    console.log(JSON.stringify(await Promise.all(both)));
    console.log((await mine.data())[0], dev.stats().live);
  `);
  const refused = "tensor belongs to another Node environment";
  const lines = out.trim().split("\n");
  expect(code, out).toBe(0);
  expect(JSON.parse(lines[0]!)).toEqual([
    { code: 0, value: 64, refused, live: 2 },
    { code: 0, value: 256, refused, live: 2 },
  ]);
  expect(lines[1]).toBe("1 1");
});

test("closing a device rejects the reads it still owes, and lets the process go", async () => {
  const dev = await device(testDevice, { threads: 1 });
  const t = dev.empty([width ** 2]);
  for (let i = 0; i < 200; i++) run("fill", t, i);
  const read = t.data();
  dev.close();
  const closed = /read.*the device was closed before its turn came/;
  if (testDevice === "cpu") await expect(read).rejects.toThrow(closed);
  // A GPU may have been given it already.
  else await read.catch((error) => expect(error.message).toMatch(closed));
});
