import { z } from "zod";
import { type Adapter, attachDora, attachLora, type Model } from "../index.ts";
import { kebab, UsageError } from "./options.ts";

const settings = {
  rank: z.int().min(1).optional().describe("rank of the adapter (default 8)"),
  alpha: z.number().positive().optional().describe("scale of the adapter: alpha / rank (default 8)"),
  targets: z
    .array(z.string().min(1))
    .optional()
    .describe(
      "layers that the adapter goes to, by the end of their names, or all-linear (default q_proj v_proj)",
    ),
  dropout: z
    .number()
    .min(0)
    .lt(1)
    .optional()
    .describe("probability of dropping an input of the adapter (default 0)"),
  loraPlusRatio: z
    .number()
    .positive()
    .optional()
    .describe("LoRA+: how many times as fast B learns as A, say 16 (default 1)"),
};

/** What trains: all weights, or an adapter. */
export const adapterOptions = {
  adapter: z
    .enum(["none", "lora", "dora"])
    .default("none")
    .describe("train an adapter instead of all weights"),
  ...settings,
};
export type AdapterOptions = z.output<z.ZodObject<typeof adapterOptions>>;

/** The adapter that was asked for, attached; undefined for all weights. */
export function adapterOf(
  model: Model,
  { adapter, rank, alpha, targets, dropout, seed }: AdapterOptions & { seed: number },
): Adapter | undefined {
  if (adapter === "none") return undefined;
  const attach = adapter === "dora" ? attachDora : attachLora;
  return attach(model, {
    rank,
    alpha,
    targets: targets?.join() === "all-linear" ? "all-linear" : targets,
    dropout,
    seed,
  });
}

/** Throws UsageError for settings of an adapter where none trains. */
export function refuseUnused(command: string, given: AdapterOptions): void {
  if (given.adapter !== "none") return;
  const key = (Object.keys(settings) as (keyof typeof settings)[]).find((name) => given[name] !== undefined);
  if (key) {
    throw new UsageError(
      `${command}: --${kebab(key)} is a setting of adapters. Give --adapter lora or dora with it`,
    );
  }
}
