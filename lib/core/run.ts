import { MixwrightError, ShapeError } from "./errors.ts";
import { native } from "./native.ts";
import type { Tensor } from "./tensor.ts";

/** What a kernel takes: a tensor or a list of them, undefined for one that is not given, a number or a flag. */
export type Operand = Tensor | undefined | readonly (Tensor | undefined)[] | number | boolean;

/** Enqueues kernel `name` on the device of its tensors. Throws the failure of a poisoned stream. */
export function run(name: string, ...operands: Operand[]): void {
  let owner: Tensor | undefined;
  const handle = (tensor: Tensor | undefined): number => {
    if (tensor === undefined) return 0;
    owner ??= tensor;
    if (tensor.device !== owner.device) {
      const both = [owner.toString(), tensor.toString()];
      throw new ShapeError(
        `${name}: operands live on two devices, one was needed (${both.join(", ")})`,
        name,
        both,
      );
    }
    return tensor.id;
  };
  const converted = operands.map((operand) => {
    if (typeof operand === "number" || typeof operand === "boolean") return operand;
    return operand === undefined || isTensor(operand) ? handle(operand) : operand.map(handle);
  });
  const kernel = native().ops[name];
  if (kernel === undefined || owner === undefined) {
    throw new MixwrightError(
      `${name}: ${name in native().ops ? "no tensor among the operands" : "this engine has no such kernel"}`,
    );
  }
  const { device } = owner;
  device.guard(() => kernel(device.handle, ...converted));
}

const isTensor = (operand: Operand): operand is Tensor =>
  typeof operand === "object" && "isTensor" in operand;
