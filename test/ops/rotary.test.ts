import { expect, test } from "vitest";
import { DTypeError, ShapeError } from "../../lib/core/errors.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { rotary, rotaryTable, spec, tableSpec } from "../../lib/ops/rotary.ts";
import { checkOp, normal, type OpCase, opened, relativeError, values, ways } from "../support/check_op.ts";

const cases = (heads: number): OpCase[] =>
  [
    [1, 1],
    [33, 31],
    [20, 33],
    [5, 32],
    [0, 4],
  ].map(([T = 0, P = 0]) => ({
    title: `${heads} heads of ${2 * P}, ${T} rows`,
    floats: (random) => {
      const angles = normal([T, P], random, 3);
      return {
        x: normal([T, heads * 2 * P], random),
        cos: { ...angles, data: angles.data.map(Math.cos) },
        sin: { ...angles, data: angles.data.map(Math.sin) },
      };
    },
  }));

for (const heads of [1, 3]) {
  checkOp({
    spec,
    cases: cases(heads),
    gradientOf: ["x"],
    call: ({ x, cos, sin }) => rotary(x!, { cos: cos!, sin: sin! }, { heads }),
    oracle: ({ x, cos, sin }, shapes) => {
      const P = shapes.cos![1]!;
      return [
        x!.map((value, i) => {
          const [t, d] = [Math.floor(i / (heads * 2 * P)), i % (2 * P)];
          const p = t * P + (d % P);
          return d < P ? value * cos![p]! - x![i + P]! * sin![p]! : value * cos![p]! + x![i - P]! * sin![p]!;
        }),
      ];
    },
  });
}

test("rotaryTable: angles in double, far out in a long context", async () => {
  const positions = Int32Array.of(0, 1, 7, 4095, 131071, 1000000, 5);
  for (const title of ways) {
    const dev = await opened(title);
    for (const P of [1, 31, 33]) {
      const invFreq = Float32Array.from({ length: P }, (_, i) => 10000 ** (-i / P));
      const operands = [dev.tensor(positions, [positions.length]), dev.tensor(invFreq, [P])] as const;
      const table = rotaryTable(...operands, 1.25);
      const angles = values([positions.length, P], (i) => positions[Math.floor(i / P)]! * invFreq[i % P]!);
      for (const [name, f] of [
        ["cos", Math.cos],
        ["sin", Math.sin],
      ] as const) {
        const want = angles.data.map((angle) => 1.25 * f(angle));
        expect(relativeError(await table[name].data(), want)).toBeLessThan(tableSpec.tolerance.f32);
      }
      disposeAll(operands, table);
    }
  }
});

test("rotaryTable and rotary: no rows, and operands that don't fit", async () => {
  const dev = await opened();
  const positions = dev.empty([0], "i32");
  const invFreq = dev.full([4], 1);
  const table = rotaryTable(positions, invFreq);
  expect(table.cos.shape).toEqual([0, 4]);
  expect(() => rotaryTable(invFreq, invFreq)).toThrow(DTypeError);
  const x = dev.empty([0, 8]);
  expect(() => rotary(x, table, { heads: 2 })).toThrow(ShapeError);
  disposeAll(positions, invFreq, table, x);
});
