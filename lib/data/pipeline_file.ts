import { readFile } from "node:fs/promises";
import { isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument } from "yaml";
import { ConfigError, FormatError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { isObject } from "../io/json.ts";
import { withPath } from "../io/system_error.ts";
import { isRegistered, makeStep, stepNames } from "./registry.ts";
import type { Reader, Step, StepDescription } from "./step.ts";

/** What a pipeline file says beside the steps: the same as the flags, which win. */
export interface PipelineSettings {
  tasks?: number;
  workers?: number;
  state?: string;
  rejected?: string;
}

const kSettings = { tasks: "number", workers: "number", state: "string", rejected: "string" } as const;

/**
 * Reads a pipeline from YAML: `steps`, each a name (`filter.gopherQuality`) or a name with its options
 * (`read.jsonl: { files: in/*.jsonl.gz }`), and any of tasks, workers, state and rejected. Paths are those of the current folder.
 * @throws FormatError for what is no YAML; ConfigError with the line for a key, a step or an option that isn't known, with the
 * nearest that is.
 */
export async function readPipelineFile(
  file: string,
): Promise<{ steps: [Reader, ...Step[]]; settings: PipelineSettings }> {
  const { pairs, refuse, steps } = await openFile(file);
  const settings: Record<string, unknown> = {};
  for (const pair of pairs) {
    const [key, value] = partsOf(pair);
    if (key === "steps") continue;
    const kind = kSettings[key as keyof typeof kSettings];
    if (kind === undefined) {
      const known = ["steps", ...Object.keys(kSettings)];
      const meant = nearest(key, known);
      throw refuse(
        pair.key,
        `unknown key "${key}"${meant ? `, is it ${meant}?` : "."} Known are ${known.join(", ")}`,
        key,
      );
    }
    if (typeof value !== kind)
      throw refuse(pair.key, `${key} is ${JSON.stringify(value)}, a ${kind} was needed`, key);
    settings[key] = value;
  }
  return { steps: await steps(), settings };
}

/** The same of a file whose other keys are somebody else's business: its steps alone. */
export async function readPipelineSteps(file: string): Promise<[Reader, ...Step[]]> {
  const { steps } = await openFile(file);
  return steps();
}

interface PipelineFile {
  readonly pairs: readonly Pair[];
  /** An error at a node of the file. */
  readonly refuse: Refuse;
  /** Makes what stands under `steps`. */
  steps(): Promise<[Reader, ...Step[]]>;
}

async function openFile(file: string): Promise<PipelineFile> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw withPath(error, file);
  });
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const lineOf = (node: unknown): number => lines.linePos((node as Node | null)?.range?.[0] ?? 0).line;
  const [wrong] = document.errors;
  if (wrong) {
    const { line } = lines.linePos(wrong.pos[0]);
    throw new FormatError(`${file}:${line}: ${wrong.message.split("\n")[0]}`, file, line);
  }
  const refuse = (node: unknown, what: string, key: string): ConfigError =>
    new ConfigError(`${file}:${lineOf(node)}: ${what}`, key);
  const root = document.contents;
  if (!isMap(root)) throw refuse(root, 'no keys with values, a list "steps" was needed', "steps");
  const steps = async (): Promise<[Reader, ...Step[]]> => {
    const pair = root.items.find((item) => partsOf(item)[0] === "steps");
    if (!pair) throw refuse(root, 'no "steps", a list of steps was needed', "steps");
    if (!isSeq(pair.value) || pair.value.items.length === 0) {
      const found = JSON.stringify(plain(pair.value));
      throw refuse(pair.key, `steps is ${found}, a list of steps was needed`, "steps");
    }
    const made: (Reader | Step)[] = [];
    for (const item of pair.value.items) made.push(await stepOf(item, refuse));
    return made as [Reader, ...Step[]];
  };
  return { pairs: root.items, refuse, steps };
}

type Refuse = (node: unknown, what: string, key: string) => ConfigError;

async function stepOf(item: unknown, refuse: Refuse): Promise<Reader | Step> {
  const description = descriptionOf(item, refuse);
  if (!isRegistered(description)) {
    const { step } = description;
    const meant = nearest(step, stepNames());
    const known = `Known are ${stepNames().join(", ")}`;
    throw refuse(item, `unknown step "${step}"${meant ? `, is it ${meant}?` : "."} ${known}`, step);
  }
  try {
    return await makeStep(description);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw refuse(optionNode(item, error.key) ?? item, error.message, error.key);
  }
}

function descriptionOf(item: unknown, refuse: Refuse): StepDescription {
  if (isScalar(item) && typeof item.value === "string") return { step: item.value, options: {} };
  const [only, ...more] = isMap(item) ? item.items : [];
  if (!only || more.length > 0)
    throw refuse(item, "a step is a name, or one name with its options below it", "steps");
  const [step, options] = partsOf(only);
  if (options === null) return { step, options: {} };
  if (!isObject(options))
    throw refuse(
      only.value,
      `${step} has ${JSON.stringify(options)} for options, names with values were needed`,
      step,
    );
  return { step, options };
}

const partsOf = ({ key, value }: Pair): [key: string, value: unknown] => [
  String(isScalar(key) ? key.value : key),
  plain(value),
];

/** What a node of YAML stands for. */
function plain(node: unknown): unknown {
  if (isMap(node)) return Object.fromEntries(node.items.map(partsOf));
  if (isSeq(node)) return node.items.map(plain);
  return isScalar(node) ? node.value : null;
}

/** Where an option of a step stands. */
function optionNode(item: unknown, key: string): unknown {
  const options = isMap(item) ? item.items[0]?.value : undefined;
  return isMap(options) ? options.items.find((pair) => partsOf(pair)[0] === key)?.key : undefined;
}
