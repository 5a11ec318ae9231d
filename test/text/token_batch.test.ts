import { expect, test } from "vitest";
import { ConfigError } from "../../lib/core/errors.ts";
import { corpusOf } from "../../lib/data/corpus.ts";
import { packBatch } from "../../lib/text/token_batch.ts";

test("documents end to end, each token's target the next one of its document", () => {
  const batch = packBatch([[3, 1, 4], Int32Array.of(1, 5), [], [2 ** 31 - 1]]);
  expect([...batch.tokens]).toEqual([3, 1, 4, 1, 5, 2 ** 31 - 1]);
  expect([...batch.targets]).toEqual([1, 4, -100, 5, -100, -100]);
  expect([...batch.offsets]).toEqual([0, 3, 5, 5, 6]);
});

test.each([Number.NaN, 1.7, 2 ** 32 + 5, 2 ** 31, -1, Number.POSITIVE_INFINITY, "7", undefined])(
  "%s is no token id",
  (id) => {
    const documents = [[1], [2, 3, id as number]];
    expect(() => packBatch(documents)).toThrow(ConfigError);
    expect(() => packBatch(documents)).toThrow(
      `packBatch: token 2 of document 1 is ${id}, a whole number from 0 to 2147483647 was needed`,
    );
    expect(() => corpusOf(documents)).toThrow(`corpusOf: token 2 of document 1 is ${id}`);
  },
);
