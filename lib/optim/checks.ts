import { type DType, describe } from "../core/dtype.ts";
import { ConfigError, DTypeError, ShapeError } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";

type Tensors = Readonly<Record<string, Tensor>>;

/** An optimizer's parameters: at least one, floats, on one device, none updated twice under two names. */
export function checkParams(name: string, params: Tensors): void {
  const entries = Object.entries(params);
  const device = entries[0]?.[1].device;
  if (device === undefined)
    throw new ConfigError(`${name}.init: no parameters, needed at least one`, "params");
  const placed = new Map<Tensor, [string, Tensor][]>();
  for (const [key, param] of entries) {
    if (param.dtype === "i32") {
      const operand = `${key} ${describe(param.shape, param.dtype)}`;
      throw new DTypeError(`${name}.init: ${key} is i32, f32 or bf16 was needed (${operand})`, name, [
        operand,
      ]);
    }
    if (param.device !== device) {
      throw new ConfigError(
        `${name}.init: ${key} lies on another device than ${entries[0]![0]}, one device was needed`,
        "params",
      );
    }
    const neighbours = placed.get(param.root) ?? [];
    const shared = neighbours.find(([, other]) => overlap(param, other));
    if (shared !== undefined) {
      throw new ConfigError(
        `${name}.init: ${shared[0]} and ${key} share memory, needed each parameter once. Give a tied parameter one name`,
        "params",
      );
    }
    placed.set(param.root, [...neighbours, [key, param]]);
  }
}

const overlap = (a: Tensor, b: Tensor): boolean =>
  a.offset < b.offset + b.size && b.offset < a.offset + a.size;

/** `given` must have the names of `wanted`, no fewer and no more. */
export function checkNames(name: string, what: string, given: object, wanted: object): void {
  const missing = Object.keys(wanted).filter((key) => !Object.hasOwn(given, key));
  const extra = Object.keys(given).filter((key) => !Object.hasOwn(wanted, key));
  if (missing.length + extra.length === 0) return;
  const parts = [
    missing.length > 0 ? `${missing.length} missing (${some(missing)})` : "",
    extra.length > 0 ? `${extra.length} unknown (${some(extra)})` : "",
  ];
  throw new ConfigError(
    `${name}: of ${Object.keys(wanted).length} ${what} ${parts.filter(Boolean).join(" and ")}, needed exactly those`,
    what,
  );
}

const some = (names: readonly string[]): string =>
  names.slice(0, 8).join(", ") + (names.length > 8 ? `, and ${names.length - 8} more` : "");

/** `given` must be f32, or `dtype`, of the shape and on the device of `like`. */
export function checkFit(
  name: string,
  what: string,
  given: Tensor,
  like: Tensor,
  dtype: DType = "f32",
): void {
  const operands = [`${what} ${describe(given.shape, given.dtype)}`];
  if (given.dtype !== dtype) {
    throw new DTypeError(
      `${name}: ${what} is ${given.dtype}, ${dtype} was needed (${operands})`,
      name,
      operands,
    );
  }
  if (given.shape.join() !== like.shape.join()) {
    throw new ShapeError(
      `${name}: ${what} is [${given.shape.join(", ")}], [${like.shape.join(", ")}] was needed (${operands})`,
      name,
      operands,
    );
  }
  if (given.device !== like.device) {
    throw new ConfigError(`${name}: ${what} lies on another device than its parameter, the same was needed`);
  }
}

/** Settings must be finite numbers from 0 up, and below `below`. */
export function checkRange(
  name: string,
  settings: Record<string, number>,
  below = Number.POSITIVE_INFINITY,
): void {
  for (const [key, value] of Object.entries(settings)) {
    if (!(Number.isFinite(value) && value >= 0 && value < below)) {
      const limit = Number.isFinite(below) ? ` and below ${below}` : "";
      throw new ConfigError(`${name}: ${key} is ${value}, needed a finite number from 0 up${limit}`, key);
    }
  }
}
