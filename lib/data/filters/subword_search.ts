/** Tells whether a text of a–z and 0–9 has one of many words anywhere in it, in one pass (Aho and Corasick, 1975). */
export function subwordSearch(words: Iterable<string>): (text: string) => boolean {
  /** Next state by state and letter; 0 is the root. Words end in `final` states. */
  const next: Int32Array[] = [new Int32Array(LETTERS)];
  const final: boolean[] = [false];
  for (const word of words) {
    let state = 0;
    for (let i = 0; i < word.length; i++) {
      const letter = letterAt(word, i);
      if (next[state]![letter] === 0) {
        next[state]![letter] = next.length;
        next.push(new Int32Array(LETTERS));
        final.push(false);
      }
      state = next[state]![letter]!;
    }
    final[state] = word.length > 0;
  }
  linkFailures(next, final);
  return (text) => {
    let state = 0;
    for (let i = 0; i < text.length; i++) {
      state = next[state]![letterAt(text, i)]!;
      if (final[state]) return true;
    }
    return false;
  };
}

const LETTERS = 36;

function letterAt(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code >= 0x61 ? code - 0x61 + 10 : code - 0x30;
}

/** Where a state has no way on for a letter, goes on as the longest end of what was read that begins a word does. */
function linkFailures(next: readonly Int32Array[], final: boolean[]): void {
  const failure = new Int32Array(next.length);
  const queue = [...next[0]!].filter((state) => state !== 0);
  for (let head = 0; head < queue.length; head++) {
    const state = queue[head]!;
    const fallback = failure[state]!;
    if (final[fallback]) final[state] = true;
    for (let letter = 0; letter < LETTERS; letter++) {
      const child = next[state]![letter]!;
      if (child === 0) next[state]![letter] = next[fallback]![letter]!;
      else {
        failure[child] = next[fallback]![letter]!;
        queue.push(child);
      }
    }
  }
}
