import { codePoints, type TextCodes, type TextWords } from "../words/text_words.ts";

/** How many of a list's texts came before, and their length in code points. */
export interface Repeated {
  count: number;
  characters: number;
}

/** Texts of a list, given as ranges, that are the same as an earlier one of it. */
export function repeatedRanges(
  text: TextCodes,
  ranges: Iterable<readonly [start: number, end: number]>,
): Repeated {
  const seen = new Set<string>();
  const repeated = { count: 0, characters: 0 };
  for (const [start, end] of ranges) {
    const size = seen.size;
    if (seen.add(text.text.slice(start, end)).size > size) continue;
    repeated.count++;
    repeated.characters += codePoints(text, start, end);
  }
  return repeated;
}

/** Odd, as a multiplier of a rolling hash must be. */
const BASE = 0x01000193;

/**
 * Finds repeated n-grams of a text's words. The words' letters lie end to end in `letters`, so that an n-gram is one range of
 * it; n-grams are looked up by a rolling hash and compared letter by letter where hashes agree, so that the counts are exact.
 * Arrays are used again from text to text.
 */
export class Ngrams {
  private words = 0;
  private letters = new Uint16Array(1 << 13);
  /** Where each word begins in `letters`; one more at the end. */
  private offsets = new Int32Array(1);
  /** Length of each word in code points, its hash, and BASE to the power of its length in code units. */
  private lengths = new Int32Array(0);
  private hashes = new Int32Array(0);
  private powers = new Int32Array(0);
  /** Hashes of the n-grams from each word on. */
  private grams = new Int32Array(0);
  private n = 0;
  private counts = new Int32Array(0);
  /** Open addressing: a word's number plus one where an n-gram begins, 0 for an empty slot. */
  private slots = new Int32Array(0);
  private mask = 0;

  load({ words, ...text }: TextWords): void {
    const { codes } = text;
    this.reserve(words.count, text.length);
    const { letters, offsets, lengths, hashes, powers } = this;
    let to = 0;
    for (let w = 0; w < words.count; w++) {
      const start = words.starts[w]!;
      const end = words.ends[w]!;
      offsets[w] = to;
      lengths[w] = codePoints(text, start, end);
      let hash = 0;
      let power = 1;
      for (let at = start; at < end; at++) {
        letters[to++] = codes[at]!;
        hash = (Math.imul(hash, BASE) + codes[at]! + 1) | 0;
        power = Math.imul(power, BASE);
      }
      hashes[w] = hash;
      powers[w] = power;
    }
    offsets[words.count] = to;
    this.n = 0;
  }

  private reserve(words: number, units: number): void {
    this.words = words;
    if (this.letters.length < units) this.letters = new Uint16Array(2 * units);
    if (this.lengths.length < words) {
      const size = 2 * words;
      this.offsets = new Int32Array(size + 1);
      this.lengths = new Int32Array(size);
      this.hashes = new Int32Array(size);
      this.powers = new Int32Array(size);
      this.grams = new Int32Array(size);
      this.counts = new Int32Array(size);
    }
    const slots = 2 ** Math.ceil(Math.log2(2 * words + 2));
    if (this.slots.length < slots) this.slots = new Int32Array(slots);
    this.mask = slots - 1;
  }

  /** Hashes of all n-grams: by one word longer than the last ones where it can, else from the beginning. */
  private hashGrams(n: number): void {
    const { grams, hashes, powers, words } = this;
    if (this.n === 0 || this.n > n) {
      grams.set(hashes.subarray(0, words));
      this.n = 1;
    }
    for (; this.n < n; this.n++) {
      const { n: length } = this;
      for (let w = 0; w + length < words; w++) {
        grams[w] = (Math.imul(grams[w]!, powers[w + length]!) + hashes[w + length]!) | 0;
      }
    }
    this.slots.fill(0, 0, this.mask + 1);
  }

  /** The slot of the n-gram of words w …: that of an equal one before, or an empty one. */
  private slotOf(w: number, n: number, wordByWord: boolean): number {
    const { grams, slots, mask } = this;
    const hash = grams[w]!;
    let slot = (Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 7) & mask;
    for (;;) {
      const other = slots[slot]! - 1;
      if (other < 0 || (grams[other] === hash && this.equal(other, w, n, wordByWord))) return slot;
      slot = (slot + 1) & mask;
    }
  }

  private equal(a: number, b: number, n: number, wordByWord: boolean): boolean {
    const { letters, offsets } = this;
    const from = offsets[a]!;
    const shift = offsets[b]! - from;
    const end = offsets[a + n]!;
    if (offsets[b + n]! - shift !== end) return false;
    if (wordByWord) {
      for (let i = 1; i < n; i++) if (offsets[b + i]! - shift !== offsets[a + i]!) return false;
    }
    for (let at = from; at < end; at++) if (letters[at] !== letters[at + shift]) return false;
    return true;
  }

  private gramLength(w: number, n: number): number {
    let length = 0;
    for (let i = w; i < w + n; i++) length += this.lengths[i]!;
    return length;
  }

  /**
   * Code points of the most frequent n-gram, joined by spaces, times how often it stands in the text; of several as frequent,
   * the first. 0 where the text has fewer than n words.
   */
  topLength(n: number): number {
    this.hashGrams(n);
    const { counts, slots } = this;
    let best = -1;
    let most = 0;
    for (let w = 0; w + n <= this.words; w++) {
      const slot = this.slotOf(w, n, true);
      const first = slots[slot]! - 1;
      counts[w] = 0;
      const at = first < 0 ? w : first;
      if (first < 0) slots[slot] = w + 1;
      const count = ++counts[at]!;
      // Of the most frequent ones the first to appear, not the first to get there.
      if (count > most || (count === most && at < best)) {
        most = count;
        best = at;
      }
    }
    return best < 0 ? 0 : (this.gramLength(best, n) + n - 1) * most;
  }

  /** Code points of the n-grams that stood in the text before, without spaces; after one, the next is looked for behind it. */
  duplicateLength(n: number): number {
    this.hashGrams(n);
    const { slots } = this;
    let characters = 0;
    for (let w = 0; w + n <= this.words; ) {
      const slot = this.slotOf(w, n, false);
      if (slots[slot] === 0) {
        slots[slot] = w + 1;
        w++;
      } else {
        characters += this.gramLength(w, n);
        w += n;
      }
    }
    return characters;
  }
}
