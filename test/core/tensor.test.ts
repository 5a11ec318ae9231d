import { spawnSync } from "node:child_process";
import { afterAll, expect, test } from "vitest";
import { device } from "../../lib/core/device.ts";
import { ConfigError, DisposedError, ShapeError } from "../../lib/core/errors.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { add } from "../../lib/ops/add.ts";
import { roundBf16 } from "../support/check_op.ts";
import { url } from "../support/child.ts";
import { testDevice } from "../support/test_device.ts";

const dev = await device(testDevice, { threads: 2, debug: ["guard"] });
afterAll(() => {
  expect(dev.stats().live).toBe(0);
  dev.close();
});

test("f32: up and back", async () => {
  const data = Float32Array.of(1.5, -0, Infinity, Number.NaN, 1e-40, 3.4e38);
  using x = dev.tensor(data, [2, 3]);
  expect(x.dtype).toBe("f32");
  expect(x.bytes).toBe(24);
  expect(await x.data()).toEqual(data);
});

test("more than a device takes at a time, up and back, in its format and in another", async () => {
  const data = Float32Array.from({ length: 3_000_001 }, (_, i) => (i % 251) - 100);
  using x = dev.tensor(data, [data.length]);
  using y = dev.tensor(data, [data.length], { dtype: "bf16" });
  const [same, widened, bytes] = await Promise.all([x.data(), y.data(), x.bytesData()]);
  expect(Buffer.compare(Buffer.from(same.buffer), Buffer.from(data.buffer))).toBe(0);
  expect(Buffer.compare(Buffer.from(widened.buffer), Buffer.from(data.buffer))).toBe(0);
  expect(Buffer.compare(bytes, Buffer.from(data.buffer))).toBe(0);
});

test("i32: from an Int32Array or from numbers", async () => {
  using x = dev.tensor(Int32Array.of(-(2 ** 31), 0, 2 ** 31 - 1), [3]);
  using y = dev.tensor([7, -7], [2], { dtype: "i32" });
  expect(x.dtype).toBe("i32");
  expect(await x.data()).toEqual(Int32Array.of(-(2 ** 31), 0, 2 ** 31 - 1));
  expect(await y.data()).toEqual(Int32Array.of(7, -7));
});

test("bf16: rounded to nearest even from f32, taken as it is from Uint16Array", async () => {
  const data = Float32Array.of(1, 1.00390625, 1.01171875, -3.3, 65537, Infinity, 1e-40);
  using x = dev.tensor(data, [7], { dtype: "bf16" });
  expect(x.bytes).toBe(14);
  expect([...(await x.data())]).toEqual([...data].map(roundBf16));
  using nan = dev.tensor([Number.NaN], [1], { dtype: "bf16" });
  expect(await nan.item()).toBeNaN();
  using raw = dev.tensor(Uint16Array.of(0x3f80, 0xc000), [2], { dtype: "bf16" });
  expect([...(await raw.data())]).toEqual([1, -2]);
  expect(await raw.bytesData()).toEqual(Uint8Array.of(0x80, 0x3f, 0x00, 0xc0));
});

test("f16 source: converted to f32, or to bf16", async () => {
  const half = Uint16Array.of(0x3c00, 0xc000, 0x3555, 0x0001, 0x7bff, 0x7c00, 0xfc00, 0x8000);
  const values = [1, -2, 0.333251953125, 2 ** -24, 65504, Infinity, -Infinity, -0];
  using x = dev.tensor(half, [8], { from: "f16" });
  expect(x.dtype).toBe("f32");
  expect([...(await x.data())]).toEqual(values);
  using y = dev.tensor(half, [8], { from: "f16", dtype: "bf16" });
  expect([...(await y.data())]).toEqual(values.map(roundBf16));
  using nan = dev.tensor(Uint16Array.of(0x7e00), [1], { from: "f16" });
  expect(await nan.item()).toBeNaN();
});

test("an upload copies at once, and takes a part of a larger buffer", async () => {
  const data = Float32Array.of(1, 2, 3, 4);
  using x = dev.tensor(data.subarray(1, 3), [2]);
  data.fill(9);
  expect([...(await x.data())]).toEqual([2, 3]);
});

test("no elements, and no axes", async () => {
  using none = dev.tensor([], [0, 3]);
  expect(await none.data()).toEqual(new Float32Array(0));
  using scalar = dev.tensor([4], []);
  expect(await scalar.item()).toBe(4);
  using zeros = dev.full([2, 2], 3, "bf16");
  expect([...(await zeros.data())]).toEqual([3, 3, 3, 3]);
});

test("wrong sizes and kinds of numbers are refused", async () => {
  expect(() => dev.tensor([1, 2, 3], [2, 2])).toThrow("tensor: 3 values, [2, 2] needs 4");
  expect(() => dev.tensor([1], [1, 1, 1, 1, 1])).toThrow(ShapeError);
  expect(() => dev.empty([-1])).toThrow(ShapeError);
  expect(() => dev.empty([1.5])).toThrow(ShapeError);
  expect(() => dev.tensor(Int32Array.of(1), [1], { dtype: "f32" })).toThrow(ConfigError);
  expect(() => dev.tensor(Float32Array.of(1), [1], { dtype: "i32" })).toThrow(ConfigError);
  expect(() => dev.tensor(Float64Array.of(1), [1])).toThrow(ConfigError);
  expect(() => dev.tensor(Uint16Array.of(1), [1])).toThrow(ConfigError);
  using two = dev.full([2]);
  await expect(two.item()).rejects.toThrow(ShapeError);
});

test("a view shares memory and knows its root", async () => {
  using x = dev.tensor([0, 1, 2, 3, 4, 5], [2, 3]);
  using row = x.view([3], 3);
  using last = row.view([2], 1);
  expect([last.root, last.offset]).toEqual([x, 4]);
  expect([...(await last.data())]).toEqual([4, 5]);
  const version = x.version;
  last.write(Float32Array.of(7, 8));
  expect(x.version).toBe(version + 1);
  expect([...(await x.data())]).toEqual([0, 1, 2, 3, 7, 8]);
  for (const [shape, offset] of [
    [[3], 4],
    [[7], 0],
    [[1], -1],
    [[1, 1, 1, 1, 1], 0],
  ] as const)
    expect(() => x.view(shape, offset)).toThrow(ShapeError);
});

test("a view of bf16 starts at its element", async () => {
  using x = dev.tensor([0, 1, 2, 3], [4], { dtype: "bf16" });
  using y = x.view([1, 2], 1);
  expect([...(await y.data())]).toEqual([1, 2]);
});

test("a view keeps the memory of a disposed root", async () => {
  const x = dev.tensor([1, 2], [2]);
  const y = x.view([1], 1);
  x.dispose();
  using other = dev.full([2], 9); // would take the memory if it were free
  expect(await y.item()).toBe(2);
  y.dispose();
  expect(other.disposed).toBe(false);
});

test("dispose gives memory back at once, and again does nothing", () => {
  const { live, bytes } = dev.stats();
  const x = dev.full([1000]);
  expect(dev.stats().live).toBe(live + 1);
  expect(dev.stats().bytes).toBeGreaterThanOrEqual(bytes + 4000);
  x.dispose();
  x.dispose();
  expect(x.disposed).toBe(true);
  expect(dev.stats()).toMatchObject({ live, bytes });
});

test("a read asked for before dispose is answered", async () => {
  const x = dev.full([1000], 5);
  const reading = x.data();
  x.dispose();
  using other = dev.full([1000], 6);
  expect((await reading).every((v) => v === 5)).toBe(true);
  expect(other.disposed).toBe(false);
});

test("use after dispose: DisposedError with the label, everywhere", async () => {
  const x = dev.full([2, 2]);
  x.label = "layers.7.mlp.weight";
  x.dispose();
  using y = dev.full([2, 2]);
  for (const use of [
    () => x.id,
    () => x.view([1]),
    () => x.write(new Float32Array(4)),
    () => disposeAll(add(x, y)),
    () => disposeAll(add(y, x)),
    () => x.retain(),
  ]) {
    const { live } = dev.stats();
    let failure: unknown;
    try {
      use();
    } catch (error) {
      failure = error;
    }
    expect(failure).toBeInstanceOf(DisposedError);
    expect(failure).toMatchObject({
      label: "layers.7.mlp.weight",
      message: "layers.7.mlp.weight [2, 2] f32 was disposed, a live tensor was needed",
    });
    expect(dev.stats().live - live, "outputs left by a call that failed").toBe(0);
  }
  await expect(x.data()).rejects.toThrow(DisposedError);
  await expect(x.bytesData()).rejects.toThrow(DisposedError);
});

test("a forgotten tensor is given back by the garbage collector, with a warning that names it", async () => {
  const program = `
    import { device } from ${url("lib/index.ts")};
    const dev = await device("cpu", { threads: 1 });
    (() => dev.at("somewhere", () => dev.full([3, 5], 1).view([5], 5)))();
    const turn = () => new Promise((resolve) => setTimeout(resolve, 20));
    for (let i = 0; i < 20 && dev.stats().live > 0; i++) { globalThis.gc(); await turn(); }
    console.log("live", dev.stats().live);
    dev.close();`;
  const args = ["--expose-gc", "--import", "tsx", "--input-type=module", "--eval", program];
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  expect(stdout).toBe("live 0\n");
  expect(stderr).toContain("a tensor [5] f32 made at somewhere was collected without dispose()");
});
