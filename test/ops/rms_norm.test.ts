import { rmsNorm, spec } from "../../lib/ops/rms_norm.ts";
import { checkOp, normal, type OpCase } from "../support/check_op.ts";

const eps = 1e-5;
const sizes = (title: string, T: number, D: number): OpCase => ({
  title,
  floats: (random) => ({ x: normal([T, D], random), weight: normal([D], random) }),
});

checkOp({
  spec,
  cases: [
    sizes("one row", 1, 3),
    sizes("31 columns", 33, 31),
    sizes("33 columns, over one block of rows", 70, 33),
    sizes("36 columns", 9, 36),
    sizes("1028 columns", 17, 1028),
    sizes("1031 columns", 2, 1031),
    sizes("12288 columns", 1, 12288),
    sizes("no rows", 0, 8),
  ],
  call: ({ x, weight }) => rmsNorm(x!, weight!, { eps }),
  oracle: ({ x, weight }) => {
    const D = weight!.length;
    let rstd = 0;
    return [
      x!.map((value, i) => {
        if (i % D === 0) {
          rstd = 1 / Math.sqrt(x!.subarray(i, i + D).reduce((sum, v) => sum + v * v, 0) / D + eps);
        }
        return value * rstd * weight![i % D]!;
      }),
    ];
  },
});
