import { checkOneOf, checkWhole, refuseUnknown } from "../../core/options.ts";
import type { Step } from "../step.ts";
import { eachSentence } from "../words/sentences.ts";
import { codesOf } from "../words/text_words.ts";
import { kernelText, textKernels } from "./characters.ts";
import { globalStep } from "./global_step.ts";
import { HashSet64 } from "./hash_set.ts";

export interface SentenceOptions {
  /** Sentences a span. Default: 3, as for C4. */
  readonly span?: number;
  /** What a span is made of: sentences as the C4 filter cuts them, the default, or lines. */
  readonly unit?: "sentences" | "lines";
  /** A document that lost something is dropped if it has fewer words left. Default: 50. */
  readonly minWords?: number;
  /** Or fewer sentences. Default: 3. */
  readonly minSentences?: number;
}

/**
 * Takes away every span of sentences that occurred before, in this document or an earlier one (C4: Raffel et al. 2020,
 * section 2.2; datatrove, pipeline/dedup/sentence_dedup.py). Compared as normalised text. 16 to 32 bytes of memory a
 * sentence; one task.
 */
export function sentence(options: SentenceOptions = {}): Step {
  refuseUnknown("dedup.sentence", options, ["span", "unit", "minWords", "minSentences"]);
  const { span = 3, unit = "sentences", minWords = 50, minSentences = 3 } = options;
  checkWhole("dedup.sentence", { span }, 1);
  checkWhole("dedup.sentence", { minWords, minSentences }, 0);
  checkOneOf("dedup.sentence", "unit", unit, ["sentences", "lines"]);
  return globalStep("dedup.sentence", { ...options }, (context) => {
    const seen = new HashSet64();
    const kernels = textKernels();
    const normalize = (text: string) => kernels.normalize(kernelText(text));
    return ({ text }) => {
      const sentences = split(text, unit);
      const normal = sentences.map(normalize);
      let dropUntil = 0;
      const kept: string[] = [];
      for (const [i, one] of sentences.entries()) {
        const joined = normal.slice(i, i + span).join(" ");
        if (i + span <= sentences.length && joined.trim() !== "") {
          const hash = kernels.hash(joined, "xxhash", 64);
          if (!seen.add(Number(hash & 0xffffffffn), Number(hash >> 32n))) dropUntil = i + span;
        }
        if (i >= dropUntil) kept.push(one);
      }
      const taken = sentences.length - kept.length;
      if (taken === 0) return { text };
      context.count("dedup.sentence/sentences taken away", taken);
      const rest = kept.join("").trim();
      const words = kernels.words(kernelText(rest), "english").length;
      if (words < minWords || rest === "") return { reason: "too few words left" };
      return split(rest, "sentences").length < minSentences
        ? { reason: "too few sentences left" }
        : { text: rest };
    };
  });
}

/** Parts of a text, with the white space behind them. */
function split(text: string, unit: "sentences" | "lines"): string[] {
  if (unit === "lines") return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  const starts: number[] = [];
  eachSentence(codesOf(text), 0, text.length, "en", (start) => starts.push(start) > 0);
  return starts.map((start, i) => text.slice(start, starts[i + 1]));
}
