#!/usr/bin/env node
import { CommanderError, Command as Program } from "commander";
import { MixwrightError } from "../core/errors.ts";
import { isSystemError, systemMessage } from "../io/system_error.ts";
import {
  addFlags,
  type Command,
  type CommandGroup,
  type CommandTable,
  readSettings,
  UsageError,
} from "./options.ts";
import { packageVersion } from "./versions.ts";

/** Every command: what it does, and where it is. A new one is a line here. */
const commands: CommandTable<Command | CommandGroup> = {
  quickstart: ["train a small model and adapt it, from text to report", () => import("./quickstart.ts")],
  data: ["make training text: pipelines of filters over crawls and files", () => import("./data.ts")],
  tokenize: ["turn a text file into a token file", () => import("./tokenize.ts")],
  pretrain: ["train a model on text, all its weights", () => import("./pretrain.ts")],
  sft: ["train a model on examples, or an adapter for it", () => import("./sft.ts")],
  reward: ["train a reward model on pairs", () => import("./reward.ts")],
  dpo: ["train on pairs without a reward model: DPO and its kin", () => import("./dpo.ts")],
  kto: ["train on completions that are each wanted or not", () => import("./kto.ts")],
  ppo: ["let a model write, and learn from a reward by PPO", () => import("./ppo.ts")],
  grpo: ["the same in groups, without a value function: GRPO, RLOO", () => import("./grpo.ts")],
  study: ["compare full training, LoRA and DoRA: learning against forgetting", () => import("./study.ts")],
  eval: ["measure how well a model predicts a text", () => import("./eval.ts")],
  generate: ["let a model go on from a prompt", () => import("./generate.ts")],
  chat: ["talk with a model, a line for a turn; Ctrl-D leaves", () => import("./chat.ts")],
  merge: ["put an adapter into its model's weights", () => import("./merge.ts")],
  info: ["what a model or adapter folder holds; reads no weights", () => import("./info.ts")],
  doctor: ["what this machine offers, and what is missing", () => import("./doctor.ts")],
};

async function main(args: readonly string[]): Promise<void> {
  const program = new Program("mixwright")
    .description("Builds, adapts and aligns sparse mixture-of-experts language models.")
    .version(packageVersion())
    .exitOverride()
    .configureOutput({ outputError: () => undefined });
  await addCommands(program, commands, args, []);
  if (args.length === 0) program.help({ error: true });
  await program.parseAsync(args, { from: "user" });
}

/** Adds commands to a program. Only the one that runs is loaded: doctor has to work where others can't. */
async function addCommands(
  to: Program,
  table: CommandTable<Command | CommandGroup>,
  args: readonly string[],
  words: readonly string[],
): Promise<void> {
  const at = args.slice(0, 2).findIndex((arg) => arg in table);
  for (const [name, [summary, load]] of Object.entries(table)) {
    const sub = to.command(name).description(summary);
    if (name !== args[at]) continue;
    const { default: spec } = await load();
    const path = [...words, name];
    if ("commands" in spec) {
      await addCommands(sub, spec.commands, args.slice(at + 1), path);
      continue;
    }
    addFlags(sub, spec);
    sub.action(async (...actual: unknown[]) => {
      const argument = spec.argument ? (actual[0] as string | undefined) : undefined;
      await spec.run(await readSettings(path.join(" "), spec, { flags: sub.opts(), argument }));
    });
  }
}

/** Says what went wrong, in one line, and returns the exit code. */
function report(error: unknown): number {
  if (error instanceof CommanderError && (error.exitCode === 0 || error.code === "commander.help"))
    return error.exitCode && 2;
  const usage = error instanceof UsageError || error instanceof CommanderError;
  const expected = usage || error instanceof MixwrightError || isSystemError(error);
  const { stack } = error as Error;
  const message = isSystemError(error) ? systemMessage(error) : (error as Error).message;
  const text = expected ? message.replace(/^error: /, "").replaceAll(/\n\(/g, " (") : String(stack);
  process.stderr.write(`mixwright: ${text}\n`);
  if (expected && !usage && process.env.MIXWRIGHT_DEBUG) process.stderr.write(`${stack}\n`);
  return usage ? 2 : 1;
}

// A reader that has seen enough (`| head`) ends the program, as it does others.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.exitCode = report(error);
}
