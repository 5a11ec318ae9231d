import { expect, test } from "vitest";
import { DeviceError, DTypeError, ShapeError } from "../../lib/core/errors.ts";
import { Random } from "../../lib/core/random.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { sortByExpert } from "../../lib/ops/sort_by_expert.ts";
import { opened, ways } from "../support/check_op.ts";
import { sorted } from "../support/routing.ts";

for (const [T, K, E] of [
  [1, 1, 1],
  [31, 2, 33],
  [33, 3, 4],
  [500, 8, 64],
  [0, 2, 8],
  [1100, 2, 1024],
  [700, 3, 5000],
] as const) {
  test(`sortByExpert: ${T} tokens, ${K} of ${E} experts`, async () => {
    const random = new Random(T);
    const experts = Int32Array.from({ length: T * K }, () => random.below(E));
    const want = sorted(experts, E);
    for (const title of ways) {
      const dev = await opened(title);
      const tensor = dev.tensor(experts, [T, K]);
      const got = sortByExpert(tensor, E);
      expect(await got.offsets.data()).toEqual(want.offsets);
      expect(await got.slots.data()).toEqual(want.slots);
      expect(await got.tokens.data()).toEqual(want.slots.map((slot) => Math.floor(slot / K)));
      expect(await got.positions.data()).toEqual(want.positions);
      disposeAll(tensor, got);
    }
  });
}

test("sortByExpert: an expert that isn't there poisons the stream", async () => {
  const dev = await opened();
  for (const bad of [4, -1]) {
    const experts = dev.tensor(Int32Array.of(0, 1, bad, 2), [2, 2]);
    const got = sortByExpert(experts, 4);
    await expect(got.offsets.data()).rejects.toThrow(DeviceError);
    await expect(got.offsets.data()).rejects.toThrow(`slot 2 holds expert ${bad}, there are 4`);
    dev.reset();
    disposeAll(experts, got);
  }
});

test("sortByExpert: operands that don't fit are refused", async () => {
  const dev = await opened();
  const floats = dev.full([2, 2]);
  const list = dev.full([4], 0, "i32");
  expect(() => sortByExpert(floats, 4)).toThrow(DTypeError);
  expect(() => sortByExpert(list, 4)).toThrow(ShapeError);
  disposeAll(floats, list);
});
