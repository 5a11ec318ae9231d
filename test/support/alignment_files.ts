import path from "node:path";
import { writeJsonl } from "./texts.ts";

const words = "fox dog zebra lamp river owl gate moon".split(" ");
const word = (i: number): string => words[i % words.length]!;

/** Small files for every alignment command, always the same: a pair whose completions are alike stands in line 3. */
export function alignmentFiles(dir: string): { pairs: string; labelled: string; prompts: string } {
  const rows = Array.from({ length: 10 }, (_, i) => ({
    prompt: `the quick ${word(i)} and`,
    chosen: ` a ${word(3 * i + 1)}`,
    rejected: i === 2 ? ` a ${word(7)}` : ` seven ${word(5 * i + 2)} hum`,
  }));
  return {
    pairs: writeJsonl(path.join(dir, "pairs.jsonl"), rows),
    labelled: writeJsonl(
      path.join(dir, "labelled.jsonl"),
      rows.flatMap(({ prompt, chosen, rejected }) => [
        { prompt, completion: chosen, label: true },
        { prompt, completion: rejected, label: false },
      ]),
    ),
    prompts: writeJsonl(
      path.join(dir, "prompts.jsonl"),
      rows.map(({ prompt }, i) => ({ prompt, wanted: "aeio"[i % 4] })),
    ),
  };
}
