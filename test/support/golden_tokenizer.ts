import { cpSync, writeFileSync } from "node:fs";
import path from "node:path";
import { loadTokenizer, type Tokenizer } from "../../lib/text/tokenizer.ts";
import { tempDir } from "./temp_dir.ts";

export const goldenTokenizers = path.resolve(import.meta.dirname, "../golden/tokenizers");

export const chatTemplate =
  "{{ bos_token }}{% for m in messages %}\n    {{- m.role + ':\\n' + m.content | trim + '<|eot_id|>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ 'assistant:\\n' }}{% endif %}";

/** A folder with the golden tokenizer of that name and, beside it, the given files (objects become JSON). */
export function tokenizerFolder(name: string, files: Record<string, unknown> = {}): string {
  const dir = tempDir();
  cpSync(path.join(goldenTokenizers, name, "tokenizer.json"), path.join(dir, "tokenizer.json"));
  for (const [file, content] of Object.entries(files)) {
    writeFileSync(path.join(dir, file), typeof content === "string" ? content : JSON.stringify(content));
  }
  return dir;
}

/** The golden Llama-3 style tokenizer with bos `<|begin_of_text|>`, eos `<|eot_id|>` and a chat template. */
export function chatTokenizer(template = chatTemplate): Promise<Tokenizer> {
  const config = { bos_token: "<|begin_of_text|>", eos_token: "<|eot_id|>", chat_template: template };
  return loadTokenizer(tokenizerFolder("llama3_style_bpe_1024", { "tokenizer_config.json": config }));
}
