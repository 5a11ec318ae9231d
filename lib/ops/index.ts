/** Every op, for compositions of your own under `valueAndGrad`: `import { ops } from "mixwright"`. */
export { add, scale, weightedSum } from "./add.ts";
export { argsort, sort } from "./argsort.ts";
export { attention } from "./attention.ts";
export { maximum, minimum, multiply } from "./binary.ts";
export { combineRows } from "./combine_rows.ts";
export { doraCompose, doraNorm, rowSumSquares } from "./dora.ts";
export { dropout } from "./dropout.ts";
export { gae } from "./gae.ts";
export { gatherRows, scatterRows } from "./gather_rows.ts";
export { groupedMatmul } from "./grouped_matmul.ts";
export { linear } from "./linear.ts";
export {
  linearCrossEntropy,
  linearCrossEntropyAndLogProb,
  tokenLogProb,
  tokenLogProbAndEntropy,
} from "./linear_cross_entropy.ts";
export { lowRankLinear } from "./low_rank.ts";
export { rmsNorm } from "./rms_norm.ts";
export { rotary, rotaryTable } from "./rotary.ts";
export { followLoad, router } from "./router.ts";
export { loadBalancingLoss, routerZLoss } from "./router_loss.ts";
export { sample } from "./sample.ts";
export { segmentExpand, segmentSum, sum } from "./segment_sum.ts";
export { sigmoidGate } from "./sigmoid_gate.ts";
export { sortByExpert } from "./sort_by_expert.ts";
export { swiglu } from "./swiglu.ts";
export { clamp, exp, log, log1mExp, logSigmoid, reciprocal, sigmoid, sqrt, square } from "./unary.ts";
