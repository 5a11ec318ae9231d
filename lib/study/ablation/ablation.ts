import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import path from "node:path";
import { ConfigError, MixwrightError } from "../../core/errors.ts";
import { encodeDocuments } from "../../data/corpus.ts";
import { readTexts } from "../../data/text_files.ts";
import { openTokenFile } from "../../data/token_file.ts";
import { writeTokenFile } from "../../data/write_token_file.ts";
import { sha256OfFiles } from "../../io/file_hash.ts";
import { writeReport } from "../../report/page.ts";
import { loadTokenizer, type Tokenizer } from "../../text/tokenizer.ts";
import { checkRunFolder, openRunFolder } from "../../train/run_folder.ts";
import { lockRunFolder } from "../../train/run_lock.ts";
import { readJson, versions, writeJson, writeText } from "../folder.ts";
import { ablationCsv, ablationReport } from "./report.ts";
import type { AblationResult } from "./results.ts";
import { type AblationOptions, type AblationSettings, kFree, settingsOf } from "./settings.ts";
import { trainVariant } from "./train_variant.ts";

/** A run as it goes on: written to its file after every point, "done" or "failed" at its end. */
type RunFile = Omit<AblationResult, "status"> & { status: AblationResult["status"] | "running" };

/**
 * FineWeb's principled ablation (Penedo et al. 2024, §3.1): on each variant of a text, a model from scratch for each seed, all
 * of the same architecture and on the same number of tokens, none of them twice; then the same measurements of all.
 * `for await (const result of runAblation({ … })) …`: one result a run, in the order variants × seeds, those of an earlier call first.
 * `out` then holds scores.csv, report.html, a token file for each variant, and a folder for each run.
 *
 * A run whose training fails (a loss that isn't finite, out of memory) is a result that says so. After the signal, `break` or a
 * SIGKILL, `resume: true` goes on where it was.
 * @throws ConfigError for settings that don't fit, and for a variant with fewer tokens than `tokens`.
 */
export async function* runAblation(options: AblationOptions): AsyncGenerator<AblationResult, void, void> {
  const { resume = false, signal } = options;
  const settings = settingsOf(options);
  const out = path.resolve(options.out);
  await checkRunFolder("ablate", out, { resume, steps: Number.MAX_SAFE_INTEGER });
  const measured = [...Object.values(settings.heldOut), ...Object.values(settings.choices)];
  const dataSha256 = await sha256OfFiles(measured);
  const unlock = await lockRunFolder("ablate", out);
  try {
    const record = { command: "ablate", settings: { ...settings }, versions: versions(), dataSha256 };
    (await openRunFolder(out, record, kFree)).close();
    const tokenizer = await loadTokenizer(settings.tokenizer);
    const tokensOf = await tokenFiles(out, settings, tokenizer);
    const steps = stepsOf(settings, tokensOf);
    const results: AblationResult[] = [];
    const tables = async (): Promise<void> => writeText(path.join(out, "scores.csv"), ablationCsv(results));
    for (const variant of Object.keys(settings.variants)) {
      for (const seed of settings.seeds) {
        if (signal?.aborted) return;
        const result = await resultOf(out, settings, { variant, seed, steps }, signal);
        if (result === undefined) return;
        results.push(result);
        await tables();
        yield result;
      }
    }
    await writeReport(
      path.join(out, "report.html"),
      ablationReport(path.basename(out), settings, results, tokensOf, steps),
    );
  } finally {
    await unlock();
  }
}

/** Encodes each variant once. The hash of its texts tells whether they are still those that were encoded. */
async function tokenFiles(
  out: string,
  { variants }: AblationSettings,
  tokenizer: Tokenizer,
): Promise<ReadonlyMap<string, number>> {
  const tokens = new Map<string, number>();
  for (const [variant, files] of Object.entries(variants)) {
    const file = tokenFileOf(out, variant);
    const sha256 = await sha256OfFiles(files);
    const before = await readJson<{ sha256: string }>(`${file}.source.json`);
    if (before && before.sha256 !== sha256) {
      throw new ConfigError(
        `ablate: the files of variant ${variant} are not what they were when the ablation in ${out} was started. Bring them back, or take another folder`,
        "variants",
      );
    }
    if (!before || !existsSync(`${file}.index`)) {
      await writeTokenFile(file, encodeDocuments(tokenizer, textsOf(files)), { tokenizer });
      await writeJson(`${file}.source.json`, { sha256 });
    }
    const opened = await openTokenFile(file);
    tokens.set(variant, opened.info.tokens);
    await opened.close?.();
  }
  return tokens;
}

async function* textsOf(files: readonly string[]): AsyncGenerator<string> {
  for (const file of files) yield* readTexts(file);
}

const tokenFileOf = (out: string, variant: string): string => path.join(out, "tokens", `${variant}.ds`);

/** Whole batches in the tokens that every variant has. */
function stepsOf({ tokens, batchTokens }: AblationSettings, all: ReadonlyMap<string, number>): number {
  const [smallest, fewest] = [...all].reduce((a, b) => (b[1] < a[1] ? b : a));
  if ((tokens ?? batchTokens) > fewest) {
    throw new ConfigError(
      `ablate: the variant ${smallest} has ${fewest} tokens, ${tokens === undefined ? `a batch of ${batchTokens} was` : `the ${tokens} of the setting tokens were`} ` +
        "needed of every variant, since no document comes twice. Give more text, or fewer tokens",
      "tokens",
    );
  }
  return Math.floor((tokens ?? fewest) / batchTokens);
}

async function resultOf(
  out: string,
  settings: AblationSettings,
  { variant, seed, steps }: { variant: string; seed: number; steps: number },
  signal: AbortSignal | undefined,
): Promise<AblationResult | undefined> {
  const dir = path.join(out, "runs", `${variant}-s${seed}`);
  const file = path.join(dir, "result.json");
  const earlier = await readJson<RunFile>(file);
  if (earlier && earlier.status !== "running") return earlier as AblationResult;
  const before = earlier?.points ?? [];
  const save = (run: Pick<RunFile, "status" | "points" | "reason">): Promise<void> =>
    writeJson(file, { variant, seed, ...run });
  const tokenFile = tokenFileOf(out, variant);
  let result: AblationResult;
  try {
    const points = await trainVariant(
      settings,
      { tokenFile, dir, steps, seed, before },
      (all) => save({ status: "running", points: all }),
      signal,
    );
    if (points === undefined) return undefined;
    result = { variant, seed, status: "done", points };
  } catch (error) {
    if (!(error instanceof MixwrightError) || error instanceof ConfigError) throw error;
    const points = (await readJson<RunFile>(file))?.points ?? [];
    result = { variant, seed, status: "failed", reason: error.message, points };
  }
  await save(result);
  await rm(path.join(dir, "checkpoints"), { recursive: true, force: true });
  return result;
}
