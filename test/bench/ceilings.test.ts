import { expect, test } from "vitest";
import { type Ceilings, floor } from "../../bench/ceilings.ts";

const mebi = 2 ** 20;
// At footprints of 2, 8, 32, 128, 512 MiB.
const ceilings: Ceilings = {
  threads: 2,
  fma: 1e9,
  fmaOneThread: 5e8,
  bandwidth: {
    copy: [50, 40, 30, 20, 10],
    triad: [55, 45, 35, 15, 12],
    read: [90, 80, 70, 60, 50],
    update: [95, 85, 75, 65, 55],
  },
};

test("the floor of a pass is what takes longer, computing or moving", () => {
  expect(floor(ceilings, { flops: 3e9, reads: 1, writes: 1 })).toEqual({ seconds: 3, bound: "fma" });
  expect(floor(ceilings, { flops: 1, reads: 3, writes: 2 })).toEqual({ seconds: 5 / 55, bound: "triad" });
});

test("bandwidth is that of the next smaller footprint, so that a ceiling is never too low", () => {
  const at = (bytes: number) => floor(ceilings, { reads: bytes / 2, writes: bytes / 2 });
  expect(at(8 * mebi)).toEqual({ seconds: (8 * mebi) / 45, bound: "triad" });
  expect(at(31 * mebi)).toEqual({ seconds: (31 * mebi) / 45, bound: "triad" });
  expect(at(200 * mebi)).toEqual({ seconds: (200 * mebi) / 20, bound: "copy" });
  expect(at(4096 * mebi)).toEqual({ seconds: (4096 * mebi) / 12, bound: "triad" });
});

test("a pass that hardly writes is held against reading, one in place against updating", () => {
  expect(floor(ceilings, { reads: 90, writes: 0 })).toEqual({ seconds: 1, bound: "read" });
  expect(floor(ceilings, { reads: 50, writes: 45, inPlace: true })).toEqual({ seconds: 1, bound: "update" });
});
