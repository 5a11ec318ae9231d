import { run } from "../../lib/core/run.ts";
import { scope } from "../../lib/core/scope.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { groupedMatmul } from "../../lib/ops/grouped_matmul.ts";
import { linear } from "../../lib/ops/linear.ts";
import type { Operands } from "../workload.ts";
import { blasNames, type Products } from "./blas.ts";
import { type Duel, type DuelCase, inPython } from "./peer_case.ts";

/** Against every BLAS, and PyTorch's. */
function productDuel(products: Products, inputs: { a: Tensor; b: Tensor }, call: () => Tensor): Duel {
  const inTorch = inPython("products", { "torch.mm": products });
  const inBlas = blasNames.map((name) => [name, { work: "products", settings: { [name]: products } }]);
  return {
    inputs,
    peers: { ...Object.fromEntries(inBlas), ...inTorch },
    ours: () => scope(() => void call()),
    check: async () => {
      const y = scope(call);
      const values = await y.data();
      y.dispose();
      let [square, weighted] = [0, 0];
      for (let i = 0; i < values.length; i++) {
        square += values[i]! ** 2;
        weighted += values[i]! * (1 + (i % 7));
      }
      return [square, weighted];
    },
  };
}

interface Single {
  m: number;
  n: number;
  k: number;
  transA?: boolean;
  transB?: boolean;
}

/** One product. That with b transposed is the dense layer's, the others are its gradients'. */
const single =
  ({ m, n, k, transA = false, transB = false }: Single) =>
  (o: Operands): Duel => {
    const a = o.normal(transA ? [k, m] : [m, k]);
    const b = o.normal(transB ? [n, k] : [k, n]);
    const gradient = (): Tensor => {
      const y = o.device.empty([m, n]);
      run("matmul", a, b, undefined, y, transA, false, 1, false);
      return y;
    };
    const call = transB ? () => linear(a, b) : gradient;
    return productDuel({ m, n, k, count: 1, transA, transB }, { a, b }, call);
  };

const square = (n: number, transB: boolean, threads: number): DuelCase => ({
  figure: "C1",
  title: `sgemm ${n}, ${transB ? "x · wᵀ" : "a · b"}, ${threads} thread${threads > 1 ? "s" : ""}`,
  dtype: "f32",
  threads,
  make: single({ m: n, n, k: n, transB }),
});

/** Few rows an expert, and weights that no cache holds: a BLAS is called once an expert. */
const experts = (rows: number): DuelCase => ({
  figure: "C2",
  title: `grouped GEMM, E 16, ${rows} row${rows > 1 ? "s" : ""} each, 2048→1408`,
  dtype: "f32",
  make: (o) => {
    const [count, k, n] = [16, 2048, 1408];
    const a = o.normal([count * rows, k]);
    const b = o.normal([count, n, k], { std: 0.02 });
    const ends = Array.from({ length: count + 1 }, (_, e) => e * rows);
    const offsets = o.ints(ends, [count + 1]);
    const products = { m: rows, n, k, count, transA: false, transB: true };
    return productDuel(products, { a, b }, () => groupedMatmul(a, b, { offsets }));
  },
});

/** The products of a low-rank layer, forward and backward. */
function lowRank(T: number): DuelCase[] {
  const [N, r] = [2048, 16];
  const products: Record<string, Single> = {
    "x · Aᵀ": { m: T, n: r, k: N, transB: true },
    "h · Bᵀ": { m: T, n: N, k: r, transB: true },
    "dy · B": { m: T, n: r, k: N },
    "dh · A": { m: T, n: N, k: r },
    "dyᵀ · h": { m: N, n: r, k: T, transA: true },
    "dhᵀ · x": { m: r, n: N, k: T, transA: true },
  };
  return Object.entries(products).map(([name, product]) => ({
    figure: "C3",
    title: `LoRA ${name}, T ${T}, N ${N}, r ${r}`,
    dtype: "f32",
    make: single(product),
  }));
}

export const productCases: readonly DuelCase[] = [
  ...[1024, 2048, 4096].flatMap((n) =>
    [false, true].flatMap((transB) => [1, 2].map((threads) => square(n, transB, threads))),
  ),
  ...[1, 4, 8, 16, 32, 64].map(experts),
  ...[256, 2048].flatMap(lowRank),
];
