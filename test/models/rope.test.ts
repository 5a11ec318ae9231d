import { describe, expect, test } from "vitest";
import { inverseFrequencies, parseModelConfig } from "../../lib/models/config.ts";

const sizes = {
  model_type: "llama",
  hidden_size: 256,
  num_attention_heads: 2,
  max_position_embeddings: 131072,
};

function rope(parameters: object, theta = 10_000) {
  const { invFreq, attentionFactor } = inverseFrequencies(
    parseModelConfig({ ...sizes, rope_theta: theta, rope_scaling: parameters }),
  );
  return { invFreq: [...invFreq], attentionFactor };
}

/** θ^(−2i/128): what every type starts from. */
const plain = (theta: number) => Array.from({ length: 64 }, (_, i) => 1 / theta ** (i / 64));

function expectClose(actual: number[], expected: number[]): void {
  expect(actual.length).toBe(expected.length);
  for (const [i, value] of expected.entries())
    expect(Math.abs(actual[i]! - value)).toBeLessThan(1e-12 * value);
}

test("default and linear", () => {
  expectClose(rope({}).invFreq, plain(1e4));
  expectClose(
    rope({ type: "linear", factor: 4 }, 5e5).invFreq,
    plain(5e5).map((f) => f / 4),
  );
});

test("llama3, by the wavelengths as Meta wrote it", () => {
  const [factor, low, high, original] = [8, 1, 4, 8192];
  const expected = plain(5e5).map((f) => {
    const wavelength = (2 * Math.PI) / f;
    if (wavelength < original / high) return f;
    if (wavelength > original / low) return f / factor;
    const smooth = (original / wavelength - low) / (high - low);
    return ((1 - smooth) * f) / factor + smooth * f;
  });
  const parameters = {
    factor,
    low_freq_factor: low,
    high_freq_factor: high,
    original_max_position_embeddings: original,
  };
  const { invFreq, attentionFactor } = rope({ rope_type: "llama3", ...parameters }, 5e5);
  expectClose(invFreq, expected);
  expect(attentionFactor).toBe(1);
  expect(new Set(expected.map((f, i) => f === plain(5e5)[i]))).toEqual(new Set([true, false]));
});

describe("yarn", () => {
  const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 32768 };

  test("a ramp between the dimensions that turn 32 times and once", () => {
    // For head dimension 128, theta 1e6, context 32768: ln(32768 / 64π) · 128 / (2 ln 1e6) = 23.598…, and 39.650… for one turn.
    const { invFreq, attentionFactor } = rope(yarn, 1e6);
    const expected = plain(1e6).map((f, i) => {
      const stretched = Math.min(1, Math.max(0, (i - 23) / (40 - 23)));
      return (f / 4) * stretched + f * (1 - stretched);
    });
    expectClose(invFreq, expected);
    expect(attentionFactor).toBeCloseTo(0.1 * Math.log(4) + 1, 14);
  });

  test("the factor follows from the context if it is not said; attention_factor, mscale, truncate", () => {
    expectClose(rope({ ...yarn, factor: undefined }, 1e6).invFreq, rope(yarn, 1e6).invFreq);
    expect(rope({ ...yarn, attention_factor: 1.5 }).attentionFactor).toBe(1.5);
    expect(rope({ ...yarn, mscale: 1, mscale_all_dim: 1 }).attentionFactor).toBe(1);
    const sharp = rope({ ...yarn, truncate: false }, 1e6).invFreq;
    expect(sharp[23]).toBeCloseTo(plain(1e6)[23]!, 15);
    expect(rope(yarn, 1e6).invFreq[24]).toBeLessThan(sharp[24]!);
  });
});
