// A mixture of experts against a dense model with as many products a token, both on as many tokens of the same texts; and the
// mixture without balancing, with Switch's loss (Fedus et al. 2021, eq. 4) and with DeepSeek-V3's bias (Wang et al. 2024).
import type { Device } from "../../../lib/index.ts";
import { newModelConfig } from "../../../lib/models/config.ts";
import { type ParameterCount, parameterCount } from "../../../lib/models/parameter_count.ts";
import { evaluateText } from "../../../lib/train/evaluate.ts";
import { type Finding, halfInterval, markdownTable, mean, meanText } from "../findings.ts";
import { barChart, heatMap, lineChart } from "../plot.ts";
import { choicesOf, type Evenness, evenness, loadOf } from "./choices.ts";
import { type HeldOut, heldOutBatches, kBatchTokens, type Language, openLanguage } from "./language.ts";
import { type Balance, configOf, type Sizes, trainOn } from "./training.ts";

export interface MoeVsDenseOptions extends Sizes {
  seeds: number;
  auxLossCoef: number;
  routerBiasRate: number;
  /** Of a kind of text, on average, to measure on. */
  heldOutTokens: number;
}

/**
 * The learning rate lies between the two best of 1e-3, 2e-3 and 4e-3 for 410,000 tokens on another seed (bits a byte at 2e-3 and
 * 4e-3: dense 2.620, 2.589; bias 2.588, 2.537). Weight of the loss and rate of the bias are the papers'.
 */
export const kMoeVsDense: MoeVsDenseOptions = {
  seeds: 3,
  vocabSize: 1024,
  hidden: 64,
  layers: 4,
  experts: 8,
  topK: 2,
  expertWidth: 128,
  steps: 2000,
  lr: 3e-3,
  auxLossCoef: 0.01,
  routerBiasRate: 0.001,
  heldOutTokens: 6000,
};

/** Shares of glosses and declarations in the tokens: about two epochs of the declarations there are. */
const kWeights = [0.75, 0.25];
const kMeasurements = 8;

export const kArms = ["dense", "no balancing", "auxiliary loss", "bias"] as const;
export type Arm = (typeof kArms)[number];
const kSparse = kArms.filter((arm) => arm !== "dense");

interface Run {
  /** Of held-out text, at the end. */
  bitsPerByte: number;
  curve: { step: number; bitsPerByte: number }[];
  /** Share of the choices on held-out text, [layers][experts]; none in a dense model. */
  loads: number[][];
  seconds: number;
}

export interface MoeVsDense {
  options: MoeVsDenseOptions;
  parameters: { dense: ParameterCount; sparse: ParameterCount };
  /** For each arm, by seed. */
  runs: Record<Arm, Run[]>;
}

export async function moeVsDense(
  device: Device,
  options: MoeVsDenseOptions,
  progress: (line: string) => void = () => undefined,
): Promise<MoeVsDense> {
  const language = await openLanguage(["glosses", "declarations"], options.vocabSize);
  const heldOut = await heldOutBatches(
    language.tokenizer,
    language.domains.map((domain) => domain.heldOut),
    // In the shares of the training: a bias balances the mixture that it has seen, no other.
    kWeights.map((weight) => weight * kWeights.length * options.heldOutTokens),
  );
  const balances: Record<Arm, Balance> = {
    dense: {},
    "no balancing": {},
    "auxiliary loss": { auxLossCoef: options.auxLossCoef },
    bias: { routerBiasRate: options.routerBiasRate },
  };
  const runs: MoeVsDense["runs"] = { dense: [], "no balancing": [], "auxiliary loss": [], bias: [] };
  for (let seed = 1; seed <= options.seeds; seed++) {
    for (const arm of kArms) {
      const run = await runOf(device, language, heldOut, options, arm, balances[arm], seed);
      runs[arm].push(run);
      const { bitsPerByte, loads, seconds } = run;
      const load = loads.length > 0 ? `, MaxVio ${evenness(loads).maxVio.toFixed(2)}` : "";
      progress(
        `seed ${seed} of ${options.seeds}, ${arm}: ${bitsPerByte.toFixed(4)} bits a byte${load}, ${seconds.toFixed(0)} s`,
      );
    }
  }
  const count = (sparse: boolean): ParameterCount =>
    parameterCount(newModelConfig(configOf(options, sparse)));
  return { options, parameters: { dense: count(false), sparse: count(true) }, runs };
}

async function runOf(
  device: Device,
  language: Language,
  { batches, bytes }: HeldOut,
  sizes: MoeVsDenseOptions,
  arm: Arm,
  balance: Balance,
  seed: number,
): Promise<Run> {
  const started = performance.now();
  const { model, curve } = await trainOn(device, language, {
    sizes,
    sparse: arm !== "dense",
    balance,
    weights: kWeights,
    seed,
    validation: { batches, times: kMeasurements },
  });
  const { bitsPerByte, loss } = await evaluateText(model, batches, bytes);
  const choices = arm === "dense" ? [] : await choicesOf(model, batches);
  model.dispose();
  return {
    bitsPerByte,
    curve: curve.map((at) => ({ step: at.step, bitsPerByte: (at.loss * bitsPerByte) / loss })),
    loads: choices.map((of) => loadOf(of, sizes.experts)),
    seconds: (performance.now() - started) / 1000,
  };
}

/** Updates of `dense` over the update at which `sparse` got to where `dense` ended, between two measurements by a straight line. */
export function speedUp(dense: Run["curve"], sparse: Run["curve"]): number {
  const { step: last, bitsPerByte: goal } = dense.at(-1)!;
  const after = sparse.findIndex(({ bitsPerByte }) => bitsPerByte <= goal);
  if (after < 0) return 0;
  const to = sparse[after]!;
  const from = sparse[after - 1];
  if (from === undefined) return last / to.step;
  const way = (from.bitsPerByte - goal) / (from.bitsPerByte - to.bitsPerByte);
  return last / (from.step + way * (to.step - from.step));
}

export function armsTable({ runs, parameters }: MoeVsDense): string {
  const load = (arm: Arm, key: keyof Evenness, digits: number): string =>
    arm === "dense"
      ? ""
      : meanText(
          runs[arm].map(({ loads }) => evenness(loads)[key]),
          digits,
        );
  return markdownTable(
    [
      "model",
      "parameters, active",
      "bits a byte, held out",
      "MaxVio",
      "entropy / ln E",
      "dead experts",
      "s a run",
    ],
    kArms.map((arm) => {
      const { total, active } = arm === "dense" ? parameters.dense : parameters.sparse;
      return [
        arm === "dense" ? arm : `experts, ${arm}`,
        `${total}, ${active}`,
        meanText(
          runs[arm].map(({ bitsPerByte }) => bitsPerByte),
          4,
        ),
        load(arm, "maxVio", 2),
        load(arm, "entropy", 3),
        load(arm, "dead", 1),
        mean(runs[arm].map(({ seconds }) => seconds)).toFixed(0),
      ];
    }),
  );
}

/** A loss this much higher, in bits a byte, is as good: a third of a percent. */
const kAsGood = 0.01;

export function moeVsDenseFindings({ runs, options }: MoeVsDense): Finding[] {
  const loss = (arm: Arm): number[] => runs[arm].map(({ bitsPerByte }) => bitsPerByte);
  const vio = (arm: Arm): number[] => runs[arm].map(({ loads }) => evenness(loads).maxVio);
  const less = (high: readonly number[], low: readonly number[]): number[] => high.map((x, i) => x - low[i]!);
  /** Does `low` lie below `high`? Yes if the 95 % interval of the difference by seed lies above −slack; in part if its mean does. */
  const below = (
    claim: string,
    paper: string,
    high: readonly number[],
    low: readonly number[],
    { digits = 4, slack = 0 } = {},
  ): Finding => {
    const differences = less(high, low);
    const sure = mean(differences) - halfInterval(differences) > -slack;
    return {
      claim,
      paper,
      ours: `${mean(high).toFixed(digits)} → ${mean(low).toFixed(digits)} (less by ${meanText(differences, digits)})`,
      holds: sure ? "yes" : mean(differences) > -slack ? "in part" : "no",
    };
  };
  const speedUps = runs.dense.map(({ curve }, i) => speedUp(curve, runs.bias[i]!.curve));
  const faster = speedUps.map((of) => of - 1);
  return [
    below(
      "experts (bias) reach a lower loss than a dense model of as many active parameters, on as many tokens; bits a byte",
      "Switch, table 6: negative log-perplexity −1.636 → −1.444; Mixtral: MMLU 55.6 (Llama 2 13B) → 70.6",
      loss("dense"),
      loss("bias"),
    ),
    {
      claim: "and the dense model's last loss in fewer updates",
      paper: "Switch §3.1: 7.5 times (64 experts)",
      ours: `${meanText(speedUps, 2)} times (${options.experts} experts)`,
      holds: mean(faster) - halfInterval(faster) > 0 ? "yes" : mean(faster) > 0 ? "in part" : "no",
    },
    below(
      "without balancing load is uneven, an auxiliary loss evens it; MaxVio",
      "Shazeer 2017, Switch: routers favour few experts; no figure",
      vio("no balancing"),
      vio("auxiliary loss"),
      { digits: 2 },
    ),
    below(
      "a bias evens it too, without a loss; MaxVio",
      "2408.15664: 0.04 (1B)",
      vio("no balancing"),
      vio("bias"),
      { digits: 2 },
    ),
    below(
      "a bias evens it better than an auxiliary loss; MaxVio",
      "2408.15664: 0.72 → 0.04 (1B), 0.52 → 0.04 (3B)",
      vio("auxiliary loss"),
      vio("bias"),
      { digits: 2 },
    ),
    below(
      `with a bias the loss is as good as with an auxiliary loss (within ${kAsGood} bits a byte), or better`,
      "2408.15664: perplexity 9.56 → 9.50 (1B), 7.97 → 7.92 (3B)",
      loss("auxiliary loss"),
      loss("bias"),
      { slack: kAsGood },
    ),
    below(
      "an auxiliary loss costs some of the language model's",
      "2408.15664: its gradients interfere; no figure",
      loss("auxiliary loss"),
      loss("no balancing"),
    ),
  ];
}

/** Differences by seed: what the order of the texts does to the loss, it does to all arms. */
export function gainPlot({ runs, options }: MoeVsDense): string {
  return lineChart({
    title: `Held-out loss below that of a dense model with as many products a token, ${options.seeds} seeds`,
    xLabel: `updates of ${kBatchTokens} tokens`,
    yLabel: "bits a byte, mean and 95 % interval",
    series: kSparse.map((arm) => ({
      name: arm,
      points: runs[arm][0]!.curve.map(({ step }, i) => {
        const values = runs[arm].map(
          ({ curve }, seed) => runs.dense[seed]!.curve[i]!.bitsPerByte - curve[i]!.bitsPerByte,
        );
        const half = halfInterval(values) || 0;
        return { x: step, y: mean(values), low: mean(values) - half, high: mean(values) + half };
      }),
    })),
  });
}

export function evennessPlot({ runs, options }: MoeVsDense): string {
  return barChart({
    title: `The busiest expert's load above the mean on held-out text, by layer, ${options.seeds} seeds`,
    yLabel: "MaxVio, mean and 95 % interval",
    groups: runs.bias[0]!.loads.map((_, layer) => `layer ${layer}`),
    series: kSparse.map((arm) => ({
      name: arm,
      values: runs[arm][0]!.loads.map((_, layer) =>
        runs[arm].map(({ loads }) => evenness([loads[layer]!]).maxVio),
      ),
    })),
  });
}

/** Loads of the first seed's models. */
export function loadsPlot({ runs, options }: MoeVsDense): string {
  return heatMap({
    title: "Share of the choices on held-out text that each expert took, first seed",
    columns: Array.from({ length: options.experts }, (_, e) => String(e)),
    columnLabel: "expert",
    rows: kSparse.flatMap((arm) =>
      runs[arm][0]!.loads.map((values, layer) => ({ name: `${arm}, layer ${layer}`, values })),
    ),
    balanced: 1 / options.experts,
  });
}
