/** A list of ranges of a text, in UTF-16 code units; grows, and is used again from text to text. */
export class Spans {
  starts = new Int32Array(1024);
  ends = new Int32Array(1024);
  count = 0;

  push(start: number, end: number): void {
    if (this.count === this.starts.length) this.grow();
    this.starts[this.count] = start;
    this.ends[this.count++] = end;
  }

  private grow(): void {
    const { starts, ends } = this;
    this.starts = new Int32Array(2 * starts.length);
    this.ends = new Int32Array(2 * ends.length);
    this.starts.set(starts);
    this.ends.set(ends);
  }
}
