import { expect, test } from "vitest";
import { nearest } from "../../lib/core/nearest.ts";

test("the word that was meant, if one is near", () => {
  const known = ["hidden_size", "head_dim", "vocab_size", "lr"];
  expect(nearest("hiddenSize", known)).toBe("hidden_size");
  expect(nearest("vocabsizes", known)).toBe("vocab_size");
  expect(nearest("haed_dim", known)).toBe("head_dim");
  expect(nearest("temperature", known)).toBeUndefined();
  expect(nearest("xy", known)).toBeUndefined();
  expect(nearest("a", [])).toBeUndefined();
});
