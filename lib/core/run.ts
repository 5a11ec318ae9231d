import { MixwrightError } from "./errors.ts";
import { native } from "./native.ts";
import type { Tensor } from "./tensor.ts";

/** What a kernel takes: a tensor or a list of them, undefined for one that is not given, a number or a flag. */
export type Operand = Tensor | undefined | readonly (Tensor | undefined)[] | number | boolean;

const handle = (tensor: Tensor | undefined): number => (tensor === undefined ? 0 : tensor.id);

/** Enqueues kernel `name` on the device of its first tensor. Throws the failure of a poisoned stream. */
export function run(name: string, ...operands: Operand[]): void {
  let owner: Tensor | undefined;
  const converted = operands.map((operand) => {
    if (typeof operand === "number" || typeof operand === "boolean") return operand;
    if (operand === undefined) return 0;
    if (isTensor(operand)) {
      owner ??= operand;
      return operand.id;
    }
    owner ??= operand.find((item) => item !== undefined);
    return operand.map(handle);
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
