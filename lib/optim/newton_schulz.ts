import { run } from "../core/run.ts";
import { scope } from "../core/scope.ts";
import type { Tensor } from "../core/tensor.ts";
import { segmentExpand, segmentSum } from "../ops/segment_sum.ts";
import { sqrt } from "../ops/unary.ts";

/** Of x ← a·x + (b·A + c·A²)·x, A = x·xᵀ: steep at 0, so that five steps bring all singular values to about 1. */
const [a, b, c] = [3.4445, -4.775, 2.0315];
const steps = 5;

/**
 * Every matrix of x [E, N, K] f32 with its singular values pulled to 1, roughly (0.7 to 1.2): five Newton–Schulz steps of
 * degree 5 from x / ‖x‖ (Jordan et al. 2024). All E at once, as experts of a grouped product; the squares that are taken are
 * of the shorter side. A matrix of zeros stays zero. Writes over x.
 */
export function orthogonalize(x: Tensor): Tensor {
  return scope(() => {
    const { device } = x;
    const [E = 0, N = 0, K = 0] = x.shape;
    const side = Math.min(N, K);
    const offsets = evenOffsets(x, N);
    const squareOffsets = evenOffsets(x, side);
    const square = device.empty([E, side, side]);
    const factor = device.empty([E, side, side]);
    const flat = (matrices: Tensor) => matrices.view([E * matrices.shape[1]!, matrices.shape[2]!]);
    let [from, to] = [x, device.empty(x.shape)];
    normalize(flat(from), offsets);
    for (let step = 0; step < steps; step++) {
      if (N <= K) run("grouped_matmul", flat(from), from, offsets, undefined, flat(square), true, 1, false);
      else run("grouped_matmul_weight_grad", flat(from), flat(from), offsets, undefined, square, 1, false);
      run("add", square, undefined, factor, b, 0);
      run("grouped_matmul", flat(square), square, squareOffsets, undefined, flat(factor), true, c, true);
      run("add", from, undefined, to, a, 0);
      if (N <= K) run("grouped_matmul", flat(factor), from, offsets, undefined, flat(to), false, 1, true);
      else run("grouped_matmul", flat(from), factor, offsets, undefined, flat(to), true, 1, true);
      [from, to] = [to, from];
    }
    return from;
  });
}

/** Divides the rows of each matrix by its Frobenius norm. */
function normalize(rows: Tensor, offsets: Tensor): void {
  const [count = 0] = rows.shape;
  const squares = rows.device.empty([count]);
  run("row_sum_squares", rows, squares);
  const norms = segmentExpand(sqrt(segmentSum(squares, offsets)), offsets, count);
  run("scale_rows", rows, rows.device.full([count], 1), norms, rows);
}

/** 0, rows, 2·rows, …: the matrices of x one after another. */
const evenOffsets = (x: Tensor, rows: number): Tensor => {
  const [E = 0] = x.shape;
  return x.device.tensor(
    Int32Array.from({ length: E + 1 }, (_, e) => e * rows),
    [E + 1],
  );
};
