import { ConfigError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import { run } from "../core/run.ts";
import { scope } from "../core/scope.ts";
import type { Tensor } from "../core/tensor.ts";
import { type AdamOptions, adamw } from "./adamw.ts";
import { checkRange } from "./checks.ts";
import { orthogonalize } from "./newton_schulz.ts";
import {
  full,
  type Optimizer,
  type OptimizerOptions,
  optimizerKeys,
  optimizerOf,
  type UpdateLists,
} from "./optimizer.ts";

export interface MuonOptions extends OptimizerOptions {
  /** How much of the momentum an update keeps. Default 0.95. */
  momentum?: number;
  /** Look ahead along the momentum. Default true. */
  nesterov?: boolean;
  /**
   * What the orthogonal step of a matrix [out, in] is multiplied by, beside lr. `"matchRmsAdamw"`, the default:
   * 0.2·√max(out, in), so that an update is about as long as AdamW's and its lr and weightDecay carry over (Liu et al.
   * 2025, arXiv 2502.16982). `"original"`: √max(1, out/in), for the rates of Jordan et al., 0.02 or so.
   */
  adjustLr?: "matchRmsAdamw" | "original";
  /**
   * Which parameters are matrices in the sense of Muon: all that have two axes or more, but embeddings and heads (names with
   * `embed`, `lm_head`, `score`). Axes before the last two count matrices, such as experts.
   */
  matrices?: (name: string, shape: readonly number[]) => boolean;
  /**
   * AdamW of all other parameters. Its lr (a must with `"original"`) and weightDecay are those of the matrices unless given
   * here; `decay` and `groups` hold for both.
   */
  adamw?: Pick<AdamOptions, "lr" | "betas" | "eps" | "weightDecay" | "states">;
}

const keys = [...optimizerKeys, "momentum", "nesterov", "adjustLr", "matrices", "adamw"];

const isMatrix = (name: string, shape: readonly number[]): boolean =>
  shape.length > 1 && !/embed|lm_head|score/.test(name);

/**
 * Muon (Jordan et al. 2024): m ← momentum·m + g; p ← p − lr·weightDecay·p − lr·scale·O, where O is g + momentum·m with its
 * singular values pulled to 1 by five Newton–Schulz steps, in f32, and scale is as `adjustLr` says. Embeddings, heads, norms
 * and biases follow AdamW. Defaults as in PyTorch, but for the scale: lr 1e-3, weightDecay 0.1. State: 4 bytes a parameter
 * in matrices, 8 in others.
 */
export function muon(options: MuonOptions = {}): Optimizer {
  refuseUnknown("muon", options, keys);
  const { lr = 1e-3, weightDecay = 0.1, momentum = 0.95, nesterov = true, matrices = isMatrix } = options;
  const { adjustLr = "matchRmsAdamw", adamw: rest = {}, decay: filter, groups } = options;
  checkRange("muon", { momentum }, 1);
  if (nesterov && momentum === 0) {
    throw new ConfigError("muon: nesterov is true while momentum is 0, needed momentum above 0", "nesterov");
  }
  if (adjustLr !== "matchRmsAdamw" && adjustLr !== "original") {
    throw new ConfigError(`muon: adjustLr is "${adjustLr}", needed matchRmsAdamw or original`, "adjustLr");
  }
  refuseUnknown("muon, adamw", rest, ["lr", "betas", "eps", "weightDecay", "states"]);
  if (adjustLr === "original" && rest.lr === undefined) {
    throw new ConfigError(
      "muon: adjustLr is original and adamw has no lr, needed one. The rates of the two differ by a factor of 10 and more",
      "adamw.lr",
    );
  }
  const others = adamw({ lr, weightDecay, ...rest }).rule;
  return optimizerOf({
    name: "muon",
    settings: {
      momentum,
      nesterov,
      adjustLr,
      adamw: { ...others.settings, weightDecay: others.weightDecay },
    },
    lr,
    weightDecay,
    decay: filter,
    groups,
    states: momentum === 0 ? [] : [full("momentum")],
    others: { rule: others, take: (name, shape) => shape.length < 2 || !matrices(name, shape) },
    update: (lists, { lr, decay, step, gradScale }) => {
      for (const {
        grads,
        params,
        states: [velocity = []],
        masters,
      } of stacksOf(lists)) {
        const [out = 1, columns = 1] = params[0]!.shape.slice(-2);
        const scale =
          adjustLr === "original"
            ? Math.sqrt(Math.max(1, out / columns))
            : 0.2 * Math.sqrt(Math.max(out, columns));
        scope(() => {
          const count = params.reduce((n, { size }) => n + size, 0) / (out * columns);
          const stack = params[0]!.device.full([count, out, columns], 0);
          const none = params.map(() => undefined);
          // 0 − (−1)·(g + momentum·m): the pass of sgd writes the direction of all of them into the stack.
          run("sgd", grads, parts(stack, params), velocity, none, gradScale, -1, momentum, nesterov, 0, step);
          const steps = parts(orthogonalize(stack), params);
          run("sgd", steps, params, [], masters, undefined, lr * scale, 0, false, decay / scale, step);
        });
      }
    },
  });
}

/** The stack cut into tensors of the sizes of `like`. */
function parts(stack: Tensor, like: readonly Tensor[]): Tensor[] {
  let offset = 0;
  return like.map(({ shape, size }) => {
    offset += size;
    return stack.view(shape, offset - size);
  });
}

/** A stack's elements, unless one parameter alone has more: beside state, an update takes a little over twice that, in f32. */
const mostElements = 1 << 24;

/** Matrices of one shape, so many at a time, to be made orthogonal together. */
function stacksOf({ grads, params, states, masters }: UpdateLists): UpdateLists[] {
  const open = new Map<string, { elements: number; members: number[] }>();
  const stacks: number[][] = [];
  for (const [i, { shape, size }] of params.entries()) {
    if (size === 0) continue;
    const key = shape.slice(-2).join();
    const last = open.get(key);
    if (last !== undefined && last.elements + size <= mostElements) {
      last.elements += size;
      last.members.push(i);
      continue;
    }
    const members = [i];
    stacks.push(members);
    open.set(key, { elements: size, members });
  }
  return stacks.map((members) => {
    const pick = <T>(list: readonly T[]): T[] => members.map((i) => list[i]!);
    return { grads: pick(grads), params: pick(params), states: states.map(pick), masters: pick(masters) };
  });
}
