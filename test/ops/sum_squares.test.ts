import { expect, test } from "vitest";
import { Random } from "../../lib/core/random.ts";
import { run } from "../../lib/core/run.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { opened, roundBf16, ways } from "../support/check_op.ts";

test("sum_squares: tensors of all sizes and both formats, views at odd elements", async () => {
  for (const title of ways) {
    const dev = await opened(title);
    const random = new Random(3);
    const xs = [1, 33, 0, 70000, 7].map((n, i) => {
      const format = i % 2 === 0 ? ("f32" as const) : ("bf16" as const);
      return dev.tensor(
        Float32Array.from({ length: n }, () => roundBf16(random.normal())),
        [n],
        { dtype: format },
      );
    });
    xs.push(xs[3]!.view([40001], 3), xs[4]!.view([3], 1));
    const total = dev.empty([1]);
    run("sum_squares", xs, total);
    let want = 0;
    for (const x of xs) for (const v of await x.data()) want += v * v;
    expect((await total.item()) / want).toBeCloseTo(1, 6);
    disposeAll(xs, total);
  }
});

test("sum_squares: no elements, and NaN", async () => {
  const dev = await opened();
  const [none, nan, total] = [dev.empty([0]), dev.tensor([1, Number.NaN], [2]), dev.empty([1])];
  run("sum_squares", [none], total);
  expect(await total.item()).toBe(0);
  run("sum_squares", [none, nan], total);
  expect(await total.item()).toBeNaN();
  disposeAll(none, nan, total);
});

test("clip_scale: shortens what is longer than the limit, leaves the rest, keeps NaN", async () => {
  const dev = await opened();
  for (const [squares, norm, scale] of [
    [16, 4, 2 / (4 + 1e-6)],
    [1, 1, 1],
    [0, 0, 1],
    [Number.NaN, Number.NaN, Number.NaN],
  ] as const) {
    const tensors = [dev.tensor([squares], [1]), dev.empty([1]), dev.empty([1])];
    run("clip_scale", ...tensors, 2);
    expect(await tensors[1]!.item()).toBe(norm);
    expect(await tensors[2]!.item()).toBe(Math.fround(scale));
    disposeAll(tensors);
  }
});
