import { ConfigError, MixwrightError } from "../core/errors.ts";
import { scope } from "../core/scope.ts";
import { withoutGrad } from "../core/tape.ts";
import type { Model } from "../models/model.ts";
import type { Question } from "../text/choices.ts";
import { encodeTexts } from "../text/encode_pair.ts";
import { packBatch } from "../text/token_batch.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { logProbs } from "./loss.ts";

/** How often a model holds the right choice for the likeliest one. */
export interface ChoiceEvaluation {
  readonly questions: number;
  /** Share of questions whose right choice has the highest log-probability. */
  readonly accuracy: number;
  /** The same, log-probabilities divided by the characters of the choice: long choices are not at a disadvantage. */
  readonly accuracyNorm: number;
  /** What guessing comes to: the mean of 1 / choices. */
  readonly chance: number;
  /** Standard error of both: √(p (1 − p) / questions), the larger. */
  readonly standardError: number;
  /** Choices whose prompt was cut on the left to fit into the model's context. */
  readonly truncated: number;
}

/** A choice behind its prompt: the log-probability of ids[from…] is what counts. */
interface Scored {
  readonly ids: readonly number[];
  readonly from: number;
}

const kQuestionsEncoded = 256;

/**
 * Scores questions by the log-probability of each choice behind its prompt and a space. The tokens that count are those in
 * which the choices of a question differ from the prompt's own. Ties go to the first.
 * @throws ConfigError for no questions, MixwrightError for a log-probability that is no number.
 * @see Gao et al., "lm-evaluation-harness": acc and acc_norm.
 */
export async function evaluateChoices(
  model: Model,
  tokenizer: Tokenizer,
  questions: readonly Question[],
  { batchTokens = 4096 }: { batchTokens?: number } = {},
): Promise<ChoiceEvaluation> {
  if (questions.length === 0)
    throw new ConfigError("evaluateChoices: no question, at least one was needed", "questions");
  const sum = { accuracy: 0, accuracyNorm: 0, chance: 0, truncated: 0 };
  for (let at = 0; at < questions.length; at += kQuestionsEncoded) {
    const part = questions.slice(at, at + kQuestionsEncoded);
    const scored = (await encodeChoices(tokenizer, part)).map((one) => {
      const cut = Math.max(0, one.ids.length - model.config.maxPositionEmbeddings);
      if (cut > 0) sum.truncated++;
      return { ids: one.ids.slice(cut), from: Math.max(1, one.from - cut) };
    });
    const scores = await scoresOf(model, scored, batchTokens);
    let next = 0;
    for (const { choices, answer } of part) {
      const own = scores.slice(next, next + choices.length);
      next += choices.length;
      const normed = own.map((score, c) => score / choices[c]!.length);
      sum.accuracy += Number(own.indexOf(Math.max(...own)) === answer);
      sum.accuracyNorm += Number(normed.indexOf(Math.max(...normed)) === answer);
      sum.chance += 1 / choices.length;
    }
  }
  const n = questions.length;
  const [accuracy, accuracyNorm] = [sum.accuracy / n, sum.accuracyNorm / n];
  const error = (p: number): number => Math.sqrt((p * (1 - p)) / n);
  return {
    questions: n,
    accuracy,
    accuracyNorm,
    chance: sum.chance / n,
    standardError: Math.max(error(accuracy), error(accuracyNorm)),
    truncated: sum.truncated,
  };
}

/** Every choice of every question, in order. */
async function encodeChoices(tokenizer: Tokenizer, questions: readonly Question[]): Promise<Scored[]> {
  const texts = questions.flatMap(({ prompt, choices }) => [
    prompt,
    ...choices.map((choice) => `${prompt} ${choice}`),
  ]);
  const ids = await encodeTexts(tokenizer, texts);
  let at = 0;
  return questions.flatMap(({ choices }) => {
    const [prompt, ...whole] = ids.slice(at, at + choices.length + 1);
    at += choices.length + 1;
    // A tokenizer may join the prompt's end with a choice: then all choices count from before it.
    const from = Math.max(1, Math.min(...whole.map((one) => commonStart(prompt!, one))));
    return whole.map((one) => ({ ids: one, from }));
  });
}

function commonStart(a: readonly number[], b: readonly number[]): number {
  const end = a.findIndex((id, i) => b[i] !== id);
  return end < 0 ? a.length : end;
}

async function scoresOf(model: Model, all: readonly Scored[], batchTokens: number): Promise<number[]> {
  const scores: number[] = [];
  for (let at = 0; at < all.length; ) {
    let end = at;
    let tokens = 0;
    while (end < all.length && (end === at || tokens + all[end]!.ids.length <= batchTokens))
      tokens += all[end++]!.ids.length;
    const part = all.slice(at, end);
    const batch = packBatch(
      part.map(({ ids }) => ids),
      part.map(({ ids, from }) => ids.map((_, i) => i >= from)),
    );
    const sums = withoutGrad(() => scope(() => logProbs(model, batch)));
    try {
      scores.push(...(await sums.data()));
    } finally {
      sums.dispose();
    }
    at = end;
  }
  const odd = scores.find((score) => !Number.isFinite(score));
  if (odd === undefined) return scores;
  throw new MixwrightError(
    `evaluateChoices: a log-probability is ${odd}, a number was needed. The model's weights may be damaged`,
  );
}
