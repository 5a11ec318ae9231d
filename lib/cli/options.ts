import { readFile } from "node:fs/promises";
import path from "node:path";
import { type Command as Commander, Option } from "commander";
import { parse as parseYaml, YAMLError } from "yaml";
import { z } from "zod";
import { nearest } from "../core/nearest.ts";
import { isObject } from "../io/json.ts";

/** A command line that can't be run as it stands: exit code 2. */
export class UsageError extends Error {}

type Shape = Record<string, z.ZodType>;
type Settings = Record<string, unknown>;

/** One command: its options are a zod object, from which flags, help and the keys of a config file are made. */
export interface Command<S extends Shape = Shape> {
  /** The key that may be given without its flag. A command with a key `config` needs a config file, and is told which. */
  argument?: string;
  options: z.ZodObject<S>;
  /** Settings below the flags and the config file: those of a run that is resumed. */
  earlier?(given: Settings): Promise<{ from: string; settings: Settings } | undefined>;
  /** Keys that these settings need, though the schema has them optional. */
  needed?(settings: Settings): string[];
  run(options: z.output<z.ZodObject<S>>): Promise<void>;
}

/** What a word of the command line leads to: what it does, and where it is. */
export type CommandTable<T> = Record<string, [summary: string, load: () => Promise<{ default: T }>]>;

/** Several commands behind one word. */
export interface CommandGroup {
  commands: CommandTable<Command>;
}

/** Types a command by its own options, and gives it `--json`. */
export function command<S extends Shape>(spec: Command<S & JsonOption>): Command {
  return spec as unknown as Command;
}

/** What every command takes. */
export const jsonOption = {
  json: z.boolean().default(false).describe("print one JSON object a line, and nothing else, on stdout"),
};
type JsonOption = typeof jsonOption;

/** A path, made absolute: what a run writes down must hold wherever it is resumed from. */
export const filePath = () =>
  z
    .string()
    .min(1)
    .overwrite((text) => path.resolve(text))
    .meta({ path: true });

/** A file that may have a name of its own before it: `name=file`. The path is made absolute. */
export const namedFile = () =>
  z
    .string()
    .min(1)
    .overwrite((text) => {
      const { name, file } = splitName(text);
      return name === undefined ? path.resolve(file) : `${name}=${path.resolve(file)}`;
    })
    .meta({ path: true });

/** The parts of `name=file`; a "=" behind a "/" belongs to the file. */
export function splitName(text: string): { name?: string; file: string } {
  const [, name, file] = /^([^/=]+)=(.+)$/s.exec(text) ?? [];
  return name === undefined ? { file: text } : { name, file: file! };
}

/** A setting that only a config file can hold. */
export const inConfigOnly = { configOnly: true };

/** What commands that take text say of it. */
export const kTextFiles =
  '.jsonl (a "text" a line), .txt (one document, or several with lines of <|endoftext|> between), also as .gz or .zst';

/** Words of other programs for settings. */
const kOtherWords: Readonly<Record<string, string>> = {
  learningRate: "lr",
  minLearningRate: "minLr",
  batchSize: "batchTokens",
  maxSteps: "steps",
  labelSmoothingFactor: "labelSmoothing",
  numGenerations: "groupSize",
  maxCompletionLength: "maxNewTokens",
  responseLength: "maxNewTokens",
  cliprange: "clipRange",
  cliprangeValue: "valueClip",
  vfCoef: "valueCoef",
  numMiniBatches: "minibatches",
  numPpoEpochs: "epochs",
};

export const kebab = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const camel = (key: string): string =>
  key.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
const flag = (key: string): string => `--${kebab(key)}`;

/** Adds the flags of a command to commander's. */
export function addFlags(to: Commander, { options, argument }: Command): void {
  if (argument) to.argument(`[${kebab(argument)}]`, options.shape[argument]!.description);
  for (const [key, schema] of Object.entries(options.shape)) {
    if (schema.meta()?.configOnly) continue;
    to.addOption(new Option(`${flag(key)}${placeholder(schema)}`, help(schema)));
    if (isOnByDefault(schema)) to.addOption(new Option(`--no-${kebab(key)}`, `not: ${schema.description}`));
  }
  if (!("config" in options.shape)) to.option("--config <path>", "YAML file with the same keys; flags win");
}

const isOnByDefault = (schema: z.ZodType): boolean =>
  schema instanceof z.ZodDefault && schema.def.defaultValue === true;

function placeholder(schema: z.ZodType): string {
  const base = baseOf(schema);
  if (base instanceof z.ZodBoolean) return "";
  if (base instanceof z.ZodArray) return placeholder(base.element as z.ZodType).replace(">", "...>");
  if (base instanceof z.ZodEnum) return ` <${base.options.join("|")}>`;
  if (takesNumber(base)) return " <number>";
  return base.meta()?.path ? " <path>" : " <text>";
}

function help(schema: z.ZodType): string {
  const { description = "" } = schema;
  const value = schema instanceof z.ZodDefault ? schema.def.defaultValue : undefined;
  const isNone =
    value === undefined || value === false || (isObject(value) && Object.keys(value).length === 0);
  if (!isNone && String(value) !== "") return `${description} (default ${value})`;
  return schema.isOptional() ? description : `${description} (needed)`;
}

/** The schema without what wraps it: optional, default. */
function baseOf(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodDefault
    ? baseOf(schema.unwrap() as z.ZodType)
    : schema;
}

const takesNumber = (base: z.ZodType): boolean =>
  base instanceof z.ZodNumber ||
  (base instanceof z.ZodUnion && base.options.some((one) => one instanceof z.ZodNumber));

/**
 * All settings of a command: flags, then the config file, then an earlier run's. Throws UsageError, naming the flag or the
 * key of the file, for what is unknown, missing or of the wrong type.
 */
export async function readSettings(
  name: string,
  spec: Command,
  given: { flags: Settings; argument: string | undefined },
): Promise<Settings> {
  const asArgument = given.argument === undefined ? {} : { [spec.argument!]: given.argument };
  const { config, ...others } = { ...given.flags, ...asArgument };
  const rest = "config" in spec.options.shape && config !== undefined ? { config, ...others } : others;
  const flags = Object.fromEntries(
    Object.entries(rest).map(([key, value]) => [key, fromText(spec.options.shape[key]!, value)]),
  );
  const file = config === undefined ? {} : await readConfig(String(config), spec.options.shape);
  const above = { ...file, ...flags };
  const earlier = await spec.earlier?.(above);
  const settings = { ...earlier?.settings, ...above };
  const result = spec.options.safeParse(settings, { reportInput: true });
  const needed = spec.needed?.(settings).filter((key) => settings[key] === undefined) ?? [];
  if (result.success && needed.length === 0) return result.data;
  const issues = result.error?.issues ?? [];
  const nameOf = (key: string): string => {
    if (key in flags) return flag(key);
    if (key in file) return `${config}: ${kebab(key)}`;
    return earlier && key in earlier.settings ? `${earlier.from}: ${key}` : flag(key);
  };
  const absent = issues.flatMap(({ input, path }) =>
    input === undefined && path.length === 1 ? path.map(String) : [],
  );
  const missing = Object.keys(spec.options.shape).filter((key) => [...absent, ...needed].includes(key));
  const wayIn = (key: string): string =>
    spec.options.shape[key]!.meta()?.configOnly ? `the key ${kebab(key)} of the config file` : flag(key);
  throw new UsageError(
    missing.length > 0
      ? `${name}: ${missing.map(wayIn).join(", ")} needed and not given. See mixwright ${name} --help`
      : `${name}: ${issues.map((issue) => wording(issue, nameOf, spec)).join("; ")}`,
  );
}

/** A flag's text as the type its schema wants, where it can be read as that. */
function fromText(schema: z.ZodType, value: unknown): unknown {
  const base = baseOf(schema);
  if (base instanceof z.ZodArray && Array.isArray(value))
    return value.map((item) => fromText(base.element as z.ZodType, item));
  const number = takesNumber(base) && typeof value === "string" && value.trim() !== "";
  return number && Number.isFinite(Number(value)) ? Number(value) : value;
}

async function readConfig(file: string, shape: Shape): Promise<Settings> {
  const known = Object.keys(shape).filter((key) => key !== "config");
  let content: unknown;
  try {
    content = parseYaml(await readFile(file, "utf8")) ?? {};
  } catch (error) {
    const reason = error instanceof YAMLError ? error.message.split("\n")[0] : (error as Error).message;
    throw new UsageError(`--config ${file}: ${reason}`);
  }
  if (!isObject(content)) throw new UsageError(`--config ${file}: keys with values were needed`);
  const settings: Settings = {};
  for (const [written, value] of Object.entries(content)) {
    const key = camel(written);
    if (!known.includes(key)) {
      const others = Object.keys(kOtherWords).filter((word) => known.includes(kOtherWords[word]!));
      const near = nearest(written, [...known, ...others]);
      const meant = near && (kOtherWords[near] ?? near);
      throw new UsageError(
        `--config ${file}: unknown key "${written}"${meant ? `, is it ${kebab(meant)}?` : "."} Known are ${known.map(kebab).join(", ")}`,
      );
    }
    if (key in settings) throw new UsageError(`--config ${file}: ${kebab(key)} stands twice`);
    // One word or number is a list of one, as after a flag.
    const one = ["string", "number"].includes(typeof value) && baseOf(shape[key]!) instanceof z.ZodArray;
    settings[key] = one ? [value] : value;
  }
  return settings;
}

function wording(issue: z.core.$ZodIssue, nameOf: (key: string) => string, spec: Command): string {
  const key = String(issue.path[0] ?? (issue.code === "unrecognized_keys" ? issue.keys[0] : ""));
  const schema = spec.options.shape[key];
  if (!schema) return `${nameOf(key)} is a setting this command doesn't have`;
  const within = issue.path
    .slice(1)
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`));
  const place = `${nameOf(key)}${within.join("")}`;
  if (issue.code === "unrecognized_keys") return `${place} has the unknown key ${issue.keys.join(", ")}`;
  return `${place} is ${JSON.stringify(issue.input)}, ${wanted(issue, innerOf(schema, issue.path.slice(1)))} was needed`;
}

/** The schema at a path within another. */
function innerOf(schema: z.ZodType, [part, ...rest]: readonly PropertyKey[]): z.ZodType {
  if (part === undefined) return schema;
  const base = baseOf(schema);
  if (base instanceof z.ZodArray) return innerOf(base.element as z.ZodType, rest);
  return base instanceof z.ZodObject ? innerOf(base.shape[String(part)] as z.ZodType, rest) : schema;
}

function wanted(issue: z.core.$ZodIssue, schema: z.ZodType): string {
  const base = baseOf(schema);
  switch (issue.code) {
    case "too_small":
      if (issue.origin === "string") return "some text";
      if (issue.origin === "array") return "at least one";
      return `${issue.inclusive ? "at least" : "more than"} ${issue.minimum}`;
    case "too_big":
      return `${issue.inclusive ? "at most" : "less than"} ${issue.maximum}`;
    case "invalid_value":
      return `one of ${issue.values.join(", ")}`;
    default:
      if (base instanceof z.ZodNumber) return base.format === "safeint" ? "a whole number" : "a number";
      if (base instanceof z.ZodBoolean) return "true or false";
      if (base instanceof z.ZodArray) return `a list of ${wantedItems(base.element as z.ZodType)}`;
      return base instanceof z.ZodObject ? "keys with values" : "a text";
  }
}

function wantedItems(item: z.ZodType): string {
  if (baseOf(item) instanceof z.ZodNumber) return "numbers";
  return baseOf(item) instanceof z.ZodObject ? "phases" : "texts";
}
