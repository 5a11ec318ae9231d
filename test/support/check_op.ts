import { afterAll, expect, test } from "vitest";
import { type DebugMode, type Device, device } from "../../lib/core/device.ts";
import type { DType } from "../../lib/core/dtype.ts";
import { ConfigError, DTypeError, ShapeError } from "../../lib/core/errors.ts";
import { native } from "../../lib/core/native.ts";
import { Random } from "../../lib/core/random.ts";
import { scope } from "../../lib/core/scope.ts";
import { disposeAll, valueAndGrad } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import type { OpSpec } from "../../lib/ops/spec.ts";
import { dotForTest } from "./dot.ts";
import { testDevice } from "./test_device.ts";

/** Values in float64, as an oracle sees them. */
export interface Values {
  shape: number[];
  data: Float64Array;
}

export const values = (shape: number[], fill: (i: number) => number): Values => ({
  shape,
  data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => fill(i)),
});
export const normal = (shape: number[], random: Random, scale = 1): Values =>
  values(shape, () => random.normal() * scale);

export interface OpCase {
  /** What the case shows, in a few words: "31 columns", "an expert without rows". */
  title: string;
  /** Float operands that get gradients, by name, then the rest: i32 operands as Int32Array with a shape. */
  floats: (random: Random) => Record<string, Values>;
  ints?: (random: Random) => Record<string, { shape: number[]; data: Int32Array }>;
}

export interface OpCheck {
  spec: OpSpec;
  cases: OpCase[];
  /** Calls the op. Returns the output whose gradient is checked, or a list: all are compared, all get cotangents. */
  call: (t: Record<string, Tensor>) => Tensor | Tensor[];
  /** The slow and obvious version, in float64: outputs in the order of `call`. */
  oracle: (
    v: Record<string, Float64Array>,
    shapes: Record<string, number[]>,
    ints: Record<string, Int32Array>,
  ) => Float64Array[];
  /** Float operands whose gradient is compared with central differences of the oracle. Default: all of them. */
  gradientOf?: string[];
  /** Operands that stay f32 when the others are stored as bf16, besides those the spec says so of. */
  alwaysF32?: string[];
  /** Gradient tolerance as a multiple of the forward one. Default 10. */
  gradientFactor?: number;
}

/** Instruction sets besides the best, which the CPU is tested with. */
const otherIsas = testDevice === "cpu" ? native().usableIsas().slice(1) : [];

interface Configuration {
  title: string;
  threads: number;
  debug: DebugMode[];
  isa?: string;
  on?: "cpu";
}
const configurations: Configuration[] = [
  { title: "2 threads", threads: 2, debug: ["guard"] },
  { title: "1 thread", threads: 1, debug: [] }, // unguarded: freed memory serves the next tensor at once
  { title: "sync", threads: 2, debug: ["sync", "guard"] },
  ...otherIsas.map((isa) => ({ title: isa, threads: 2, debug: ["guard"] as DebugMode[], isa })),
];

/** Engines that give other bits, which an op is compared with: other instruction sets; of another device than the CPU, the CPU. */
const onCpu: Configuration = { title: "the CPU", threads: 2, debug: ["guard"], on: "cpu" };
const others = testDevice === "cpu" ? otherIsas : [onCpu.title];

/** Names of the ways a test runs an op: threads, inline, and each instruction set besides the best. */
export const ways: readonly string[] = configurations.map(({ title }) => title);

const staysF32 = (op: OpCheck, name: string): boolean =>
  op.alwaysF32?.includes(name) || /f32\??$/.test(op.spec.inputs[name] ?? "");

const open: Record<string, Promise<Device>> = {};
/** A device of this test file, the same one for each title; closed at its end, when nothing may be left alive. */
export function opened(title = "2 threads"): Promise<Device> {
  const { threads, debug, isa, on = testDevice } = [...configurations, onCpu].find((c) => c.title === title)!;
  open[title] ??= device(on, { threads, debug, isa });
  return open[title];
}

afterAll(async () => {
  for (const opening of Object.values(open)) {
    const dev = await opening;
    await dev.ready();
    expect(dev.stats().live, "live tensors at the end").toBe(0);
    dev.close();
  }
});

// Round to bf16, so that the oracle starts from what is stored.
const toBf16 = new Float32Array(1);
const toBf16Bits = new Uint32Array(toBf16.buffer);
export function roundBf16(x: number): number {
  toBf16[0] = x;
  const bits = toBf16Bits[0]!;
  toBf16Bits[0] = ((bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000) >>> 0;
  return toBf16[0]!;
}

interface Outcome {
  outputs: (Float32Array | Int32Array)[];
  grads: Record<string, Float32Array | Int32Array>;
}

/** Runs the op and its gradient under the cotangents `seeds` on a fresh set of tensors. */
async function perform(
  dev: Device,
  check: OpCheck,
  floats: Record<string, Values>,
  ints: Record<string, { shape: number[]; data: Int32Array }>,
  dtype: DType,
  cotangents: Float64Array[] | undefined,
): Promise<Outcome> {
  const before = dev.stats().live;
  const tensors: Record<string, Tensor> = {};
  for (const [name, v] of Object.entries(floats)) {
    tensors[name] = dev.tensor(Float32Array.from(v.data), v.shape, {
      dtype: staysF32(check, name) ? "f32" : dtype,
    });
  }
  for (const [name, v] of Object.entries(ints)) tensors[name] = dev.tensor(v.data, v.shape);
  const gradientOf = Object.keys(floats).filter((name) => check.gradientOf?.includes(name) ?? true);
  const outputs = scope(() => [check.call(tensors)].flat());
  const outcome: Outcome = { outputs: await Promise.all(outputs.map((t) => t.data())), grads: {} };
  if (cotangents !== undefined && gradientOf.length > 0) {
    const params = Object.fromEntries(gradientOf.map((name) => [name, tensors[name]!]));
    const { value, grads } = valueAndGrad(params, () => dotForTest([check.call(tensors)].flat(), cotangents));
    for (const name of gradientOf) outcome.grads[name] = await grads[name]!.data();
    disposeAll(value, grads);
  }
  disposeAll(tensors, outputs);
  expect(dev.stats().live, "live tensors after the op").toBe(before);
  return outcome;
}

/** Largest |a - b| relative to the largest |b|. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let largest = 0;
  let error = 0;
  for (let i = 0; i < b.length; i++) {
    largest = Math.max(largest, Math.abs(b[i]!));
    const difference = Math.abs(a[i]! - b[i]!);
    error = Math.max(error, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
  }
  return error / Math.max(largest, 1e-3);
}

/** Central differences of Σ cotangent · oracle with respect to some elements of one operand. */
function numericGradient(
  name: string,
  indices: number[],
  check: OpCheck,
  data: Record<string, Float64Array>,
  shapes: Record<string, number[]>,
  ints: Record<string, Int32Array>,
  cotangents: Float64Array[],
): number[] {
  const total = (): number =>
    check
      .oracle(data, shapes, ints)
      .reduce((sum, out, i) => sum + out.reduce((s, y, j) => s + y * cotangents[i]![j]!, 0), 0);
  const x = data[name]!;
  return indices.map((i) => {
    const value = x[i]!;
    const h = 1e-4 * Math.max(1, Math.abs(value));
    x[i] = value + h;
    const up = total();
    x[i] = value - h;
    const down = total();
    x[i] = value;
    return (up - down) / (2 * h);
  });
}

const sameBits = (a: Outcome, b: Outcome): void => {
  expect(b.outputs).toEqual(a.outputs);
  expect(b.grads).toEqual(a.grads);
};

/**
 * The test of an op (house.md §10.1): forward against the float64 oracle and backward against central differences of it,
 * for f32 and bf16, on every instruction set; the same bits when run twice, on 1 and 2 threads and inline; memory
 * pre-filled with NaN and fenced; nothing left alive.
 */
export function checkOp(op: OpCheck): void {
  checkRefusals(op);
  const takesBf16 = Object.values(op.spec.inputs).some((text) => text.includes("float"));
  for (const dtype of takesBf16 ? (["f32", "bf16"] as const) : (["f32"] as const)) {
    for (const c of op.cases) {
      test(`${op.spec.name} ${dtype}: ${c.title}`, async () => {
        const random = new Random(20261124);
        const floats = c.floats(random);
        const ints = c.ints?.(random) ?? {};
        if (dtype === "bf16") {
          for (const [name, v] of Object.entries(floats))
            if (!staysF32(op, name)) v.data = v.data.map(roundBf16);
        } else for (const v of Object.values(floats)) v.data = v.data.map(Math.fround);
        const data = Object.fromEntries(Object.entries(floats).map(([name, v]) => [name, v.data]));
        const shapes = Object.fromEntries(
          [...Object.entries(floats), ...Object.entries(ints)].map(([name, v]) => [name, v.shape]),
        );
        const rawInts = Object.fromEntries(Object.entries(ints).map(([name, v]) => [name, v.data]));
        const expected = op.oracle(data, shapes, rawInts);
        const cotangents = expected.map((out) =>
          out.map(() => (dtype === "bf16" ? roundBf16(random.normal()) : Math.fround(random.normal()))),
        );
        const perf = async (title: string) =>
          perform(await opened(title), op, floats, ints, dtype, cotangents);
        const first = await perf("2 threads");
        const tolerance = op.spec.tolerance[dtype];
        expected.forEach((want, i) => {
          expect(relativeError(first.outputs[i]!, want), `output ${i}`).toBeLessThan(tolerance);
        });
        for (const [name, got] of Object.entries(first.grads)) {
          const indices =
            got.length <= 48 ? [...got.keys()] : Array.from({ length: 48 }, () => random.below(got.length));
          const want = numericGradient(name, indices, op, data, shapes, rawInts, cotangents);
          const some = indices.map((i) => got[i]!);
          expect(relativeError(some, want), `gradient of ${name}`).toBeLessThan(
            tolerance * (op.gradientFactor ?? 10),
          );
        }
        sameBits(first, await perf("2 threads"));
        sameBits(first, await perf("1 thread"));
        sameBits(first, await perf("sync"));
        for (const title of others) {
          const other = await perf(title);
          expected.forEach((want, i) => {
            expect(relativeError(other.outputs[i]!, want), `${title}, output ${i}`).toBeLessThan(tolerance);
          });
          for (const [name, got] of Object.entries(other.grads)) {
            expect(relativeError(got, first.grads[name]!), `${title}, gradient of ${name}`).toBeLessThan(
              tolerance * (op.gradientFactor ?? 10),
            );
          }
        }
      });
    }
  }
}

/** A wrong number format or one axis too many is refused for every operand, a wrong size for at least one. */
function checkRefusals(op: OpCheck): void {
  test(`${op.spec.name}: operands that don't fit are refused`, async () => {
    const dev = await opened("2 threads");
    const random = new Random(1);
    const floats = op.cases[0]!.floats(random);
    const ints = op.cases[0]!.ints?.(random) ?? {};
    type Change = (shape: number[]) => number[];
    const make = (name: string, change: Change, format?: DType): Record<string, Tensor> => {
      const tensors: Record<string, Tensor> = {};
      for (const [key, { shape }] of Object.entries({ ...floats, ...ints })) {
        const dtype = key in floats ? "f32" : "i32";
        tensors[key] = key === name ? dev.full(change(shape), 0, format ?? dtype) : dev.full(shape, 0, dtype);
      }
      return tensors;
    };
    const failureOf = (tensors: Record<string, Tensor>): unknown => {
      try {
        scope(() => void op.call(tensors));
        return undefined;
      } catch (error) {
        return error;
      } finally {
        disposeAll(tensors);
        dev.reset(); // a kernel may have met offsets of 0
      }
    };
    const names = Object.keys({ ...floats, ...ints });
    let refused = 0;
    for (const name of names) {
      const swapped = make(name, (shape) => shape, name in floats ? "i32" : "f32");
      expect(failureOf(swapped), `${name} in another format`).toBeInstanceOf(DTypeError);
      for (const change of [
        (shape: number[]) => shape.map((n, axis) => (axis === shape.length - 1 ? n + 1 : n)),
        (shape: number[]) => [...shape, 2],
      ]) {
        const failure = failureOf(make(name, change));
        if (failure === undefined) continue;
        expect(failure, `${name} in another size`).toSatisfy(
          (error) => error instanceof ShapeError || error instanceof ConfigError,
        );
        if ((failure as Error).message.startsWith(`${op.spec.name}:`)) refused++;
      }
    }
    if (names.length > 1) expect(refused).toBeGreaterThan(0);
  });
}
