import { afterAll, afterEach, expect, test } from "vitest";
import { device } from "../../lib/core/device.ts";
import { ConfigError, OutOfMemoryError, ShapeError } from "../../lib/core/errors.ts";
import { Random, withRandomStreams } from "../../lib/core/random.ts";
import { checkpoint, disposeAll, needsGrad, record, valueAndGrad, withoutGrad } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { add, scale } from "../../lib/ops/add.ts";
import { dropout } from "../../lib/ops/dropout.ts";
import { gatherRows } from "../../lib/ops/gather_rows.ts";
import { linear } from "../../lib/ops/linear.ts";
import { tokenLogProb } from "../../lib/ops/linear_cross_entropy.ts";
import { rmsNorm } from "../../lib/ops/rms_norm.ts";
import { sum } from "../../lib/ops/segment_sum.ts";
import { swiglu } from "../../lib/ops/swiglu.ts";
import { normal, relativeError, type Values } from "../support/check_op.ts";

const dev = await device("cpu", { threads: 2, debug: ["guard"] });
afterEach(async () => {
  await dev.ready();
  expect(dev.stats().live).toBe(0);
});
afterAll(() => dev.close());

const upload = (v: Values, on = dev) => on.tensor(Float32Array.from(v.data), v.shape);
const read = async (grads: Record<string, Tensor>) =>
  Object.fromEntries(
    await Promise.all(Object.entries(grads).map(async ([name, grad]) => [name, await grad.data()] as const)),
  );

// A model of one block with a tied head: the embedding and the residual are each used twice.
const [T, V, D, F] = [6, 11, 5, 7];
const tokens = Int32Array.from({ length: T }, (_, t) => (t * 4) % V);
const targets = Int32Array.from({ length: T }, (_, t) => (t === 2 ? -100 : (t * 5 + 1) % V));
function block(seed = 1): Record<"embed" | "norm" | "gate" | "up" | "down", Values> {
  const random = new Random(seed);
  return {
    embed: normal([V, D], random),
    norm: normal([D], random),
    gate: normal([F, D], random),
    up: normal([F, D], random),
    down: normal([D, F], random),
  };
}
type Block = Record<keyof ReturnType<typeof block>, Tensor>;

function mlp(x: Tensor, p: Block): Tensor {
  const h = rmsNorm(x, p.norm, { eps: 1e-5 });
  return linear(swiglu(linear(h, p.gate), linear(h, p.up)), p.down);
}

function lossOf(p: Block, through: (x: Tensor, p: Block) => Tensor = mlp): Tensor {
  const dev = p.embed.device;
  const x = gatherRows(p.embed, dev.tensor(tokens, [T]));
  const y = add(x, through(x, p));
  return sum(tokenLogProb(y, p.embed, dev.tensor(targets, [T])));
}

function oracle(p: Record<string, Values>): number {
  const at = (name: string, row: number, width: number) =>
    p[name]!.data.subarray(row * width, row * width + width);
  const dot = (a: Float64Array, b: Float64Array) => a.reduce((total, v, i) => total + v * b[i]!, 0);
  let loss = 0;
  for (let t = 0; t < T; t++) {
    if (targets[t] === -100) continue;
    const x = at("embed", tokens[t]!, D);
    const r = 1 / Math.sqrt(dot(x, x) / D + 1e-5);
    const h = x.map((v, i) => v * r * p.norm!.data[i]!);
    const hidden = Float64Array.from({ length: F }, (_, f) => {
      const z = dot(h, at("gate", f, D));
      return (z / (1 + Math.exp(-z))) * dot(h, at("up", f, D));
    });
    const y = x.map((v, i) => v + dot(hidden, at("down", i, F)));
    const logits = Array.from({ length: V }, (_, id) => dot(y, at("embed", id, D)));
    loss += logits[targets[t]!]! - Math.log(logits.reduce((total, z) => total + Math.exp(z), 0));
  }
  return loss;
}

test("a block with a tied embedding against central differences", async () => {
  const data = block();
  const params = Object.fromEntries(Object.entries(data).map(([name, v]) => [name, upload(v)])) as Block;
  const { value, grads } = valueAndGrad(params, () => lossOf(params));
  expect(relativeError([await value.item()], [oracle(data)])).toBeLessThan(1e-5);
  for (const [name, v] of Object.entries(data)) {
    const want = v.data.map((x, i) => {
      const h = 1e-5;
      v.data[i] = x + h;
      const up = oracle(data);
      v.data[i] = x - h;
      const down = oracle(data);
      v.data[i] = x;
      return (up - down) / (2 * h);
    });
    const grad = grads[name as keyof Block];
    expect(grad.shape).toEqual(v.shape);
    expect(grad.label).toBe(`gradient of ${name}`);
    expect(relativeError(await grad.data(), want), name).toBeLessThan(1e-4);
  }
  disposeAll(params, value, grads);
});

test("only the parameters asked for get gradients", async () => {
  const params = Object.fromEntries(Object.entries(block()).map(([name, v]) => [name, upload(v)])) as Block;
  const all = valueAndGrad(params, () => lossOf(params));
  const some = valueAndGrad({ up: params.up }, () => lossOf(params));
  expect(Object.keys(some.grads)).toEqual(["up"]);
  expect(await some.grads.up.data()).toEqual(await all.grads.up.data());
  disposeAll(params, all, some);
});

test("into: gradients are added to those of an earlier call", async () => {
  const params = Object.fromEntries(Object.entries(block()).map(([name, v]) => [name, upload(v)])) as Block;
  const { value, grads } = valueAndGrad(params, () => lossOf(params));
  const once = await read(grads);
  const second = valueAndGrad(params, () => scale(lossOf(params), 2), { into: grads });
  for (const name of Object.keys(grads) as (keyof Block)[]) {
    expect(second.grads[name]).toBe(grads[name]);
    expect(
      relativeError(
        await grads[name].data(),
        Float64Array.from(once[name]!, (g) => 3 * g),
      ),
    ).toBeLessThan(1e-5);
  }
  disposeAll(params, value, grads, second);
});

test("into: a call that fails leaves the gradients alive", async () => {
  const x = dev.full([3], 2);
  const { value, grads } = valueAndGrad({ x }, () => sum(x));
  const fail = () => {
    sum(x);
    throw new Error("stop");
  };
  expect(() => valueAndGrad({ x }, fail, { into: grads })).toThrow("stop");
  expect([...(await grads.x.data())]).toEqual([1, 1, 1]);
  disposeAll(x, value, grads);
});

test("the parts of a fused weight: the gradient of each, in one buffer", async () => {
  const data = block();
  const fused = dev.tensor(Float32Array.from([...data.gate.data, ...data.up.data]), [2, F, D]);
  const own = Object.fromEntries(Object.entries(data).map(([name, v]) => [name, upload(v)])) as Block;
  const parts: Block = { ...own, gate: fused.view([F, D]), up: fused.view([F, D], F * D) };
  const apart = valueAndGrad(own, () => lossOf(own));
  const together = valueAndGrad(parts, () => lossOf(parts));
  expect(await read(together.grads)).toEqual(await read(apart.grads));
  expect(together.grads.gate.root).toBe(together.grads.up.root);
  const one = valueAndGrad({ up: parts.up }, () => lossOf(parts));
  expect(await one.grads.up.data()).toEqual(await apart.grads.up.data());
  // The whole as a parameter, the parts as what the model reads.
  const whole = valueAndGrad({ fused }, () => lossOf(parts));
  expect([...(await whole.grads.fused.data())]).toEqual([
    ...(await apart.grads.gate.data()),
    ...(await apart.grads.up.data()),
  ]);
  const again = valueAndGrad(parts, () => lossOf(parts), { into: together.grads });
  const twice = Float64Array.from(await apart.grads.up.data(), (g) => 2 * g);
  expect(relativeError(await again.grads.up.data(), twice)).toBeLessThan(1e-5);
  disposeAll(fused, own, parts, apart, together, one, whole, again);
});

test("checkpoint: the same bits, with dropout and inside of another, and less memory", async () => {
  const params = Object.fromEntries(Object.entries(block()).map(([name, v]) => [name, upload(v)])) as Block;
  const noisy = (x: Tensor, p: Block) => dropout(mlp(dropout(x, 0.2), p), 0.3);
  const run = (through: typeof noisy) =>
    withRandomStreams({ seed: 3, first: 9 }, () => valueAndGrad(params, () => lossOf(params, through)));
  const plain = run(noisy);
  const recomputed = run((x, p) => checkpoint([x], () => [noisy(x, p)])[0]!);
  const nested = run(
    (x, p) =>
      checkpoint([x], () => {
        const dropped = dropout(x, 0.2);
        return checkpoint([dropped], () => [dropout(mlp(dropped, p), 0.3)]);
      })[0]!,
  );
  for (const other of [recomputed, nested]) {
    expect(await other.value.data()).toEqual(await plain.value.data());
    expect(await read(other.grads)).toEqual(await read(plain.grads));
  }
  disposeAll(params, plain, recomputed, nested);
});

test("checkpoint: two outputs of which one is used, and parameters alone inside", async () => {
  const [x, w] = [dev.tensor([1, 2], [1, 2]), dev.tensor([3, 4], [1, 2])];
  const loss = () => {
    const [used] = checkpoint([x], () => [linear(x, w), scale(x, 5)]);
    return scale(used!, 2);
  };
  const { value, grads } = valueAndGrad({ w }, loss);
  expect(await value.item()).toBe(22);
  expect([...(await grads.w.data())]).toEqual([2, 4]);
  disposeAll(x, w, value, grads);
});

test("a parameter that nothing reached has a gradient of zeros", async () => {
  const [x, y] = [dev.full([2], 1), dev.full([3, 2], 1, "bf16")];
  const { value, grads } = valueAndGrad({ x, y }, () => sum(x));
  expect(grads.y.dtype).toBe("f32");
  expect([...(await grads.y.data())]).toEqual(Array(6).fill(0));
  const none = valueAndGrad({ x }, () => dev.full([1], 4));
  expect(await none.value.item()).toBe(4);
  expect([...(await none.grads.x.data())]).toEqual([0, 0]);
  disposeAll(x, y, value, grads, none);
});

test("the loss may be a parameter itself", async () => {
  const x = dev.full([1], 7);
  const { value, grads } = valueAndGrad({ x }, () => x);
  expect([await value.item(), await grads.x.item()]).toEqual([7, 1]);
  disposeAll(value, grads);
  expect(x.disposed).toBe(false);
  x.dispose();
});

test("one gradient handed to two tensors: adding to one leaves the other alone", async () => {
  const x = dev.tensor([1, -2], [2]);
  const { value, grads } = valueAndGrad({ x }, () => {
    const [a, b] = [scale(x, 2), scale(x, 3)];
    const c = scale(a, 5);
    return sum(add(add(a, b), c)); // a and b get the gradient of their sum; c then adds to a's
  });
  expect(await value.item()).toBe(-15);
  expect([...(await grads.x.data())]).toEqual([15, 15]);
  disposeAll(x, value, grads);
});

test("a tensor used twice by one op", async () => {
  const x = dev.tensor([1, -2], [2]);
  const { value, grads } = valueAndGrad({ x }, () => {
    const y = scale(x, 1);
    const z = add(y, y);
    return sum(add(add(z, y), add(z, z, { alpha: 2 }), { beta: 0.5 })); // z = 2y; (z + y) + 3z/2 = 6y
  });
  expect(await value.item()).toBe(-6);
  expect([...(await grads.x.data())]).toEqual([6, 6]);
  disposeAll(x, value, grads);
});

test("gradients flow through views of what was computed", async () => {
  const x = dev.tensor([1, 2, 3, 4, 5, 6], [2, 3]);
  const { value, grads } = valueAndGrad({ x }, () => {
    const y = scale(x, 2);
    const part = y.view([2, 2], 1);
    return add(sum(scale(y.view([6]), 10)), sum(add(part.view([4]), y.view([4], 2))));
  });
  expect(await value.item()).toBe(420 + 28 + 36);
  expect([...(await grads.x.data())]).toEqual([20, 22, 24, 24, 24, 22]);
  disposeAll(x, value, grads);
});

test("withoutGrad records nothing, needsGrad tells", () => {
  const [x, other] = [dev.full([1], 2), dev.full([1], 3)];
  expect(needsGrad(x)).toBe(false);
  const { value, grads } = valueAndGrad({ x }, () => {
    expect([needsGrad(x), needsGrad(other), needsGrad(undefined)]).toEqual([true, false, false]);
    expect(needsGrad(scale(x, 2))).toBe(true);
    expect(needsGrad(withoutGrad(() => scale(x, 2)))).toBe(false);
    return scale(x, 2);
  });
  disposeAll(x, other, value, grads);
});

test("refused: nesting, promises, no tensor, more than one number; nothing is left alive", () => {
  const x = dev.full([3], 1);
  const { live } = dev.stats();
  const inner = () => valueAndGrad({ x }, () => sum(x)).value;
  expect(() => valueAndGrad({ x }, inner)).toThrow(ConfigError);
  expect(() => valueAndGrad({ x }, (async () => sum(x)) as never)).toThrow(
    "valueAndGrad: the callback returned a promise",
  );
  expect(() => valueAndGrad({ x }, (() => 3) as never)).toThrow(ConfigError);
  expect(() => valueAndGrad({ x }, () => scale(x, 2))).toThrow(ShapeError);
  expect(dev.stats().live).toBe(live);
  expect(needsGrad(x)).toBe(false);
  x.dispose();
});

test("a gradient that throws half way leaves nothing alive", () => {
  const params = Object.fromEntries(Object.entries(block()).map(([name, v]) => [name, upload(v)])) as Block;
  const { live } = dev.stats();
  const broken = (x: Tensor, p: Block) => {
    const y = scale(mlp(x, p), 1);
    record({
      inputs: [y],
      outputs: [y],
      keeps: [y],
      backward: () => {
        throw new Error("broken");
      },
    });
    return y;
  };
  expect(() => valueAndGrad(params, () => lossOf(params, broken))).toThrow("broken");
  expect(() =>
    valueAndGrad(params, () => lossOf(params, (x, p) => checkpoint([x], () => [broken(x, p)])[0]!)),
  ).toThrow("broken");
  expect(dev.stats().live).toBe(live);
  disposeAll(params);
});

test("out of memory at any point of the forward or backward pass leaves nothing alive", async () => {
  let failures = 0;
  for (let limit = 2048; ; limit += 256) {
    const small = await device("cpu", { threads: 1, memoryLimitBytes: limit });
    const params = Object.fromEntries(
      Object.entries(block()).map(([name, v]) => [name, upload(v, small)]),
    ) as Block;
    const { live } = small.stats();
    const recomputed = (x: Tensor, p: Block) => checkpoint([x], () => [mlp(x, p)])[0]!;
    let done = true;
    try {
      disposeAll(valueAndGrad(params, () => lossOf(params, recomputed)));
    } catch (error) {
      expect(error).toBeInstanceOf(OutOfMemoryError);
      failures++;
      done = false;
    }
    expect(small.stats().live).toBe(live);
    small.close();
    if (done) break;
  }
  expect(failures).toBeGreaterThan(5);
});

test("read: the parameters that were used, those inside of recomputed parts too", () => {
  const params = { a: dev.full([1, 2], 1), b: dev.full([2, 2], 1), c: dev.full([1, 2], 1) };
  const x = dev.full([1, 2], 1);
  const seen = (fn: () => Tensor) => {
    const read = new Set<Tensor>();
    const pass = valueAndGrad(params, fn, { read });
    disposeAll(pass);
    return Object.entries(params).flatMap(([name, param]) => (read.has(param) ? [name] : []));
  };
  expect(seen(() => linear(x, params.a))).toEqual(["a"]);
  const inner = () => checkpoint([x], () => [linear(x, params.b)])[0]!;
  expect(seen(() => checkpoint([x], () => [linear(inner(), params.a)])[0]!)).toEqual(["a", "b"]);
  expect(seen(() => linear(withoutGrad(inner), params.c))).toEqual(["c"]);
  disposeAll(params, x);
});
