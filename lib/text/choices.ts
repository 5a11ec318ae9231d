import { FormatError } from "../core/errors.ts";
import { isObject } from "../io/json.ts";
import { readRows } from "../io/rows.ts";
import type { Refuse } from "./encode_rows.ts";
import { namesOf, stringOf } from "./row_fields.ts";

/** A question with several answers, of which one is right. */
export interface Question {
  /** What stands before each choice. */
  readonly prompt: string;
  /** At least two; as text behind the prompt, from their first letter on. */
  readonly choices: readonly string[];
  /** Index of the right one. */
  readonly answer: number;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * Multiple-choice questions of a `.jsonl`, `.jsonl.gz` or `.parquet` file, or of a list, in any of these shapes:
 * - `{ query, choices, gold }` and `{ prompt, choices, answer }`, `gold` and `answer` being an index;
 * - HellaSwag: `{ ctx, endings, label }`, `label` being an index, also as text;
 * - ARC: `{ question, choices: { text, label }, answerKey }` (the question becomes "Question: …\nAnswer:").
 *
 * @throws FormatError, with the line, for a row that is none of these.
 */
export async function readQuestions(data: string | readonly unknown[]): Promise<Question[]> {
  const questions: Question[] = [];
  const rows = typeof data === "string" ? readRows(data) : data.map((value, i) => ({ value, line: i + 1 }));
  for await (const { value, line } of rows) {
    const where = typeof data === "string" ? `${data}:${line}` : `row ${line}`;
    questions.push(
      questionOf(value, (what) => {
        throw new FormatError(
          `readQuestions: ${where}: ${what}.`,
          typeof data === "string" ? data : "",
          line,
        );
      }),
    );
  }
  return questions;
}

function questionOf(row: unknown, refuse: Refuse): Question {
  if (!isObject(row)) return refuse("no JSON object");
  if ("ctx" in row) return checked(row.ctx, "ctx", row.endings, "endings", indexOf(row.label), refuse);
  if ("answerKey" in row) return arc(row, refuse);
  if ("query" in row) return checked(row.query, "query", row.choices, "choices", row.gold, refuse);
  if ("prompt" in row) return checked(row.prompt, "prompt", row.choices, "choices", row.answer, refuse);
  return refuse(`its fields are ${namesOf(row)}: query, prompt, ctx or answerKey was needed`);
}

/** HellaSwag's label: a whole number, or one as text; "" where it is kept secret. */
const indexOf = (label: unknown): unknown =>
  typeof label === "string" && /^\d+$/.test(label) ? Number(label) : label;

function arc(row: Fields, refuse: Refuse): Question {
  const { text, label } = isObject(row.choices) ? row.choices : { text: undefined, label: undefined };
  if (!Array.isArray(label)) return refuse("choices has no list of labels");
  const prompt = `Question: ${stringOf(row.question, "question", refuse)}\nAnswer:`;
  return checked(prompt, "question", text, "choices.text", label.indexOf(row.answerKey), refuse);
}

function checked(
  prompt: unknown,
  promptKey: string,
  choices: unknown,
  choicesKey: string,
  answer: unknown,
  refuse: Refuse,
): Question {
  if (!Array.isArray(choices) || choices.length < 2)
    return refuse(`${choicesKey} is no list of at least two texts`);
  const texts = choices.map((choice, i) => stringOf(choice, `${choicesKey}[${i}]`, refuse));
  const empty = texts.findIndex((text) => text.trim() === "");
  if (empty >= 0) return refuse(`${choicesKey}[${empty}] is empty`);
  if (!(Number.isInteger(answer) && (answer as number) >= 0 && (answer as number) < texts.length))
    return refuse(`the right answer is none of the ${texts.length} choices`);
  const before = stringOf(prompt, promptKey, refuse);
  if (before.trim() === "")
    return refuse(`${promptKey} is empty: the first words of a choice need words before them`);
  return { prompt: before, choices: texts, answer: answer as number };
}
