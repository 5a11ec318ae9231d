import { existsSync, statSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { readAdapterFile } from "../adapters/peft_format.ts";
import { ConfigError, FormatError } from "../core/errors.ts";
import {
  attachRewardHead,
  type Device,
  loadAdapter,
  loadModel,
  type RewardFunction,
  type Sample,
  type ScoreHead,
  type Tokenizer,
} from "../index.ts";
import { scoresOf } from "../train/rl/rollout.ts";
import { requireSameTokens } from "./alignment_options.ts";

/** The file beside a reward model's weights, or its adapter's. */
export const kRewardHead = "reward_head.safetensors";

interface Options {
  reward: string;
  rewardBase?: string | undefined;
  dtype: "f32" | "bf16";
}

/**
 * The reward of `--reward`: the folder of a reward model, or a module with a function. Throws for what is neither, and for a
 * reward model with other tokens than the policy's.
 */
export async function openReward(
  given: Options,
  { device, tokenizer }: { device: Device; tokenizer: Tokenizer },
): Promise<RewardFunction> {
  const { reward: from } = given;
  if (!existsSync(from)) throw new FormatError(`--reward: there is no file or folder ${from}`, from);
  if (statSync(from).isDirectory()) {
    const head = await openRewardModel("--reward", given, { device, tokenizer });
    return (samples) => scoresOf(samples, head);
  }
  if (given.rewardBase !== undefined) {
    throw new ConfigError(
      `--reward-base is given, and --reward is the file ${from}: a folder was needed`,
      "rewardBase",
    );
  }
  return openRewardModule(from);
}

/** The reward model in a folder that `mixwright reward` made. */
export async function openRewardModel(
  flag: string,
  { reward: folder, rewardBase, dtype }: Options,
  { device, tokenizer }: { device: Device; tokenizer: Tokenizer },
): Promise<ScoreHead> {
  const weights = path.join(folder, kRewardHead);
  if (!existsSync(weights)) {
    throw new FormatError(
      `${flag}: ${folder} has no ${kRewardHead}, a folder made by mixwright reward was needed, or a module`,
      folder,
    );
  }
  const isAdapter = existsSync(path.join(folder, "adapter_config.json"));
  const base = isAdapter ? (rewardBase ?? (await baseOf(flag, folder))) : folder;
  await requireSameTokens(flag, base, tokenizer);
  const model = await loadModel(base, { device, dtype });
  if (isAdapter) await loadAdapter(model, folder);
  return attachRewardHead(model, { weights });
}

/** The folder that an adapter says it is for. */
async function baseOf(flag: string, folder: string): Promise<string> {
  const { raw } = await readAdapterFile(folder);
  const named = raw.base_model_name_or_path;
  if (typeof named === "string" && existsSync(path.join(named, "config.json"))) return named;
  throw new FormatError(
    `${flag}: ${folder} is an adapter of ${JSON.stringify(named)}, which is no folder here. Say where it is by --reward-base`,
    folder,
  );
}

/** Its errors name the file: it is the user's. */
async function openRewardModule(file: string): Promise<RewardFunction> {
  const { default: reward } = await import(pathToFileURL(file).href).catch((error: Error) => {
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      code === "ERR_UNKNOWN_FILE_EXTENSION"
        ? `Node ${process.version} doesn't run it. A .js or .mjs file was needed`
        : error.message;
    throw caused(`--reward: ${file} can't be loaded: ${why}`, error);
  });
  if (typeof reward !== "function") {
    throw new ConfigError(
      `--reward: the default export of ${file} is ${typeof reward}, a function of samples was needed`,
      "reward",
    );
  }
  return async (samples: readonly Sample[]) => {
    let scores: ArrayLike<number>;
    try {
      scores = await (reward as RewardFunction)(samples);
    } catch (error) {
      throw caused(`--reward: ${file} threw ${String(error)}`, error);
    }
    return scoresOf(samples, () => scores).catch((error: Error) => {
      throw new ConfigError(`--reward: ${file}: ${error.message}`, "reward");
    });
  };
}

/** With MIXWRIGHT_DEBUG, the stack of what the module threw is shown. */
function caused(message: string, cause: unknown): ConfigError {
  const error = new ConfigError(message, "reward");
  if (cause instanceof Error) error.stack = `${error.name}: ${message}\n${cause.stack}`;
  return error;
}
