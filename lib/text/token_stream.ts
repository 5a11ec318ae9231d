/**
 * Turns ids that come one by one into text pieces; the pieces joined are the text of all ids. (One exception: decoders
 * with byte fallback turn a whole run of bytes into U+FFFD if one is wrong, also those given out before it came.)
 */
export interface TokenStream {
  /** The text that this id completes: empty while a character's bytes are still coming. */
  push(id: number): string;
  /** What was held back; bytes that never became a character come as U+FFFD. */
  end(): string;
}

const kReplacement = "\ufffd";

/**
 * Decodes incrementally: ids from `settled` on are decoded again at every push, with the last piece as left context
 * (decoders treat the first token of a text otherwise), and only what is new is given out.
 */
export function streamTokens(decode: (ids: readonly number[]) => string): TokenStream {
  let ids: number[] = [];
  let settled = 0;
  let context = "";
  return {
    push(id) {
      ids.push(id);
      const text = decode(ids);
      if (text.length <= context.length || text.endsWith(kReplacement)) return "";
      const piece = text.slice(context.length);
      ids = ids.slice(settled);
      settled = ids.length;
      context = decode(ids);
      return piece;
    },
    end() {
      const piece = decode(ids).slice(context.length);
      ids = [];
      settled = 0;
      context = "";
      return piece;
    },
  };
}
