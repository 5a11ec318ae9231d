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

export interface ParsedOperand {
  axes: readonly string[];
  dtype: DType | "float";
  optional: boolean;
}

/** Parses `[...T, D] float?`. */
function parseOperand(text: string): ParsedOperand {
  const match = /^\[(.*)\] (float|f32|bf16|i32)(\?)?$/.exec(text);
  if (!match) throw new TypeError(`spec: "${text}", needed "[axes] dtype"`);
  const axes = match[1] === "" ? [] : match[1]!.split(",").map((axis) => axis.trim());
  return { axes, dtype: match[2] as DType | "float", optional: match[3] === "?" };
}

const parsed = new Map<string, ParsedOperand>();

function operand(text: string): ParsedOperand {
  let found = parsed.get(text);
  if (found === undefined) {
    found = parseOperand(text);
    parsed.set(text, found);
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
  const boundBy: Record<string, string> = {};
  let first: { name: string; tensor: Tensor } | undefined;
  for (const [name, text] of Object.entries(spec.inputs)) {
    const want = operand(text);
    const tensor = operands[name];
    if (tensor === undefined) {
      if (want.optional) continue;
      throw new ShapeError(`${spec.name}: ${name} was not given, ${text} was needed`, spec.name);
    }
    void tensor.id; // throws DisposedError while no output is made yet
    first ??= { name, tensor };
    if (tensor.device !== first.tensor.device) {
      throw new ShapeError(
        `${spec.name}: ${first.name} and ${name} live on two devices, one was needed (${list(operands)})`,
        spec.name,
        named(operands),
      );
    }
    if (want.dtype === "float" ? tensor.dtype === "i32" : tensor.dtype !== want.dtype) {
      throw new DTypeError(
        `${spec.name}: ${name} is ${tensor.dtype}, ${want.dtype === "float" ? "f32 or bf16" : want.dtype} was needed (${list(operands)})`,
        spec.name,
        named(operands),
      );
    }
    const { shape } = tensor;
    // Leading axes fold into one; a tensor without any has one row.
    const folds = want.axes[0]?.startsWith("...") && shape.length >= want.axes.length - 1;
    const leading = shape.length - want.axes.length + 1;
    const sizes = folds
      ? [shape.slice(0, leading).reduce((a, b) => a * b, 1), ...shape.slice(leading)]
      : shape;
    if (sizes.length !== want.axes.length) {
      throw new ShapeError(
        `${spec.name}: ${name} has ${shape.length} axes, ${text} was needed (${list(operands)})`,
        spec.name,
        named(operands),
      );
    }
    want.axes.forEach((axis, i) => {
      bind(spec, operands, axes, boundBy, { name, text, axis: axis.replace(/^\.\.\./, ""), size: sizes[i]! });
    });
  }
  return axes;
}

function bind(
  spec: OpSpec,
  operands: Operands,
  axes: Axes,
  boundBy: Record<string, string>,
  at: { name: string; text: string; axis: string; size: number },
): void {
  const { name, text, axis, size } = at;
  const [, base = axis, plus = "0"] = /^(\w+)\+(\d+)$/.exec(axis) ?? [];
  const value = size - Number(plus);
  const expected = /^\d+$/.test(base) ? Number(base) : axes[base];
  if (expected === undefined) {
    axes[base] = value;
    boundBy[base] = name;
  } else if (expected !== value) {
    const reason = boundBy[base] === undefined ? "" : `, ${boundBy[base]} gives ${base} = ${expected}`;
    throw new ShapeError(
      `${spec.name}: ${name} has ${axis} = ${size}${reason}; ${text} was needed (${list(operands)})`,
      spec.name,
      named(operands),
    );
  }
}

const named = (operands: Operands): string[] =>
  Object.entries(operands)
    .filter(([, tensor]) => tensor !== undefined)
    .map(([name, tensor]) => `${name} ${describe(tensor!.shape, tensor!.dtype)}`);

const list = (operands: Operands): string => named(operands).join(", ");
