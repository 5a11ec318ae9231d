// The two domains of the adaptation papers, small: the model that ships knows glosses (old) and is trained on declarations (new).
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { exampleModelDir, type StudyOptions } from "../../../lib/index.ts";
import { declarations, glosses } from "../texts.ts";

/** A base model, what it is trained on, and what it is measured on. */
export type Domains = Pick<StudyOptions, "model" | "data" | "newHeldOut" | "oldHeldOut">;

/** Every 8th declaration is held out (half of those to choose learning rates by, half to report). */
const kNewEvery = 8;
/** Glosses that scripts/train_dictionary.ts held out, too. */
const kOldEvery = 1000;

/** Writes the texts as files into `dir`. */
export async function writeDomains(dir: string): Promise<Domains> {
  await mkdir(dir, { recursive: true });
  const write = async (name: string, texts: readonly string[]): Promise<string> => {
    const file = path.join(dir, `${name}.jsonl`);
    await writeFile(file, texts.map((text) => `${JSON.stringify({ text })}\n`).join(""));
    return file;
  };
  const [fresh, known] = [await declarations(), await glosses()];
  return {
    model: exampleModelDir,
    data: await write(
      "declarations",
      fresh.filter((_, i) => i % kNewEvery !== 0),
    ),
    newHeldOut: await write(
      "declarations_held_out",
      fresh.filter((_, i) => i % kNewEvery === 0),
    ),
    oldHeldOut: await write(
      "glosses_held_out",
      known.filter((_, i) => i % kOldEvery === 0),
    ),
  };
}
