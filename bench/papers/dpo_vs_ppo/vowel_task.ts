// The small model that ships defines words; a definition is worth the share of its words that begin with a vowel, each word
// counted once. Why this property: it can be computed exactly from the text alone; samples differ in it (0.31 ± 0.18 at the
// start), so that pairs say something; it is in reach of 0.8 million parameters, as knowledge of the words would not be; and
// writing one good word again and again doesn't earn it. Fewer than four words earn nothing.
import { glosses } from "../../../lib/cli/quickstart/texts.ts";
import { permutation, Random } from "../../../lib/core/random.ts";
import {
  type Device,
  exampleModelDir,
  generateBatch,
  loadModel,
  loadTokenizer,
  logProbs,
  type Model,
  type Pair,
  type Pairs,
  type Prompts,
  type Tokenizer,
} from "../../../lib/index.ts";
import { packCompletions } from "../../../lib/text/alignment_batches.ts";

const kLeastWords = 4;
/** Most tokens of a definition. */
export const kNewTokens = 32;
/** Definitions that go through the model together. */
const kTogether = 256;

/** What a text earns, from 0 to 1. */
export function vowelScore(text: string): number {
  const words = text.toLowerCase().match(/\p{L}+/gu) ?? [];
  if (words.length < kLeastWords) return 0;
  return new Set(words.filter((word) => /^[aeiou]/.test(word))).size / words.length;
}

/** A prompt with an answer, as token ids, and what the answer earns. */
interface Answer {
  readonly prompt: readonly number[];
  readonly completion: readonly number[];
  readonly text: string;
  readonly score: number;
}

/** What is measured of a policy. */
export interface Evaluation {
  /** Mean true reward of samples on prompts that no training saw. */
  reward: number;
  /** KL(policy ‖ SFT model) of a definition, in nats, from the policy's samples. */
  kl: number;
  /** Held-out pairs whose better half the policy's log-ratio to the SFT model prefers; a tie is half a pair. */
  accuracy: number;
  /** Share of samples that came to an end. */
  stopped: number;
}

export class VowelTask {
  private constructor(
    readonly device: Device,
    readonly tokenizer: Tokenizer,
    /** The model before alignment; never trained. */
    readonly sft: Model,
    /** Words with the definitions that people wrote of them. */
    private readonly words: ReadonlyMap<string, readonly string[]>,
    private readonly trainWords: readonly string[],
    private readonly heldOutWords: readonly string[],
  ) {}

  /** `tuning`: other words are held out, so that settings are not chosen on those that results are from. */
  static async open(device: Device, { tuning = false } = {}): Promise<VowelTask> {
    const words = new Map<string, string[]>();
    for (const text of await glosses()) {
      const at = text.indexOf(": ");
      const word = text.slice(0, at);
      words.set(word, [...(words.get(word) ?? []), text.slice(at + 2)]);
    }
    const all = [...words.keys()].filter((word) => /^[a-z]{3,12}$/.test(word));
    const order = [...permutation(all.length, 1)].map((i) => all[i]!);
    const heldOut = order.slice(tuning ? 256 : 0, tuning ? 512 : 256);
    return new VowelTask(
      device,
      await loadTokenizer(exampleModelDir),
      await loadModel(exampleModelDir, { device, dtype: "f32" }),
      words,
      order.slice(512),
      heldOut,
    );
  }

  /** A copy of the SFT model, to be trained. The caller disposes it. */
  policy(): Promise<Model> {
    return loadModel(exampleModelDir, { device: this.device, dtype: "f32" });
  }

  dispose(): void {
    this.sft.dispose();
  }

  /** `count` prompts to train on, by seed. */
  prompts(count: number, seed: number): Prompts {
    const order = permutation(this.trainWords.length, seed);
    const chosen = Array.from({ length: count }, (_, i) => this.trainWords[order[i]!]!);
    const prompts = chosen.map((word) => ({ ids: this.promptOf(word), row: { prompt: word } }));
    return { prompts, truncated: [], dropped: [] };
  }

  /** Pairs of two samples that the model draws at each prompt; the better one is chosen. Ties are left out. */
  async sampledPairs(model: Model, { prompts }: Prompts, seed: number): Promise<Pairs> {
    const answers = await this.answers(
      model,
      prompts.flatMap(({ ids }) => [ids, ids]),
      seed,
    );
    return pairsOf(answers);
  }

  /**
   * The same from another distribution: what people wrote of two senses of a word, In Title Case, which the model hardly ever
   * writes and the reward doesn't see.
   */
  humanPairs(count: number, seed: number): Pairs {
    const random = new Random(seed);
    const several = this.trainWords.filter((word) => this.words.get(word)!.length > 1);
    const order = permutation(several.length, seed);
    const answers: Answer[] = [];
    for (let i = 0; i < several.length && answers.length < 2 * count; i++) {
      const word = several[order[i]!]!;
      const senses = this.words.get(word)!;
      const first = random.below(senses.length - 1);
      const two = [senses[first]!, senses[first + 1]!].map((text) => this.written(word, titleCase(text)));
      if (two[0]!.score !== two[1]!.score) answers.push(...two);
    }
    return pairsOf(answers);
  }

  /** Measures a policy on the held-out words. */
  async evaluate(model: Model, heldOutPairs: Pairs, seed: number): Promise<Evaluation> {
    const ids = this.heldOutWords.flatMap((word) => [this.promptOf(word), this.promptOf(word)]);
    const answers = await this.answers(model, ids, seed);
    const [own, sft] = [await this.logProbsOf(model, answers), await this.logProbsOf(this.sft, answers)];
    const halves = heldOutPairs.pairs.flatMap(({ prompt, chosen, rejected }) => [
      { prompt, completion: chosen },
      { prompt, completion: rejected },
    ]);
    const [policyOf, sftOf] = [await this.logProbsOf(model, halves), await this.logProbsOf(this.sft, halves)];
    const ratios = policyOf.map((logProb, i) => logProb - sftOf[i]!);
    const right = heldOutPairs.pairs.map((_, i) => (Math.sign(ratios[2 * i]! - ratios[2 * i + 1]!) + 1) / 2);
    const eos = this.tokenizer.eosTokenId;
    return {
      reward: mean(answers.map(({ score }) => score)),
      kl: mean(own.map((logProb, i) => logProb - sft[i]!)),
      accuracy: mean(right),
      stopped: mean(answers.map(({ completion }) => (completion.at(-1) === eos ? 1 : 0))),
    };
  }

  /** A few definitions, for people. */
  async samples(model: Model, count: number, seed: number): Promise<{ word: string; text: string }[]> {
    const words = this.heldOutWords.slice(0, count);
    const answers = await this.answers(
      model,
      words.map((word) => this.promptOf(word)),
      seed,
    );
    return answers.map(({ text }, i) => ({ word: words[i]!, text }));
  }

  private async answers(
    model: Model,
    prompts: readonly (readonly number[])[],
    seed: number,
  ): Promise<Answer[]> {
    const answers: Answer[] = [];
    for (let first = 0; first < prompts.length; first += kTogether) {
      const part = prompts.slice(first, first + kTogether);
      const { tokens } = await generateBatch(model, part, {
        maxNewTokens: kNewTokens,
        seed: seed * 1000 + first,
      });
      answers.push(...tokens.map((completion, i) => this.answer(part[i]!, completion)));
    }
    return answers;
  }

  private written(word: string, text: string): Answer {
    const ids = this.tokenizer.encode(text, { addSpecialTokens: false });
    const whole = [...ids, this.tokenizer.eosTokenId!];
    return this.answer(this.promptOf(word), whole.slice(0, kNewTokens));
  }

  private answer(prompt: readonly number[], completion: readonly number[]): Answer {
    const text = this.tokenizer.decode(completion, { skipSpecialTokens: true });
    return { prompt, completion, text, score: vowelScore(text) };
  }

  private promptOf(word: string): number[] {
    const messages = [{ role: "user" as const, content: `What is ${word}?` }];
    return this.tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true });
  }

  /** Summed log-probability of each completion. */
  private async logProbsOf(
    model: Model,
    answers: readonly { prompt: readonly number[]; completion: readonly number[] }[],
  ): Promise<number[]> {
    const sums: number[] = [];
    for (let first = 0; first < answers.length; first += kTogether) {
      using part = logProbs(model, packCompletions(answers.slice(first, first + kTogether)));
      sums.push(...(await part.data()));
    }
    return sums;
  }
}

/** Answers 2i and 2i + 1 as a pair, if one is better. */
function pairsOf(answers: readonly Answer[]): Pairs {
  const pairs: Pair[] = [];
  for (let i = 0; i + 1 < answers.length; i += 2) {
    const [a, b] = [answers[i]!, answers[i + 1]!];
    if (a.score === b.score) continue;
    const [chosen, rejected] = a.score > b.score ? [a, b] : [b, a];
    pairs.push({
      prompt: [...a.prompt],
      chosen: [...chosen.completion],
      rejected: [...rejected.completion],
    });
  }
  return { pairs, truncated: [], dropped: [] };
}

/** The chosen halves as examples to fine-tune on. */
export const chosenBatches = ({ pairs }: Pairs, size: number) =>
  Array.from({ length: Math.ceil(pairs.length / size) }, (_, i) =>
    packCompletions(
      pairs.slice(i * size, (i + 1) * size).map(({ prompt, chosen }) => ({ prompt, completion: chosen })),
    ),
  );

const titleCase = (text: string): string => text.replace(/\p{L}+/gu, (w) => w[0]!.toUpperCase() + w.slice(1));

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
