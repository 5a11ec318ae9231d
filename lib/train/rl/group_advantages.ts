// N = B·G completions: B prompts, a group of G for each, in order
import { ConfigError, ShapeError } from "../../core/errors.ts";
import { scope } from "../../core/scope.ts";
import { withoutGrad } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { scale as scaled } from "../../ops/add.ts";
import { multiply } from "../../ops/binary.ts";
import { segmentExpand, segmentSum, sum } from "../../ops/segment_sum.ts";
import { reciprocal, sqrt, square } from "../../ops/unary.ts";
import { mean, shift, subtract } from "../preference/pair.ts";
import { spread } from "./whiten.ts";

export interface GroupAdvantageInputs {
  /** Reward of each completion, [N] f32: those of a prompt stand together. */
  rewards: Tensor;
  groupSize: number;
  /**
   * What the difference to the group's mean is divided by: the standard deviation of the "group" (GRPO, Shao et al. 2024), of the
   * "batch", or "none" (Dr. GRPO, Liu et al. 2025). Default "group".
   */
  scale?: "group" | "batch" | "none";
  /** "sample" divides by G − 1 inside of the deviation, "population" by G. Default "sample". */
  variance?: "sample" | "population";
}

/** Beside a standard deviation. */
const kEps = 1e-4;

/**
 * Advantages of completions over the mean of their group, [N] f32, divided by a standard deviation + 1e-4. No gradient. A group of
 * equal rewards has advantages 0. Throws ShapeError unless N is a multiple of groupSize.
 */
export function groupAdvantages(inputs: GroupAdvantageInputs): Tensor {
  const { rewards, groupSize, scale = "group", variance = "sample" } = inputs;
  const degrees = (n: number): number => (variance === "sample" ? Math.max(n - 1, 1) : n);
  if (!["group", "batch", "none"].includes(scale))
    throw new ConfigError(`groupAdvantages: scale is "${scale}", group, batch or none was needed`, "scale");
  return withoutGrad(() =>
    scope(() => {
      const N = rewards.size;
      const offsets = groupsOf("groupAdvantages", rewards, groupSize);
      const overGroup = (x: Tensor, divisor: number): Tensor => scaled(segmentSum(x, offsets), 1 / divisor);
      const centred = subtract(rewards, segmentExpand(overGroup(rewards, groupSize), offsets, N));
      if (scale === "none") return centred;
      const inverse = (squares: Tensor): Tensor => reciprocal(shift(sqrt(squares), kEps));
      if (scale === "group") {
        const deviation = overGroup(square(centred), degrees(groupSize));
        return multiply(centred, segmentExpand(inverse(deviation), offsets, N));
      }
      const apart = subtract(rewards, spread(mean(rewards), N));
      return multiply(centred, spread(inverse(scaled(sum(square(apart)), 1 / degrees(N))), N));
    }),
  );
}

/**
 * Reinforce leave-one-out (Ahmadian et al. 2024): each reward minus the mean of the others of its group, [N] f32. No gradient.
 * Throws ShapeError unless N is a multiple of groupSize, ConfigError for groups of less than two.
 */
export function rlooAdvantages({
  rewards,
  groupSize,
}: Pick<GroupAdvantageInputs, "rewards" | "groupSize">): Tensor {
  if (!(groupSize >= 2))
    throw new ConfigError(`rlooAdvantages: groupSize is ${groupSize}, at least 2 was needed`, "groupSize");
  return withoutGrad(() =>
    scope(() => scaled(groupAdvantages({ rewards, groupSize, scale: "none" }), groupSize / (groupSize - 1))),
  );
}

/** Where groups begin, [B+1] i32. */
function groupsOf(name: string, rewards: Tensor, groupSize: number): Tensor {
  const groups = rewards.size / groupSize;
  if (!Number.isInteger(groups) || !(groupSize >= 1)) {
    throw new ShapeError(
      `${name}: ${rewards.size} rewards in groups of ${groupSize}, a multiple was needed (rewards ${rewards.toString()})`,
      name,
      [rewards.toString()],
    );
  }
  const offsets = Int32Array.from({ length: groups + 1 }, (_, group) => group * groupSize);
  return rewards.device.tensor(offsets, [offsets.length]);
}
