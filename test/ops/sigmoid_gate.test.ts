import { sigmoidGate, spec } from "../../lib/ops/sigmoid_gate.ts";
import { checkOp, normal, type OpCase } from "../support/check_op.ts";

const sizes = (title: string, T: number, D: number, scale = 1): OpCase => ({
  title,
  floats: (random) => ({ x: normal([T, D], random), gate: normal([T, 1], random, scale) }),
});

checkOp({
  spec,
  cases: [
    sizes("one element", 1, 1),
    sizes("31 columns", 3, 31),
    sizes("33 columns", 40, 33),
    sizes("large gates", 9, 8, 50),
    sizes("1028 columns", 3, 1028),
    sizes("1031 columns", 2, 1031),
    sizes("no rows", 0, 8),
  ],
  call: ({ x, gate }) => sigmoidGate(x!, gate!),
  oracle: ({ x, gate }, shapes) => [
    x!.map((v, i) => v / (1 + Math.exp(-gate![Math.floor(i / shapes.x![1]!)]!))),
  ],
});
