/** Passes text on up to the first stop string, and holds back what may turn out to be the beginning of one. */
export class StopText {
  /** A stop string has come: nothing comes any more. */
  found = false;
  private held = "";

  constructor(private readonly stops: readonly string[]) {}

  /** Takes a piece of text and gives what is certain to stand before any stop string. */
  push(piece: string): string {
    if (this.found) return "";
    const text = this.held + piece;
    const hits = this.stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (hits.length > 0) {
      this.found = true;
      this.held = "";
      return text.slice(0, Math.min(...hits));
    }
    const safe = text.length - this.beginning(text);
    this.held = text.slice(safe);
    return text.slice(0, safe);
  }

  /** The text held back, once no more comes. */
  end(): string {
    const rest = this.held;
    this.held = "";
    return rest;
  }

  /** Length of the longest end of `text` that begins a stop string. */
  private beginning(text: string): number {
    const longest = Math.max(0, ...this.stops.map((stop) => stop.length - 1));
    for (let n = Math.min(longest, text.length); n > 0; n--) {
      const end = text.slice(-n);
      if (this.stops.some((stop) => stop.startsWith(end))) return n;
    }
    return 0;
  }
}
