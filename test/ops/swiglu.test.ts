import { spec, swiglu } from "../../lib/ops/swiglu.ts";
import { checkOp, normal, type OpCase } from "../support/check_op.ts";

const sizes = (title: string, shape: number[], scale = 2): OpCase => ({
  title,
  floats: (random) => ({ gate: normal(shape, random, scale), up: normal(shape, random) }),
});

checkOp({
  spec,
  cases: [
    sizes("one element", [1, 1]),
    sizes("31 columns", [3, 31]),
    sizes("33 columns", [40, 33]),
    sizes("leading axes", [2, 3, 5]),
    sizes("large gates", [4, 9], 40),
    sizes("no rows", [0, 8]),
  ],
  call: ({ gate, up }) => swiglu(gate!, up!),
  oracle: ({ gate, up }) => [gate!.map((z, i) => (z / (1 + Math.exp(-z))) * up![i]!)],
});
