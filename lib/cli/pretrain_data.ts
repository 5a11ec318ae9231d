import { z } from "zod";
import {
  type Corpus,
  joinCorpora,
  mix,
  type PretrainData,
  type PretrainPhase,
  sequentialBatches,
  type TokenBatch,
} from "../index.ts";
import { inConfigOnly, kTextFiles, namedFile, splitName, UsageError } from "./options.ts";
import { requireTargets } from "./training.ts";

const files = () => z.array(namedFile()).min(1);
/** In a config file one name may stand for a list of one. */
const filesOfPhase = () => z.preprocess((value) => (typeof value === "string" ? [value] : value), files());
const weights = () => z.array(z.number().min(0)).min(1);

const phaseOptions = z.strictObject({
  name: z.string().min(1).optional(),
  data: filesOfPhase(),
  weights: weights().optional(),
  steps: z.int().min(1),
  optimizer: z.enum(["keep", "reset"]).default("keep"),
});

/** What a run trains on, and what it is measured on. */
export const pretrainDataOptions = {
  data: files()
    .optional()
    .describe(
      `token files (.ds) or folders of them, or text: ${kTextFiles}; name=file gives one a name for --weights`,
    ),
  weights: weights()
    .optional()
    .describe("share of each file of --data in the tokens; without them all documents are one set"),
  phases: z
    .array(phaseOptions)
    .min(1)
    .optional()
    .meta(inConfigOnly)
    .describe("instead of data and steps, one after another: data, weights, steps, optimizer, name"),
  validation: z
    .array(namedFile())
    .min(1)
    .optional()
    .describe("files like --data, to measure loss and forgetting on; name=file gives one a name"),
};

type Phase = z.output<typeof phaseOptions>;
type Options = z.output<z.ZodObject<typeof pretrainDataOptions>>;
type Open = (file: string) => Promise<Corpus>;

/** Updates of the run: --steps, or those of all phases. Throws UsageError for what is given twice. */
export function stepsOf({
  data,
  weights: shares,
  phases,
  steps,
}: Options & { steps?: number | undefined }): number {
  if (!phases) {
    requireWeights("--weights", data!, shares);
    return steps!;
  }
  if (data ?? shares)
    throw new UsageError("pretrain: data is given beside phases, each of which has its own");
  phases.forEach((phase, k) => {
    requireWeights(`weights of phase ${k + 1}`, phase.data, phase.weights);
  });
  const total = phases.reduce((sum, phase) => sum + phase.steps, 0);
  if (steps !== undefined && steps !== total)
    throw new UsageError(`pretrain: --steps is ${steps}, the phases have ${total} together. Leave it out`);
  return total;
}

function requireWeights(where: string, data: readonly string[], shares: readonly number[] | undefined): void {
  if (!shares || shares.length === data.length) return;
  throw new UsageError(
    `pretrain: ${where} has ${shares.length} numbers for ${data.length} files, one each was needed`,
  );
}

/** All files of data, in order. */
export const dataFiles = ({ data, phases }: Options): string[] =>
  (phases?.flatMap((phase) => phase.data) ?? data ?? []).map((text) => splitName(text).file);

/** The data of a run, or its phases, open. */
export async function openData(
  { data, weights: shares, phases, steps }: Options & { steps: number },
  open: Open,
): Promise<{ data: PretrainData; steps: number } | { phases: PretrainPhase[] }> {
  if (!phases) return { data: await openFiles({ data: data!, weights: shares }, open), steps };
  const opened: PretrainPhase[] = [];
  for (const { name, steps: own, optimizer, ...phase } of phases) {
    const made = { data: await openFiles(phase, open), steps: own, optimizer };
    opened.push({ ...made, ...(name !== undefined && { name }) });
  }
  return { phases: opened };
}

async function openFiles(
  { data, weights: shares }: Pick<Phase, "data" | "weights">,
  open: Open,
): Promise<PretrainData> {
  if (!shares) return joinCorpora(await Promise.all(data.map((text) => open(splitName(text).file))));
  // Names first: mix makes them of files.
  const { parts } = mix(
    data.map((text, k) => {
      const { name, file } = splitName(text);
      return { data: file, weight: shares[k]!, ...(name !== undefined && { name }) };
    }),
  );
  const corpora = await Promise.all(parts.map((part) => open(part.data as string)));
  return mix(parts.map(({ name, weight }, k) => ({ name, weight, data: corpora[k]! })));
}

/** The validation sets by name; a single one without a name is called "validation". */
export async function validationSets(
  given: readonly string[],
  open: Open,
  sizes: { batchTokens: number; maxLength: number },
): Promise<Record<string, readonly TokenBatch[]>> {
  const { parts } = mix(
    given.map((text) => {
      const { name = given.length === 1 ? "validation" : undefined, file } = splitName(text);
      return { data: file, weight: 1, ...(name !== undefined && { name }) };
    }),
  );
  const sets: Record<string, readonly TokenBatch[]> = {};
  for (const { name, data } of parts)
    sets[name] = requireTargets(String(data), await sequentialBatches(await open(String(data)), sizes));
  return sets;
}
