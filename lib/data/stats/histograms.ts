import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { ConfigError, FormatError } from "../../core/errors.ts";
import { refuseUnknown } from "../../core/options.ts";
import { isObject, parseJson } from "../../io/json.ts";
import { type Step, taskName } from "../step.ts";
import { addHistogram, addValue, type Histogram, noValues } from "./histogram.ts";
import { kMeasures, measuresOf } from "./measures.ts";

/** By the name of the measure. */
export type Histograms = Record<string, Histogram>;

const kStep = "stats.histograms";

const none = (): Histograms => Object.fromEntries(kMeasures.map(({ name }) => [name, noValues()]));

/**
 * Hands every document on, and counts what its text measures (see kMeasures): `<dir>/<task>.json`, histograms that
 * readHistograms adds up. Put one behind each step that is to be seen in the report. Words are those of the document's
 * `metadata.language`, where a language filter has set it.
 */
export function histograms(dir: string, options: Record<string, never> = {}): Step {
  refuseUnknown(kStep, options, []);
  if (typeof dir !== "string" || dir === "")
    throw new ConfigError(`${kStep}: dir is ${JSON.stringify(dir)}, a folder was needed`, "dir");
  const full = path.resolve(dir);
  return {
    description: { step: kStep, options: { dir: full } },
    async *run(documents, context) {
      const all = none();
      for await (const document of documents) {
        const { language } = document.metadata;
        const values = measuresOf(document.text, typeof language === "string" ? language : undefined);
        kMeasures.forEach(({ name, kind }, i) => {
          addValue(all[name]!, kind, values[i]!);
        });
        yield document;
      }
      const output = await context.create(path.join(full, `${taskName(context)}.json`));
      await output.write(`${JSON.stringify(all)}\n`);
    },
  };
}

/** The histograms of all tasks in `dir`, added up. Throws FormatError for a file that holds none. */
export async function readHistograms(dir: string): Promise<Histograms> {
  const sum = none();
  for (const name of (await readdir(dir)).filter((file) => /^\d+\.json$/.test(file)).sort()) {
    const file = path.join(dir, name);
    const read = parseJson(await readFile(file, "utf8"), file);
    if (!isObject(read)) throw new FormatError(`readHistograms: ${file} holds no histograms`, file);
    for (const [measure, histogram] of Object.entries(sum)) {
      const one = read[measure];
      if (!isObject(one) || !isObject(one.bins))
        throw new FormatError(`readHistograms: ${file} has no "${measure}"`, file);
      addHistogram(histogram, one as unknown as Histogram);
    }
  }
  return sum;
}
