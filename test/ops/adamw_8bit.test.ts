import { describe, expect, it, test } from "vitest";
import type { Device } from "../../lib/core/device.ts";
import { DeviceError } from "../../lib/core/errors.ts";
import { Random } from "../../lib/core/random.ts";
import { run } from "../../lib/core/run.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { opened, relativeError, roundBf16, ways } from "../support/check_op.ts";

/** The dynamic map as the authors' program makes it (bitsandbytes, create_dynamic_map), in float64: 256 values, ascending. */
function dynamicMap(signed: boolean): number[] {
  const values = [0, 1];
  for (let i = 0; i < 7; i++) {
    const parts = 2 ** (signed ? i : i + 1);
    for (let k = 0; k < parts; k++) {
      const value = 10 ** (i - 6) * (0.1 + (0.9 * (k + 0.5)) / parts);
      values.push(value);
      if (signed) values.push(-value);
    }
  }
  return values.sort((a, b) => a - b);
}
const maps = { first: dynamicMap(true), second: dynamicMap(false) };
const f32Maps = { first: maps.first.map(Math.fround), second: maps.second.map(Math.fround) };

/** Between a value and the next, in f32 as the kernel has it. */
const middles = (map: readonly number[]) =>
  map.slice(1).map((v, i) => Math.fround(Math.fround(v + map[i]!) / 2));

/** The code of x; in the middle between two it may be either. */
function nearest(map: readonly number[], x: number): number {
  let best = 0;
  for (const [i, v] of map.entries()) if (Math.abs(v - x) < Math.abs(map[best]! - x)) best = i;
  return best;
}

const moments = ["first", "second"] as const;
interface State {
  codes: number[];
  scales: number[];
}
const valueAt = (kind: "first" | "second", { codes, scales }: State, i: number): number =>
  scales[Math.floor(i / 256)]! * maps[kind][codes[i]!]!;

/** Half of the widest gap around the value of a code, over the scale: how far rounding may go. */
function farthest(kind: "first" | "second", code: number): number {
  const map = maps[kind];
  const [low = -1, here = 0, high = 1] = [map[code - 1] ?? -1, map[code], map[code + 1] ?? 1];
  const least = kind === "second" && code === 1 ? here : 0; // what is above 0 is rounded up to it
  return Math.max((here - low) / 2, (high - here) / 2, least);
}

const packed = (codes: readonly number[]): Int32Array => {
  const bytes = new Uint8Array(Math.ceil(codes.length / 4) * 4);
  bytes.set(codes);
  return new Int32Array(bytes.buffer);
};

async function unpacked(codes: Tensor, size: number): Promise<number[]> {
  return Array.from(new Uint8Array((await codes.bytesData()).buffer, 0, size));
}

function stateTensors(dev: Device, { codes, scales }: State): [Tensor, Tensor] {
  const words = packed(codes);
  return [dev.tensor(words, [words.length]), dev.tensor(scales, [scales.length])];
}

function randomState(random: Random, size: number): Record<"first" | "second", State> {
  const make = (): State => ({
    codes: Array.from({ length: size }, () => Math.floor(random.uniform() * 256)),
    scales: Array.from({ length: Math.ceil(size / 256) }, () => Math.fround(Math.exp(random.normal()))),
  });
  return { first: make(), second: make() };
}

describe("codes", () => {
  // With betas of 0 the moments are g and g².
  async function codesOf(dev: Device, g: Float32Array): Promise<Record<"first" | "second", State>> {
    const size = g.length;
    const zero = { codes: new Array(size).fill(0), scales: new Array(Math.ceil(size / 256)).fill(0) };
    const [first, firstScale] = stateTensors(dev, zero);
    const [second, secondScale] = stateTensors(dev, zero);
    const grad = dev.tensor(g, [size]);
    const param = dev.full([size], 0);
    const lists = [[grad], [param], [first], [firstScale], [second], [secondScale], [undefined]];
    run("adamw_8bit", ...lists, undefined, 0.1, 0, 0, 1e-8, 0, true, 1);
    const read = async (codes: Tensor, scales: Tensor) => ({
      codes: await unpacked(codes, size),
      scales: Array.from(await scales.data()),
    });
    const result = { first: await read(first, firstScale), second: await read(second, secondScale) };
    disposeAll(lists.flat().filter((t) => t !== undefined));
    return result;
  }

  it("there are 256 values of each kind", () => {
    for (const kind of moments) expect(new Set(f32Maps[kind]).size).toBe(256);
    expect(maps.first.slice(126, 129)).toEqual([-5.5e-7, 0, 5.5e-7]);
  });

  const around = (x: number) => [x, Math.min(1, x * (1 + 2 ** -23)), x * (1 - 2 ** -23)].map(Math.fround);
  const edges = [...f32Maps.first, ...middles(f32Maps.first)].flatMap(around);
  const roots = [...f32Maps.second, ...middles(f32Maps.second)].flatMap((x) =>
    around(Math.fround(Math.sqrt(x))),
  );
  // The largest of every block is 1, so that the others are themselves.
  const blocks = (values: readonly number[]) =>
    Float32Array.from({ length: Math.ceil(values.length / 255) * 256 }, (_, i) =>
      i % 256 === 0 ? 1 : (values[i - Math.ceil(i / 256)] ?? 0),
    );

  it.each(ways)("%s: the nearest value, at every value and every middle between two", async (title) => {
    const dev = await opened(title);
    const g = blocks([...edges, ...roots, 1e-12, -1e-12, 1e-30, -0, 2 ** -24, -(2 ** -22)]);
    const got = await codesOf(dev, g);
    expect(new Set(got.first.scales)).toEqual(new Set([1]));
    expect(new Set(got.second.scales)).toEqual(new Set([1]));
    for (const [i, x] of g.entries()) {
      const square = Math.fround(x * x);
      const first = Math.abs(f32Maps.first[got.first.codes[i]!]! - x);
      const second = Math.abs(f32Maps.second[got.second.codes[i]!]! - square);
      const best = {
        first: Math.abs(f32Maps.first[nearest(f32Maps.first, x)]! - x),
        second: Math.abs(f32Maps.second[nearest(f32Maps.second, square)]! - square),
      };
      // A middle rounded to f32 may lie a bit off.
      expect(first - best.first, `${x}`).toBeLessThanOrEqual(2 ** -23 * Math.abs(x));
      if (square > 0 && square < f32Maps.second[1]! / 2) expect(got.second.codes[i], `${x}`).toBe(1);
      else expect(second - best.second, `${x}²`).toBeLessThanOrEqual(2 ** -23 * square);
      if (x === 0) expect([got.first.codes[i], got.second.codes[i]]).toEqual([127, 0]);
    }
  });

  it("a block of zeros, and blocks of very small and large numbers", async () => {
    const dev = await opened();
    const g = new Float32Array(256 * 4);
    g.fill(1e-18, 256, 512).fill(-1e18, 512, 768);
    g[768] = 2 ** -70;
    const { first, second } = await codesOf(dev, g);
    expect(first.scales).toEqual([0, 1e-18, 1e18, 2 ** -70].map(Math.fround));
    for (const [i, x] of [0, 1e-36, 1e36, 2 ** -140].entries())
      expect(Math.abs(second.scales[i]! - x)).toBeLessThanOrEqual(x * 1e-6);
    expect([0, 256, 512, 768, 769].map((i) => first.codes[i])).toEqual([127, 255, 0, 255, 127]);
    expect([0, 256, 512, 768, 769].map((i) => second.codes[i])).toEqual([0, 255, 255, 255, 0]);
  });
});

const settings = { lr: 0.05, beta1: 0.9, beta2: 0.99, eps: 1e-6, decay: 0.1, step: 7 };

describe("one update from any state", () => {
  const sizes = [1, 255, 256, 257, 0, 5003, 16384 + 3];
  const results: Record<string, number[][]> = {};

  for (const decoupled of [true, false]) {
    it.each(ways)(
      `%s, ${decoupled ? "decoupled" : "L2"}: float64's, the moments to half a gap`,
      async (title) => {
        const dev = await opened(title);
        const random = new Random(9);
        const normals = (n: number) => Array.from({ length: n }, () => roundBf16(random.normal()));
        const cases = sizes.map((size, i) => ({
          size,
          half: i % 2 === 1,
          p: normals(size),
          g: normals(size),
          ...randomState(random, size),
        }));
        // The parameters and gradients of one tensor are views at an odd element.
        const odd = (values: number[]) => {
          const root = dev.tensor([0, ...values], [values.length + 1]);
          const view = root.view([values.length], 1);
          root.dispose();
          return view;
        };
        const tensors = cases.map(({ size, half, p, g, first, second }) => {
          const make = size === 257 ? odd : (values: number[]) => dev.tensor(values, [values.length]);
          return {
            grad: size === 257 || size === 5003 ? odd(g) : dev.tensor(g, [size]),
            param: half ? dev.tensor(p, [size], { dtype: "bf16" }) : make(p),
            master: half ? make(p) : undefined,
            first: stateTensors(dev, first),
            second: stateTensors(dev, second),
          };
        });
        const scale = dev.tensor([0.5], [1]);
        const list = (pick: (t: (typeof tensors)[number]) => Tensor | undefined) => tensors.map(pick);
        const { lr, beta1, beta2, eps, decay, step } = settings;
        run(
          "adamw_8bit",
          list((t) => t.grad),
          list((t) => t.param),
          list((t) => t.first[0]),
          list((t) => t.first[1]),
          list((t) => t.second[0]),
          list((t) => t.second[1]),
          list((t) => t.master),
          scale,
          lr,
          beta1,
          beta2,
          eps,
          decay,
          decoupled,
          step,
        );
        const bits: number[][] = [];
        for (const [n, { size, half, p, g, first, second }] of cases.entries()) {
          const own = tensors[n]!;
          const wantP: number[] = [];
          const want = { first: [] as number[], second: [] as number[] };
          for (let i = 0; i < size; i++) {
            const gi = 0.5 * g[i]! + (decoupled ? 0 : decay * p[i]!);
            const m = beta1 * valueAt("first", first, i) + (1 - beta1) * gi;
            const v = beta2 * valueAt("second", second, i) + (1 - beta2) * gi * gi;
            const hat = m / (1 - beta1 ** step) / (Math.sqrt(v / (1 - beta2 ** step)) + eps);
            wantP.push(p[i]! - lr * ((decoupled ? decay * p[i]! : 0) + hat));
            want.first.push(m);
            want.second.push(v);
          }
          const gotP = await (own.master ?? own.param).data();
          expect(relativeError(gotP, wantP), `${size}`).toBeLessThan(2e-6);
          if (half) expect(await own.param.data()).toEqual(Float32Array.from(gotP, roundBf16));
          bits.push(Array.from(gotP));
          for (const kind of moments) {
            const [codes, scales] = own[kind];
            const got = { codes: await unpacked(codes, size), scales: Array.from(await scales.data()) };
            bits.push(got.codes, got.scales);
            const tops = got.scales.map((_, block) =>
              Math.max(...want[kind].slice(256 * block, 256 * block + 256).map(Math.abs)),
            );
            if (size > 0) expect(relativeError(got.scales, tops)).toBeLessThan(1e-6);
            for (const [i, code] of got.codes.entries()) {
              const off = Math.abs(valueAt(kind, got, i) - want[kind][i]!) / tops[Math.floor(i / 256)]!;
              expect(off, `${kind} ${i} of ${size}`).toBeLessThanOrEqual(farthest(kind, code) + 1e-6);
            }
          }
        }
        disposeAll(
          tensors.map((t) => [t.grad, t.param, ...t.first, ...t.second, ...(t.master ? [t.master] : [])]),
          scale,
        );
        if (!["2 threads", "1 thread", "sync"].includes(title)) return;
        results[`${decoupled}`] ??= bits;
        expect(bits).toEqual(results[`${decoupled}`]);
      },
    );
  }
});

test("state that doesn't fit its parameter is refused", async () => {
  const dev = await opened("sync");
  const [p, g, words, scales] = [
    dev.full([300], 0),
    dev.full([300], 0),
    dev.full([75], 0, "i32"),
    dev.full([1], 0),
  ];
  const attempt = () =>
    run(
      "adamw_8bit",
      [g],
      [p],
      [words],
      [scales],
      [words],
      [scales],
      [undefined],
      undefined,
      0.1,
      0,
      0,
      0,
      0,
      true,
      1,
    );
  expect(attempt).toThrow(DeviceError);
  dev.reset();
  disposeAll(p, g, words, scales);
});
