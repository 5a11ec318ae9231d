import type { Tensor } from "../../lib/core/tensor.ts";
import { type Routing, router } from "../../lib/ops/router.ts";
import { loadBalancingLoss, routerZLoss } from "../../lib/ops/router_loss.ts";
import type { BenchCase } from "../workload.ts";

const layers = 8;
const T = 2048;

const overLayers = (name: string, E: number, K: number, loss: (r: Routing[]) => Tensor): BenchCase => ({
  title: `${name}, ${layers} layers, T ${T}, E ${E}`,
  dtypes: ["f32"],
  make: (o) => {
    const routings = Array.from({ length: layers }, () =>
      router(o.normal([T, E]), { topK: K, renormalize: true }),
    );
    const bytes = 4 * layers * T * E;
    return {
      activations: routings.map(({ logits }) => logits),
      call: () => loss(routings),
      forward: { reads: bytes, writes: 4 },
      backward: { reads: bytes, writes: bytes },
    };
  },
});

export const cases = [
  { E: 8, K: 2 },
  { E: 64, K: 8 },
].flatMap(({ E, K }) => [
  overLayers("load balancing", E, K, (r) => loadBalancingLoss(r, "hf")),
  overLayers("z-loss", E, K, routerZLoss),
]);
