import { checkNumber, checkWhole, refuseUnknown } from "../../core/options.ts";
import type { Step } from "../step.ts";
import { kernelText, textKernels } from "./characters.ts";
import { globalStep } from "./global_step.ts";

export interface BloomOptions {
  /** How many different shingles the filter is made for. */
  readonly shingles: number;
  /** Share of new shingles that are taken for old ones when that many are in. Default: 0.01. */
  readonly falsePositives?: number;
  /** Words a shingle. Default: 13. */
  readonly ngram?: number;
  /** A document goes if a larger share of its shingles is known. Default: 0.8. */
  readonly threshold?: number;
}

/** Bits and probes of a filter (Bloom 1970): m = −n·ln p / ln² 2, k = m/n · ln 2. */
export function bloomSize(shingles: number, falsePositives: number): { bits: number; probes: number } {
  const bits = Math.max(64, Math.ceil((-shingles * Math.log(falsePositives)) / Math.LN2 ** 2));
  return { bits, probes: Math.max(1, Math.round((bits / shingles) * Math.LN2)) };
}

/** A set of 64-bit hashes that may take one it hasn't seen for one that it has. */
export class BloomFilter {
  private readonly bytes: Uint8Array;

  constructor(
    private readonly bits: number,
    private readonly probes: number,
  ) {
    this.bytes = new Uint8Array(Math.ceil(bits / 8));
  }

  /** The places of a hash are low + i·high, with high made odd (Kirsch and Mitzenmacher 2006). Below 2^53: exact. */
  private place(low: number, high: number, i: number): number {
    return (low + i * ((high | 1) >>> 0)) % this.bits;
  }

  has(low: number, high: number): boolean {
    for (let i = 0; i < this.probes; i++) {
      const place = this.place(low, high, i);
      if (!(this.bytes[Math.floor(place / 8)]! & (1 << (place % 8)))) return false;
    }
    return true;
  }

  add(low: number, high: number): void {
    for (let i = 0; i < this.probes; i++) {
      const place = this.place(low, high, i);
      this.bytes[Math.floor(place / 8)]! |= 1 << (place % 8);
    }
  }
}

/**
 * Drops documents most of whose shingles stood in earlier ones. A filter of fixed size remembers them, of dropped documents
 * too: less memory than `dedup.minhash`, one pass, and a few documents go by mistake. One task.
 */
export function bloom(options: BloomOptions): Step {
  refuseUnknown("dedup.bloom", options, ["shingles", "falsePositives", "ngram", "threshold"]);
  const { shingles, falsePositives = 0.01, ngram = 13, threshold = 0.8 } = options;
  checkWhole("dedup.bloom", { shingles, ngram }, 1);
  checkNumber("dedup.bloom", { falsePositives }, 1e-9, 0.5);
  checkNumber("dedup.bloom", { threshold }, 0, 1);
  return globalStep("dedup.bloom", { ...options }, (context) => {
    const { bits, probes } = bloomSize(shingles, falsePositives);
    const filter = new BloomFilter(bits, probes);
    const kernels = textKernels();
    return ({ text }) => {
      const hashes = kernels.shingleHashes(kernelText(text), ngram, "xxhash", 64, "english");
      const words = new Uint32Array(hashes.buffer);
      const fresh: number[] = [];
      for (let i = 0; i < words.length; i += 2) if (!filter.has(words[i]!, words[i + 1]!)) fresh.push(i);
      for (const i of fresh) filter.add(words[i]!, words[i + 1]!);
      context.count("dedup.bloom/new shingles", fresh.length);
      const known = hashes.length - fresh.length;
      return known > threshold * hashes.length ? { reason: "known shingles" } : { text };
    };
  });
}
