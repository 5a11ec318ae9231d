import { MixwrightError, ShapeError } from "./errors.ts";
import { native, type OpFunction } from "./native.ts";
import type { Tensor } from "./tensor.ts";

/** What a kernel takes: a tensor or a list of them, undefined for one that is not given, a number or a flag. */
export type Operand = Tensor | undefined | readonly (Tensor | undefined)[] | number | boolean;

/** Enqueues kernel `name` on the device of its tensors. Throws the failure of a poisoned stream. */
export function run(name: string, ...operands: Operand[]): void {
  const kernel: OpFunction | undefined = native().ops[name];
  const owner = ownerOf(operands);
  if (kernel === undefined || owner === undefined) {
    throw new MixwrightError(
      `${name}: ${kernel !== undefined ? "no tensor among the operands" : "this engine has no such kernel"}`,
    );
  }
  const ids = operands as (number | boolean | number[])[]; // the array is ours: written over in place
  for (let i = 0; i < operands.length; i++) {
    const operand = operands[i];
    if (operand === undefined || isTensor(operand)) ids[i] = idOf(name, operand, owner);
    else if (typeof operand === "object") ids[i] = operand.map((tensor) => idOf(name, tensor, owner));
  }
  const { device } = owner;
  try {
    kernel(device.handle, ...ids);
  } catch (error) {
    throw device.translate(error as Error);
  }
}

function ownerOf(operands: readonly Operand[]): Tensor | undefined {
  for (const operand of operands) {
    if (isTensor(operand)) return operand;
    const found = typeof operand === "object" ? operand.find((tensor) => tensor !== undefined) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

function idOf(name: string, tensor: Tensor | undefined, owner: Tensor): number {
  if (tensor === undefined) return 0;
  if (tensor.device !== owner.device) {
    const both = [owner.toString(), tensor.toString()];
    throw new ShapeError(
      `${name}: operands live on two devices, one was needed (${both.join(", ")})`,
      name,
      both,
    );
  }
  return tensor.id;
}

const isTensor = (operand: Operand): operand is Tensor =>
  typeof operand === "object" && (operand as Partial<Tensor>).isTensor === true;
