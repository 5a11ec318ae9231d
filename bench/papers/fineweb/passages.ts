// What models are trained and measured on: passages of pages, copies that are planted, held-out text and questions.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Random } from "../../../lib/core/random.ts";
import { readRows, readTexts } from "../../../lib/index.ts";

/** Pages are cut into passages, so that a model of few tokens sees something of every page. UTF-16 code units. */
const kPassage = 1000;

/** Lines of a text, put together to passages; what is shorter than a tenth of a passage at the end is left out. */
export function passagesOf(text: string): string[] {
  const passages: string[] = [];
  let passage = "";
  const end = (): void => {
    if (passage.length >= kPassage / 10) passages.push(passage);
    passage = "";
  };
  for (const line of text.split("\n")) {
    // A line that is longer than a passage is cut between words.
    for (const part of line.match(/\S[\s\S]{0,999}(?=\s|$)|\S{1,1000}/g) ?? []) {
      if (passage.length + part.length > kPassage) end();
      passage = passage === "" ? part : `${passage}\n${part}`;
    }
  }
  end();
  return passages;
}

export async function passagesIn(files: readonly string[]): Promise<string[]> {
  const passages: string[] = [];
  for (const file of files) for await (const text of readTexts(file)) passages.push(...passagesOf(text));
  return passages;
}

/** Passages by the package that `metadata` names. */
export async function passagesByPackage(files: readonly string[]): Promise<Record<string, string[]>> {
  const by: Record<string, string[]> = {};
  for (const file of files) {
    for await (const { value } of readRows(file)) {
      const { text, metadata } = value as { text: string; metadata: { package: string } };
      by[metadata.package] ??= [];
      by[metadata.package]!.push(...passagesOf(text));
    }
  }
  return by;
}

/** Part of all passages that each package has. */
export function sharesOf(by: Readonly<Record<string, readonly string[]>>): Record<string, number> {
  const all = Object.values(by).reduce((sum, { length }) => sum + length, 0);
  return Object.fromEntries(Object.entries(by).map(([name, { length }]) => [name, length / all]));
}

/** A .jsonl file of texts. */
export function writeTexts(file: string, texts: readonly string[]): string {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, texts.map((text) => `${JSON.stringify({ text })}\n`).join(""));
  return file;
}

/** So many of a list, drawn without putting back. */
export function sample<T>(list: readonly T[], count: number, random: Random): T[] {
  const left = [...list];
  const drawn: T[] = [];
  while (drawn.length < count && left.length > 0) {
    const k = random.below(left.length);
    drawn.push(left[k]!);
    left[k] = left.at(-1)!;
    left.pop();
  }
  return drawn;
}

export interface Planted {
  /** Share of the passages that have copies. */
  share: number;
  /** Copies of each of those. */
  copies: number;
}

/** Passages and, planted among them, near-copies of some, each with two of its words replaced by words of another passage. */
export function withCopies(
  passages: readonly string[],
  { share, copies }: Planted,
  random: Random,
): string[] {
  const copied = sample(passages, Math.round(share * passages.length), random);
  const all = [...passages];
  for (const passage of copied) {
    for (let c = 0; c < copies; c++) {
      const words = passage.split(" ");
      for (let w = 0; w < 2; w++) {
        const other = passages[random.below(passages.length)]!.split(" ");
        words[random.below(words.length)] = other[random.below(other.length)]!;
      }
      all.push(words.join(" "));
    }
  }
  return all;
}

/** A question of four choices in the shape of `readQuestions`. */
export interface Choice {
  prompt: string;
  choices: string[];
  answer: number;
}

/** Of each pair its second part among those of three others. */
function questions(pairs: readonly (readonly [string, string])[], count: number, random: Random): Choice[] {
  return sample(pairs, count, random).map(([prompt, right]) => {
    const wrong = sample(
      sample(pairs, 12, random).map(([, text]) => text),
      12,
      random,
    ).filter((text) => text !== right);
    const choices = wrong.slice(0, 3);
    const answer = random.below(4);
    choices.splice(answer, 0, right);
    return { prompt, choices, answer };
  });
}

/** Which is the definition of this word? From glosses "word: definition". */
export function glossQuestions(glosses: readonly string[], count: number, random: Random): Choice[] {
  const pairs = glosses.flatMap((gloss) => {
    const at = gloss.indexOf(": ");
    const definition = gloss.slice(at + 2);
    return definition.length >= 30 ? [[`${gloss.slice(0, at)}:`, ` ${definition}`] as const] : [];
  });
  return questions(pairs, count, random);
}

/** Which is the second half of this sentence? */
export function sentenceQuestions(texts: readonly string[], count: number, random: Random): Choice[] {
  const pairs = texts.flatMap((text) =>
    text.split(/(?<=[.?!])\s+/).flatMap((sentence) => {
      const words = sentence.split(/\s+/);
      if (words.length < 10 || words.length > 40) return [];
      const half = Math.ceil(words.length / 2);
      return [[words.slice(0, half).join(" "), ` ${words.slice(half).join(" ")}`] as const];
    }),
  );
  return questions(pairs, count, random);
}

export function writeQuestions(file: string, of: readonly Choice[]): string {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, of.map((question) => `${JSON.stringify(question)}\n`).join(""));
  return file;
}
