import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add, scale } from "../../ops/add.ts";
import { logSigmoid, square } from "../../ops/unary.ts";
import { checkInputs } from "./inputs.ts";
import { listOf, mean, subtract } from "./pair.ts";

export interface BradleyTerryInputs {
  /** Rewards of the completions of P pairs, [P] f32. */
  chosen: Tensor;
  rejected: Tensor;
  /** By how much chosen is better, [P] (Touvron et al. 2023, Llama 2, §3.2.2). Default 0. */
  margin?: Tensor | ArrayLike<number>;
  /** Weight of (r_c + r_r)², which keeps rewards around 0 (Eisenstein et al. 2023). Default 0. */
  centering?: number;
}

/**
 * The reward model's loss under the Bradley–Terry model (Ouyang et al. 2022, eq. 1): the mean of −log σ(r_c − r_r − margin)
 * + centering·(r_c + r_r)². [1] f32.
 */
export function bradleyTerry(inputs: BradleyTerryInputs): Tensor {
  checkInputs("bradleyTerry", inputs);
  const { chosen, rejected, margin, centering = 0 } = inputs;
  return scope(() => {
    const difference = subtract(chosen, rejected);
    const wanted =
      margin === undefined || "isTensor" in margin ? margin : listOf(chosen, Float32Array.from(margin));
    const loss = scale(mean(logSigmoid(wanted ? subtract(difference, wanted) : difference)), -1);
    return centering === 0 ? loss : add(loss, mean(square(add(chosen, rejected))), { beta: centering });
  });
}
