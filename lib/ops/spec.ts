import { type DType, describe } from "../core/dtype.ts";
import { DTypeError, ShapeError } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";

/**
 * What an op is, in one place: it drives the shape checks and their messages, the op tests and the table in README.md.
 *
 * An operand is written `[axes] dtype`, as in `[T, D] float`, `[T] i32`, `[E+1] i32`. Axes are names, bound at first use,
 * or numbers; `...T` binds the product of all leading axes. dtypes are f32, bf16, i32, or float for f32 or bf16. A `?` at
 * the end marks an operand that may be left out.
 */
export interface OpSpec {
  /** The public function's name. */
  name: string;
  /** The kernels it owns, as named in native/ops/table.h; its gradient may enqueue those of other ops besides. */
  kernels: readonly string[];
  math: string;
  inputs: Readonly<Record<string, string>>;
  outputs: Readonly<Record<string, string>>;
  /** Largest error against float64, relative to the largest value of the tensor. */
  tolerance: { f32: number; bf16: number };
  /** Paper or program that defines it. */
  source?: string;
}

/** `E+1`: the size of axis E, and one more. `3`: that size. */
interface Axis {
  text: string;
  name: string;
  plus: number;
  fixed: number | undefined;
}

interface ParsedOperand {
  name: string;
  text: string;
  axes: readonly Axis[];
  /** Leading axes fold into the first one. */
  folds: boolean;
  dtype: DType | "float";
  optional: boolean;
}

/** Parses `[...T, D] float?`. */
function parseOperand(name: string, text: string): ParsedOperand {
  const match = /^\[(.*)\] (float|f32|bf16|i32)(\?)?$/.exec(text);
  if (!match) throw new TypeError(`spec: "${text}", needed "[axes] dtype"`);
  const axes = match[1] === "" ? [] : match[1]!.split(",").map(parseAxis);
  const folds = match[1]!.startsWith("...");
  return { name, text, axes, folds, dtype: match[2] as DType | "float", optional: match[3] === "?" };
}

function parseAxis(written: string): Axis {
  const text = written.trim().replace(/^\.\.\./, "");
  const [, name = text, plus = "0"] = /^(\w+)\+(\d+)$/.exec(text) ?? [];
  return { text, name, plus: Number(plus), fixed: /^\d+$/.test(name) ? Number(name) : undefined };
}

const parsed = new WeakMap<OpSpec["inputs"], readonly ParsedOperand[]>();

function operandsOf({ inputs }: OpSpec): readonly ParsedOperand[] {
  let found = parsed.get(inputs);
  if (found === undefined) {
    found = Object.entries(inputs).map(([name, text]) => parseOperand(name, text));
    parsed.set(inputs, found);
  }
  return found;
}

type Axes = Record<string, number>;
type Operands = Record<string, Tensor | undefined>;

/**
 * Checks the operands of an op against its spec and returns the sizes of its axes. Throws ShapeError or DTypeError in the
 * words of the spec.
 */
export function check(spec: OpSpec, operands: Operands): Axes {
  const axes: Axes = {};
  let first: Tensor | undefined;
  for (const want of operandsOf(spec)) {
    const { name, text } = want;
    const tensor = operands[name];
    if (tensor === undefined) {
      if (want.optional) continue;
      throw new ShapeError(`${spec.name}: ${name} was not given, ${text} was needed`, spec.name);
    }
    void tensor.id; // throws DisposedError while no output is made yet
    first ??= tensor;
    if (tensor.device !== first.device) {
      const other = operandsOf(spec).find((operand) => operands[operand.name] === first)!;
      throw refusal(spec, operands, `${other.name} and ${name} live on two devices, one was needed`);
    }
    if (want.dtype === "float" ? tensor.dtype === "i32" : tensor.dtype !== want.dtype) {
      const needed = want.dtype === "float" ? "f32 or bf16" : want.dtype;
      throw refusal(spec, operands, `${name} is ${tensor.dtype}, ${needed} was needed`, DTypeError);
    }
    const { shape } = tensor;
    // A tensor without leading axes has one row.
    const leading = shape.length - want.axes.length + 1;
    const folded = want.folds && leading >= 0 ? leading : 1;
    if (shape.length - folded + 1 !== want.axes.length) {
      throw refusal(spec, operands, `${name} has ${shape.length} axes, ${text} was needed`);
    }
    for (let i = 0; i < want.axes.length; i++) {
      let size = 1;
      if (i > 0) size = shape[i + folded - 1]!;
      else for (let axis = 0; axis < folded; axis++) size *= shape[axis]!;
      bind(spec, operands, axes, want, i, size);
    }
  }
  return axes;
}

function bind(
  spec: OpSpec,
  operands: Operands,
  axes: Axes,
  want: ParsedOperand,
  position: number,
  size: number,
): void {
  const { text, name, plus, fixed } = want.axes[position]!;
  const expected = fixed ?? axes[name];
  if (expected === undefined) {
    axes[name] = size - plus;
  } else if (expected !== size - plus) {
    const binds = (other: ParsedOperand): boolean =>
      operands[other.name] !== undefined && other.axes.some((axis) => axis.name === name);
    const by = fixed === undefined ? operandsOf(spec).find(binds) : undefined;
    const reason = by === undefined ? "" : `, ${by.name} gives ${name} = ${expected}`;
    throw refusal(spec, operands, `${want.name} has ${text} = ${size}${reason}; ${want.text} was needed`);
  }
}

function refusal(
  spec: OpSpec,
  operands: Operands,
  what: string,
  Kind: typeof ShapeError | typeof DTypeError = ShapeError,
): Error {
  return new Kind(`${spec.name}: ${what} (${list(operands)})`, spec.name, named(operands));
}

const named = (operands: Operands): string[] =>
  Object.entries(operands)
    .filter(([, tensor]) => tensor !== undefined)
    .map(([name, tensor]) => `${name} ${describe(tensor!.shape, tensor!.dtype)}`);

const list = (operands: Operands): string => named(operands).join(", ");
