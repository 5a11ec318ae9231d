import { expect, test } from "vitest";
import { routed } from "../../bench/routing.ts";

const counts = (experts: Int32Array, E: number): number[] =>
  Array.from({ length: E }, (_, e) => experts.filter((x) => x === e).length);

test("routing loads have exactly their shares", () => {
  expect(counts(routed("uniform", 4, 100), 4)).toEqual([25, 25, 25, 25]);
  expect(counts(routed("zipf", 4, 2500), 4)).toEqual([1200, 600, 400, 300]);
  expect(counts(routed("one25", 4, 100), 4)).toEqual([25, 25, 25, 25]);
  expect(counts(routed("one25", 16, 80), 16)).toEqual([20, ...Array.from({ length: 15 }, () => 4)]);
});

test("slots come in mixed order", () => {
  const experts = routed("uniform", 8, 64);
  expect(experts).not.toEqual(experts.slice().sort());
});
