import { stat } from "node:fs/promises";
import path from "node:path";
import { FormatError } from "../core/errors.ts";
import { isObject, parseJson } from "../io/json.ts";
import { readTextIfThere } from "../io/read_text.ts";

/** What a tokenizer's folder says, read and checked. */
export interface TokenizerFiles {
  readonly dir: string;
  /** Content of tokenizer.json. */
  readonly tokenizer: string;
  /** `bos_token` and its like by key, as text. */
  readonly namedTokens: Readonly<Record<string, string>>;
  /** `bos_token_id` and its like by key, from generation_config.json or else config.json; eos may have several. */
  readonly namedIds: Readonly<Record<string, readonly number[]>>;
  /** Jinja text by name. */
  readonly chatTemplates: ReadonlyMap<string, string>;
}

const kNamedTokens = [
  "bos_token",
  "eos_token",
  "pad_token",
  "unk_token",
  "sep_token",
  "cls_token",
  "mask_token",
];

/** Reads the tokenizer's files of a Hugging Face folder; all but tokenizer.json may be absent. */
export async function readTokenizerFiles(dir: string): Promise<TokenizerFiles> {
  const file = path.join(dir, "tokenizer.json");
  const tokenizer = await readTextIfThere(file);
  if (tokenizer === undefined) {
    const found = await stat(dir).catch(() => undefined);
    if (!found?.isDirectory()) {
      const what = found ? `${dir} is a file` : `there is no folder ${dir}`;
      throw new FormatError(`loadTokenizer: ${what}, a folder with a tokenizer.json was needed.`, file);
    }
    const other = (await readTextIfThere(path.join(dir, "tokenizer.model"))) !== undefined;
    const hint = other
      ? " Its tokenizer.model (SentencePiece) is not read: convert it with transformers first."
      : "";
    throw new FormatError(`loadTokenizer: ${dir} has no tokenizer.json.${hint}`, file);
  }
  const config = await readObject(path.join(dir, "tokenizer_config.json"));
  const map = await readObject(path.join(dir, "special_tokens_map.json"));
  const modelConfig = await readObject(path.join(dir, "config.json"));
  const generationConfig = await readObject(path.join(dir, "generation_config.json"));
  const namedTokens: Record<string, string> = {};
  const namedIds: Record<string, number[]> = {};
  for (const key of kNamedTokens) {
    const value = config[key] ?? map[key];
    const content = isObject(value) ? value.content : value;
    if (typeof content === "string") namedTokens[key] = content;
    const ids = [generationConfig[`${key}_id`] ?? modelConfig[`${key}_id`]].flat();
    namedIds[key] = ids.filter((id): id is number => typeof id === "number" && id >= 0);
  }
  const template = await readTextIfThere(path.join(dir, "chat_template.jinja"));
  return {
    dir,
    tokenizer,
    namedTokens,
    namedIds,
    chatTemplates: chatTemplates(template, config.chat_template),
  };
}

/** Named templates: a file of its own wins over tokenizer_config.json, which has one text or a list of named ones. */
function chatTemplates(ownFile: string | undefined, configured: unknown): Map<string, string> {
  const templates = new Map<string, string>();
  if (typeof configured === "string") templates.set("default", configured);
  for (const entry of Array.isArray(configured) ? configured : []) {
    if (isObject(entry)) templates.set(String(entry.name), String(entry.template));
  }
  if (ownFile !== undefined) templates.set("default", ownFile);
  return templates;
}

async function readObject(file: string): Promise<Record<string, unknown>> {
  const value = parseJson((await readTextIfThere(file)) ?? "{}", file);
  if (!isObject(value)) throw new FormatError(`loadTokenizer: ${file} holds no JSON object.`, file);
  return value;
}
