/** Preference losses: pure functions on log-probabilities, differentiable under `valueAndGrad`. Each gives a scalar [1]. */
export { aot, aotUnpaired } from "./aot.ts";
export { apoDown, apoZero } from "./apo.ts";
export { bcoPair } from "./bco_pair.ts";
export { bradleyTerry } from "./bradley_terry.ts";
export { cpo } from "./cpo.ts";
export { discopop } from "./discopop.ts";
export { dpo } from "./dpo.ts";
export { exoPair } from "./exo_pair.ts";
export { hinge } from "./hinge.ts";
export { ipo } from "./ipo.ts";
export { apoZeroUnpaired, kto, ktoKl } from "./kto.ts";
export { ncaPair } from "./nca_pair.ts";
export { orpo } from "./orpo.ts";
export { robust } from "./robust.ts";
export { sigmoidNorm } from "./sigmoid_norm.ts";
export { simpo } from "./simpo.ts";
export { sppoHard } from "./sppo_hard.ts";
