// Checks CPU kernels without Node, against double loops and against another machine:
//   check_kernels FILE [OTHER]      writes all outputs to FILE; OTHER is what the same program wrote elsewhere
#include "checks.h"

using std::to_string;

static void check_product(Checks& checks, int64_t M, int64_t N, int64_t K) {
  for (int way = 0; way < 8; way++) {
    const bool ta = way & 1, tb = way & 2, accumulate = (way & 3) == 1;
    const DType dtype = kFormats[way / 4];
    const Tensor a = ta ? Tensor::random(dtype, {K, M}) : Tensor::random(dtype, {M, K});
    const Tensor b = tb ? Tensor::random(dtype, {N, K}) : Tensor::random(dtype, {K, N});
    const Tensor bias = Tensor::random(dtype, {N});
    Tensor c = Tensor::random(dtype, {M, N});
    const Numbers x = a.numbers(), y = b.numbers(), shift = bias.numbers();
    Numbers want = c.numbers();
    for (int64_t i = 0; i < M; i++) {
      for (int64_t j = 0; j < N; j++) {
        double sum = 0;
        for (int64_t l = 0; l < K; l++) sum += x[ta ? l * M + i : i * K + l] * y[tb ? j * K + l : l * N + j];
        double& out = want[i * N + j];
        out = 0.5 * sum + (tb ? shift[j] : 0) + (accumulate ? out : 0);
      }
    }
    const std::string name = "matmul " + to_string(M) + "x" + to_string(N) + "x" + to_string(K) + " way " + to_string(way);
    checks.run(name, {&c}, want, [&](Exec& exec) { k.matmul(exec, a, b, tb ? In(bias) : In{}, c, ta, tb, 0.5f, accumulate); });
  }
}

// All ways of the matrix core: packed for all tiles, packed by each, rows read in place on either side, turned, a few dot
// products; and blocks of every height and width.
static void check_products(Checks& checks) {
  const int64_t shapes[][3] = {{197, 104, 264}, {40, 100, 264}, {16, 100, 90}, {100, 16, 90}, {2, 70, 100},
                               {70, 1, 100},    {1, 1, 1},      {13, 9, 0}};
  for (const auto& [M, N, K] : shapes) check_product(checks, M, N, K);
  for (int64_t rows = 1; rows <= 13; rows++) check_product(checks, rows, 12, 37);
}

static void check_experts(Checks& checks) {
  const int64_t E = 3, N = 29, K = 44;
  const std::vector<int32_t> begins{0, 20, 20, 33};
  std::vector<int32_t> picked;
  for (int32_t i = 0; i < 33; i++) picked.push_back(i * 5 % 17);
  const Tensor offsets = Tensor::ints(begins), rows = Tensor::ints(picked);
  for (const DType dtype : kFormats) {
    const Tensor x = Tensor::random(dtype, {17, K}), w = Tensor::random(dtype, {E, N, K}), dy = Tensor::random(dtype, {33, N});
    Tensor y(dtype, {33, N}), dx(dtype, {33, K}), dw = Tensor::random(DType::f32, {E, N, K});
    const Numbers xs = x.numbers(), ws = w.numbers(), dys = dy.numbers();
    Numbers up(33 * N), down(33 * K), grad = dw.numbers();
    for (int64_t e = 0; e < E; e++) {
      for (int64_t i = begins[e]; i < begins[e + 1]; i++) {
        for (int64_t n = 0; n < N; n++) {
          for (int64_t c = 0; c < K; c++) {
            const double at_x = xs[picked[i] * K + c], at_w = ws[(e * N + n) * K + c], at_dy = dys[i * N + n];
            up[i * N + n] += at_x * at_w;
            down[i * K + c] += at_dy * at_w;
            grad[(e * N + n) * K + c] += at_dy * at_x;
          }
        }
      }
    }
    checks.run("grouped_matmul", {&y}, up, [&](Exec& exec) { k.grouped_matmul(exec, x, w, offsets, rows, y, true, 1, false); });
    checks.run("its dx", {&dx}, down, [&](Exec& exec) { k.grouped_matmul(exec, dy, w, offsets, In{}, dx, false, 1, false); });
    checks.run("its dw", {&dw}, grad,
               [&](Exec& exec) { k.grouped_matmul_weight_grad(exec, dy, x, offsets, rows, dw, 1, true); });
  }
}

int main(int count, char** words) {
  if (count < 2) return 2;
  Checks checks(words[1], count > 2 ? words[2] : nullptr);
  check_products(checks);
  check_experts(checks);
  check_layers(checks);
  check_adapters(checks);
  return checks.end();
}
