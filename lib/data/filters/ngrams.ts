import { codePoints, type TextWords } from "../words/text_words.ts";

/** Odd, as a multiplier of a rolling hash must be. */
const BASE = 0x01000193;

/** Letters by which a place in the text is first compared with others. */
const WINDOW = 12;

const mix = (hash: number): number => Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 4;

/**
 * Finds repeated n-grams of a text's words. The words' letters lie end to end in `letters`, so that an n-gram is one range of
 * it. Counts are exact: hashes only say which n-grams needn't be looked at, and which may be equal; those are compared
 * letter by letter. Most n-grams of prose stand there once, which a table of one byte a hash tells. Arrays are used again
 * from text to text.
 */
export class Ngrams {
  private words = 0;
  private letters = new Uint16Array(0);
  /** Where each word begins in `letters`; one more at the end. */
  private offsets = new Int32Array(1);
  /** Length of each word in code points, its hash, and BASE to the power of its length in code units. */
  private lengths = new Int32Array(0);
  private hashes = new Int32Array(0);
  private powers = new Int32Array(0);
  /** Hashes of the n-grams that are looked at, by their first word. */
  private grams = new Int32Array(0);
  private counts = new Int32Array(0);
  /** Hashes of the WINDOW letters from each word on; whether no other word has the same. */
  private windows = new Int32Array(0);
  private lonely = new Uint8Array(0);
  /** Words that begin an n-gram of the last `topN` words more than once: no other begins a longer one twice. */
  private tops = new Int32Array(0);
  private topCount = 0;
  private topN = 0;
  /** Open addressing: a word's number plus one where an n-gram begins, 0 for an empty slot. */
  private slots = new Int32Array(0);
  /** How many n-grams have a hash, up to 2. */
  private seen = new Uint8Array(0);
  private mask = 0;

  load(text: TextWords): void {
    this.reserve(text.words.count, text.length);
    this.layOut(text);
    this.findLonely();
    this.topN = 0;
  }

  private reserve(words: number, units: number): void {
    this.words = words;
    if (this.letters.length < units) this.letters = new Uint16Array(2 * units);
    if (this.lengths.length < words) {
      const size = 2 * words;
      this.offsets = new Int32Array(size + 1);
      this.lonely = new Uint8Array(size);
      for (const name of ["lengths", "hashes", "powers", "grams", "counts", "windows", "tops"] as const) {
        this[name] = new Int32Array(size);
      }
    }
    const slots = 2 ** Math.ceil(Math.log2(2 * words + 2));
    if (this.slots.length < slots) {
      this.slots = new Int32Array(slots);
      this.seen = new Uint8Array(4 * slots);
    }
    this.mask = slots - 1;
  }

  private layOut(text: TextWords): void {
    const { codes, words, astral } = text;
    const { letters, offsets, lengths, hashes, powers } = this;
    let to = 0;
    for (let w = 0; w < words.count; w++) {
      const start = words.starts[w]!;
      const end = words.ends[w]!;
      offsets[w] = to;
      lengths[w] = astral ? codePoints(text, start, end) : end - start;
      let hash = 0;
      let power = 1;
      for (let at = start; at < end; at++) {
        const code = codes[at]!;
        letters[to++] = code;
        hash = (Math.imul(hash, BASE) + code + 1) | 0;
        power = Math.imul(power, BASE);
      }
      hashes[w] = hash;
      powers[w] = power;
    }
    offsets[words.count] = to;
  }

  /** Words whose next WINDOW letters follow no other word: an n-gram of that many letters from there on is the only one. */
  private findLonely(): void {
    const { letters, offsets, windows, lonely, words, seen } = this;
    const seenMask = 4 * (this.mask + 1) - 1;
    const total = offsets[words]!;
    let first = 1;
    for (let i = 0; i < WINDOW; i++) first = Math.imul(first, BASE);
    seen.fill(0, 0, seenMask + 1);
    let hash = 0;
    let w = 0;
    for (let at = 0; at < total; at++) {
      hash = (Math.imul(hash, BASE) + letters[at]!) | 0;
      if (at >= WINDOW) hash = (hash - Math.imul(letters[at - WINDOW]!, first)) | 0;
      if (at - WINDOW + 1 !== offsets[w]!) continue;
      const slot = mix(hash) & seenMask;
      windows[w++] = slot;
      if (seen[slot]! < 2) seen[slot]!++;
    }
    for (let i = 0; i < words; i++) lonely[i] = i < w && seen[windows[i]!] === 1 ? 1 : 0;
  }

  private hashOf(w: number, n: number): number {
    const { hashes, powers } = this;
    let hash = hashes[w]!;
    for (let i = w + 1; i < w + n; i++) hash = (Math.imul(hash, powers[i]!) + hashes[i]!) | 0;
    return hash;
  }

  /** The slot of the n-gram from word w on: that of an equal one before, or an empty one. */
  private slotOf(w: number, n: number, wordByWord: boolean): number {
    const { grams, slots, mask } = this;
    const hash = grams[w]!;
    let slot = mix(hash) & mask;
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

  private lengthOf(w: number, n: number): number {
    let length = 0;
    for (let i = w; i < w + n; i++) length += this.lengths[i]!;
    return length;
  }

  /**
   * Code points of the most frequent n-gram, joined by spaces, times how often it stands in the text; of several as frequent,
   * the first. 0 where the text has fewer than n words.
   */
  topLength(n: number): number {
    if (this.words < n) return 0;
    const most = this.countTops(n);
    const { tops, counts, topCount } = this;
    // None twice: the first one stands for all.
    if (topCount === 0) return this.lengthOf(0, n) + n - 1;
    let first = 0;
    while (counts[tops[first]!] !== most) first++;
    return (this.lengthOf(tops[first]!, n) + n - 1) * most;
  }

  /** Leaves in `tops` the words that begin an n-gram found more than once; `counts` holds how often at its first word. */
  private countTops(n: number): number {
    this.lookForTops(n);
    const { tops, counts, slots } = this;
    slots.fill(0, 0, this.mask + 1);
    let most = 0;
    for (let i = 0; i < this.topCount; i++) {
      const w = tops[i]!;
      const slot = this.slotOf(w, n, true);
      counts[w] = 0;
      if (slots[slot] === 0) slots[slot] = w + 1;
      const count = ++counts[slots[slot]! - 1]!;
      if (count > most) most = count;
    }
    let kept = 0;
    for (let i = 0; i < this.topCount; i++) {
      const w = tops[i]!;
      if (counts[slots[this.slotOf(w, n, true)]! - 1]! > 1) tops[kept++] = w;
    }
    this.topCount = kept;
    return most;
  }

  /** Leaves in `tops` the words whose n-gram has a hash that another one has too, among those left by a smaller n. */
  private lookForTops(n: number): void {
    const { tops, grams, seen, words } = this;
    if (this.topN === 0 || this.topN > n) {
      for (let w = 0; w < words; w++) tops[w] = w;
      this.topCount = words;
    }
    this.topN = n;
    const seenMask = 4 * (this.mask + 1) - 1;
    seen.fill(0, 0, seenMask + 1);
    for (let i = 0; i < this.topCount; i++) {
      const w = tops[i]!;
      if (w + n > words) break;
      const hash = this.hashOf(w, n);
      grams[w] = hash;
      const slot = mix(hash) & seenMask;
      if (seen[slot]! < 2) seen[slot]!++;
    }
    let kept = 0;
    for (let i = 0; i < this.topCount; i++) {
      const w = tops[i]!;
      if (w + n <= words && seen[mix(grams[w]!) & seenMask] === 2) tops[kept++] = w;
    }
    this.topCount = kept;
  }

  /** Code points of the n-grams that stood in the text before, without spaces; after one, the next is looked for behind it. */
  duplicateLength(n: number): number {
    const { slots, grams, lonely, offsets, words } = this;
    slots.fill(0, 0, this.mask + 1);
    let characters = 0;
    for (let w = 0; w + n <= words; ) {
      if (lonely[w] === 1 && offsets[w + n]! - offsets[w]! >= WINDOW) {
        w++;
        continue;
      }
      grams[w] = this.hashOf(w, n);
      const slot = this.slotOf(w, n, false);
      if (slots[slot] === 0) {
        slots[slot] = w + 1;
        w++;
      } else {
        characters += this.lengthOf(w, n);
        w += n;
      }
    }
    return characters;
  }
}
