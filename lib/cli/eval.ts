import path from "node:path";
import { z } from "zod";
import {
  type ChoiceEvaluation,
  evaluateChoices,
  evaluateText,
  type Model,
  openCorpus,
  readQuestions,
  sequentialBatches,
  type TextEvaluation,
  type Tokenizer,
  textBytes,
} from "../index.ts";
import { modelOptions, withModel } from "./device.ts";
import { command, filePath, jsonOption, kTextFiles, namedFile, splitName, UsageError } from "./options.ts";
import { printJson, printTable } from "./output.ts";

interface Text extends TextEvaluation {
  documents: number;
}

export default command({
  options: z.strictObject({
    ...modelOptions,
    data: filePath().optional().describe(`token file (.ds), or text: ${kTextFiles}`),
    choices: z
      .array(namedFile())
      .default([])
      .describe(
        "questions with several answers (.jsonl, .jsonl.gz, .parquet), in the shape of HellaSwag or ARC or as query, choices, gold; name=file names a set",
      ),
    batchTokens: z
      .int()
      .min(1)
      .default(4096)
      .describe(
        "tokens of a batch; what it is doesn't matter to the result: documents are cut at the model's context only (see mixwright info)",
      ),
    ...jsonOption,
  }),
  run: (options) => {
    if (options.data === undefined && options.choices.length === 0)
      throw new UsageError("eval: neither --data nor --choices is given, one of them was needed");
    return withModel(options, async ({ model, tokenizer }) => {
      const { data, batchTokens } = options;
      const text = data === undefined ? undefined : await evaluateFile(model, tokenizer, data, batchTokens);
      const choices: Record<string, ChoiceEvaluation> = {};
      for (const named of options.choices) {
        const { name, file } = splitName(named);
        const questions = await readQuestions(file);
        const key = name ?? path.basename(file).replace(/\.(jsonl(\.gz)?|parquet)$/, "");
        if (key in choices)
          throw new UsageError(
            `eval: two sets of questions are called ${key}, other names were needed: name=${file}`,
          );
        choices[key] = await evaluateChoices(model, tokenizer, questions, { batchTokens });
      }
      if (options.json) printJson({ ...text, ...(options.choices.length > 0 ? { choices } : {}) });
      else printTable([...textLines(text), ...Object.entries(choices).map(choiceLine)]);
    });
  },
});

async function evaluateFile(
  model: Model,
  tokenizer: Tokenizer,
  file: string,
  batchTokens: number,
): Promise<Text> {
  const corpus = await openCorpus(file, tokenizer);
  try {
    const maxLength = model.config.maxPositionEmbeddings;
    const batches = await sequentialBatches(corpus, { batchTokens, maxLength });
    const measured = await evaluateText(model, batches, await textBytes(corpus, tokenizer));
    return { documents: corpus.documents, ...measured };
  } finally {
    await corpus.close?.();
  }
}

const textLines = (text: Text | undefined): [string, string | number][] =>
  text
    ? [
        ["documents", text.documents],
        ["tokens", text.tokens],
        ["loss", text.loss.toFixed(4)],
        ["perplexity", text.perplexity.toPrecision(5)],
        ["bits a byte", text.bitsPerByte.toFixed(4)],
      ]
    : [];

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

const choiceLine = ([name, e]: [string, ChoiceEvaluation]): [string, string] => [
  name,
  `${percent(e.accuracy)} right, ${percent(e.accuracyNorm)} by length, ± ${percent(e.standardError)}; ` +
    `guessing ${percent(e.chance)}; ${e.questions} questions${e.truncated > 0 ? `, ${e.truncated} choices cut on the left` : ""}`,
];
