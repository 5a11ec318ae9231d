#!/usr/bin/env node
import { CommanderError, Command as Program } from "commander";
import { MixwrightError } from "../core/errors.ts";
import { isSystemError, systemMessage } from "../io/system_error.ts";
import { addFlags, type Command, readSettings, UsageError } from "./options.ts";
import { packageVersion } from "./versions.ts";

/** Every command: what it does, and where it is. A new one is a line here. */
const commands: Record<string, [summary: string, load: () => Promise<{ default: Command }>]> = {
  quickstart: ["train a small model and adapt it, from text to report", () => import("./quickstart.ts")],
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
  // Only the command that runs is loaded: doctor has to work where others can't.
  const asked = args.slice(0, 2).find((arg) => arg in commands);
  for (const [name, [summary, load]] of Object.entries(commands)) {
    const sub = program.command(name).description(summary);
    if (name !== asked) continue;
    const { default: spec } = await load();
    addFlags(sub, spec);
    sub.action(async (...actual: unknown[]) => {
      const argument = spec.argument ? (actual[0] as string | undefined) : undefined;
      await spec.run(await readSettings(name, spec, { flags: sub.opts(), argument }));
    });
  }
  if (args.length === 0) program.help({ error: true });
  await program.parseAsync(args, { from: "user" });
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
