/** A set of 64-bit hashes, 16 bytes each at the fullest: open addressing over pairs of u32, low word first. */
export class HashSet64 {
  private slots = new Uint32Array(2 * 1024);
  private zero = false;
  size = 0;

  /** Adds a hash; false if it was there. */
  add(low: number, high: number): boolean {
    if (low === 0 && high === 0) {
      const added = !this.zero;
      this.zero = true;
      this.size += Number(added);
      return added;
    }
    if (4 * this.size >= this.slots.length) this.grow();
    const at = this.place(low, high);
    if (this.slots[at] !== 0 || this.slots[at + 1] !== 0) return false;
    this.slots[at] = low;
    this.slots[at + 1] = high;
    this.size++;
    return true;
  }

  /** Where a hash is, or would go: half the slots are free, so the search ends. */
  private place(low: number, high: number): number {
    const { slots } = this;
    const mask = slots.length / 2 - 1;
    for (let slot = low & mask; ; slot = (slot + 1) & mask) {
      const [a, b] = [slots[2 * slot]!, slots[2 * slot + 1]!];
      if ((a === low && b === high) || (a === 0 && b === 0)) return 2 * slot;
    }
  }

  private grow(): void {
    const old = this.slots;
    this.slots = new Uint32Array(2 * old.length);
    for (let i = 0; i < old.length; i += 2) {
      if (old[i] === 0 && old[i + 1] === 0) continue;
      this.slots.set(old.subarray(i, i + 2), this.place(old[i]!, old[i + 1]!));
    }
  }
}
