import { attention } from "../../lib/ops/attention.ts";
import type { BenchCase } from "../workload.ts";

// GD is the width of keys and values. Scores recomputed in the backward pass don't count as useful work.
const causal = (documents: number, length: number, heads: number, kvHeads: number): BenchCase => ({
  title: `${documents} × ${length} tokens, H ${heads}, G ${kvHeads}, hd 64`,
  make: (o) => {
    const T = documents * length;
    const HD = heads * 64;
    const GD = kvHeads * 64;
    const q = o.normal([T, HD]);
    const k = o.normal([T, GD]);
    const v = o.normal([T, GD]);
    const offsets = o.ints(
      Array.from({ length: documents + 1 }, (_, d) => d * length),
      [documents + 1],
    );
    const pairs = (documents * length * (length + 1)) / 2;
    const [wide, narrow] = [o.bytes * T * HD, o.bytes * T * GD];
    return {
      activations: [q, k, v],
      call: () => attention(q, k, v, offsets, { heads, kvHeads }),
      forward: { flops: 4 * HD * pairs, reads: wide + 2 * narrow, writes: wide + 4 * T * heads },
      backward: { flops: 8 * HD * pairs, reads: 3 * wide + 2 * narrow, writes: wide + 2 * narrow },
    };
  },
});

/** One new token a document, against keys in a cache. */
const decoding = (documents: number, length: number, heads: number, kvHeads: number): BenchCase => ({
  title: `decode ${documents} × ${length} cached, H ${heads}, G ${kvHeads}`,
  make: (o) => {
    const GD = kvHeads * 64;
    const q = o.normal([documents, heads * 64]);
    const k = o.normal([documents * length, GD]);
    const v = o.normal([documents * length, GD]);
    const each = (n: number, step: number) =>
      o.ints(
        Array.from({ length: n }, (_, d) => d * step),
        [n],
      );
    const offsets = each(documents + 1, 1);
    const starts = each(documents, length);
    const lengths = o.ints(
      Array.from({ length: documents }, () => length),
      [documents],
    );
    const cache = { starts, lengths };
    return {
      call: () => attention(q, k, v, offsets, { heads, kvHeads, cache }),
      forward: {
        flops: 4 * heads * 64 * documents * length,
        reads: 2 * o.bytes * documents * length * GD,
        writes: o.bytes * documents * heads * 64,
      },
    };
  },
});

export const cases = [causal(4, 512, 8, 2), causal(1, 1024, 16, 4), decoding(4, 1024, 8, 2)];
