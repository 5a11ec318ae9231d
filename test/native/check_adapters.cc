// Low-rank adapters, the loss and the optimizer.
#include "checks.h"

static void check_dora(Checks& checks) {
  const int64_t E = 2, N = 53, K = 90, R = 7, T = 33;
  const Tensor offsets = Tensor::ints({0, 20, 33});
  for (const DType dtype : kFormats) {
    const Tensor w = Tensor::random(dtype, {E, N, K}), a = Tensor::random(dtype, {E, R, K}), b = Tensor::random(dtype, {E, N, R});
    const Tensor v = Tensor::random(dtype, {T, N}), m = Tensor::random(dtype, {E, N}), bias = Tensor::random(dtype, {N});
    const Tensor dy = Tensor::random(dtype, {T, N});
    Tensor square(DType::f32, {E, N}), norm(DType::f32, {E, N}), y(dtype, {T, N}), dv(dtype, {T, N}), dm(DType::f32, {E, N});
    const Numbers ws = w.numbers(), as = a.numbers(), bs = b.numbers(), vs = v.numbers(), ms = m.numbers(), shift = bias.numbers();
    Numbers norms(E * N), composed(T * N);
    for (int64_t row = 0; row < E * N; row++) {
      double sum = 0;
      for (int64_t c = 0; c < K; c++) {
        double x = ws[row * K + c];
        for (int64_t r = 0; r < R; r++) x += 0.5 * bs[row * R + r] * as[(row / N * R + r) * K + c];
        sum += x * x;
      }
      norms[row] = std::sqrt(sum);
    }
    for (int64_t i = 0; i < T * N; i++) {
      const int64_t row = (i / N < 20 ? 0 : N) + i % N;
      composed[i] = ms[row] / norms[row] * vs[i] + shift[i % N];
    }
    checks.run("row_sum_squares", {&square}, {}, [&](Exec& exec) { k.row_sum_squares(exec, w, square); });
    checks.run("dora_norm", {&norm}, norms, [&](Exec& exec) { k.dora_norm(exec, w, square, a, b, norm, 0.5f); });
    checks.run("dora_compose", {&y}, composed, [&](Exec& exec) { k.dora_compose(exec, v, m, norm, bias, offsets, y); });
    checks.run("dora_compose_grad", {&dv, &dm}, {},
               [&](Exec& exec) { k.dora_compose_grad(exec, dy, v, m, norm, offsets, dv, dm, false); });
  }
}

static void check_low_rank(Checks& checks) {
  const int64_t T = 70, K = 90, N = 52, R = 8;
  for (const DType dtype : kFormats) {
    const Tensor x = Tensor::random(dtype, {T, K}), w = Tensor::random(dtype, {N, K}), a = Tensor::random(dtype, {R, K});
    const Tensor b = Tensor::random(dtype, {N, R}), m = Tensor::random(dtype, {N}, 1, 2), bias = Tensor::random(dtype, {N});
    const Tensor norm = Tensor::random(DType::f32, {N}, 1, 2), dy = Tensor::random(dtype, {T, N});
    Tensor low(DType::f32, {T, R}), y(dtype, {T, N}), da(DType::f32, {R, K}), dv(dtype, {T, N}), dlow(DType::f32, {T, R});
    Tensor db(DType::f32, {N, R}), dm(DType::f32, {N}), dx(dtype, {T, K});
    const Numbers xs = x.numbers(), ws = w.numbers(), as = a.numbers(), bs = b.numbers(), ms = m.numbers(), ns = norm.numbers();
    const Numbers shift = bias.numbers();
    Numbers lows(T * R), ys(T * N);
    for (int64_t t = 0; t < T; t++) {
      for (int64_t i = 0; i < R * K; i++) lows[t * R + i / K] += xs[t * K + i % K] * as[i];
      for (int64_t n = 0; n < N; n++) {
        double sum = 0;
        for (int64_t c = 0; c < K; c++) sum += xs[t * K + c] * ws[n * K + c];
        for (int64_t r = 0; r < R; r++) sum += 2 * lows[t * R + r] * bs[n * R + r];
        ys[t * N + n] = ms[n] / ns[n] * sum + shift[n];
      }
    }
    checks.run("low_rank_down, dropout", {&low}, {}, [&](Exec& exec) { k.low_rank_down(exec, x, a, low, 0.2f, 1, 2); });
    checks.run("low_rank_down_grad", {&da}, {}, [&](Exec& exec) { k.low_rank_down_grad(exec, x, low, da, false, 0.2f, 1, 2); });
    checks.run("low_rank_down", {&low}, lows, [&](Exec& exec) { k.low_rank_down(exec, x, a, low, 0, 0, 0); });
    checks.run("low_rank_linear", {&y}, ys, [&](Exec& exec) { k.low_rank_linear(exec, x, w, low, b, m, norm, bias, y, 2); });
    checks.run("low_rank_grad", {&dv, &dlow, &db, &dm}, {}, [&](Exec& exec) {
      k.low_rank_grad(exec, dy, y, x, w, low, b, m, norm, bias, dv, dlow, db, false, dm, false, 2);
    });
    checks.run("low_rank_linear_dx", {&dx}, {},
               [&](Exec& exec) { k.low_rank_linear_dx(exec, dv, w, dlow, a, dx, false, 0.2f, 1, 2); });
  }
}

static void check_training(Checks& checks) {
  const int64_t T = 21, D = 40, V = 300;
  std::vector<int32_t> chosen;
  for (int32_t t = 0; t < T; t++) chosen.push_back(t * 31 % int32_t(V));
  const Tensor targets = Tensor::ints(chosen);
  for (const DType dtype : kFormats) {
    const Tensor x = Tensor::random(dtype, {T, D}), w = Tensor::random(dtype, {V, D}), dlogprob = Tensor::random(DType::f32, {T});
    Tensor logprob(DType::f32, {T}), loss(DType::f32, {1}), dx(dtype, {T, D}), dw(DType::f32, {V, D});
    const Numbers xs = x.numbers(), ws = w.numbers();
    Numbers want;
    for (int64_t t = 0; t < T; t++) {
      double total = 0, target = 0;
      for (int64_t v = 0; v < V; v++) {
        double logit = 0;
        for (int64_t d = 0; d < D; d++) logit += xs[t * D + d] * ws[v * D + d];
        total += std::exp(logit);
        if (v == chosen[t]) target = logit;
      }
      want.push_back(target - std::log(total));
    }
    checks.run("linear_cross_entropy", {&logprob}, want,
               [&](Exec& exec) { k.linear_cross_entropy(exec, x, w, targets, logprob, {}); });
    checks.run("linear_cross_entropy_grad", {&dx, &dw}, {}, [&](Exec& exec) {
      k.linear_cross_entropy_grad(exec, dlogprob, x, w, targets, dx, dw, false, false);
    });
    double sum = 0;
    for (const double each : want) sum += each;
    checks.run("linear_cross_entropy_loss", {&loss, &dx, &dw}, {-0.1 * sum}, [&](Exec& exec) {
      k.linear_cross_entropy_loss(exec, x, w, targets, loss, {}, dx, dw, 0.1f);
    });
    checks.run("linear_cross_entropy_loss", {&logprob, &dx, &dw}, want, [&](Exec& exec) {
      k.linear_cross_entropy_loss(exec, x, w, targets, loss, logprob, dx, dw, 0.1f);
    });
  }

  const Tensor grad = Tensor::random(DType::f32, {1003});
  Tensor p = Tensor::random(DType::f32, {1003}), first = Tensor::random(DType::f32, {1003});
  Tensor second = Tensor::random(DType::f32, {1003}, 0, 1);
  Numbers want = p.numbers();
  const Numbers gs = grad.numbers(), ms = first.numbers(), vs = second.numbers();
  for (size_t i = 0; i < want.size(); i++) {
    const double m = 0.9 * ms[i] + 0.1 * gs[i], v = 0.99 * vs[i] + 0.01 * gs[i] * gs[i];
    want[i] -= 0.01 * (0.1 * want[i] + m / (1 - std::pow(0.9, 7)) / (std::sqrt(v / (1 - std::pow(0.99, 7))) + 1e-8));
  }
  checks.run("adamw", {&p, &first, &second}, want, [&](Exec& exec) {
    k.adamw(exec, {grad}, {p}, {first}, {second}, {Out{}}, In{}, 0.01, 0.9, 0.99, 1e-8, 0.1, true, 7);
  });
}

void check_adapters(Checks& checks) {
  check_dora(checks);
  check_low_rank(checks);
  check_training(checks);
}
