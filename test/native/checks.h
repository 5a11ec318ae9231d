// Tensors on plain memory, and checks of kernels that work on them.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "core/philox.h"
#include "ops/kernels.h"

using mixwright::DType, mixwright::In, mixwright::InList, mixwright::Out, mixwright::OutList;
using mixwright::cpu::Exec;
using Numbers = std::vector<double>;

inline const mixwright::cpu::Kernels& k = *mixwright::cpu::usable_isas().back().kernels;
constexpr DType kFormats[] = {DType::f32, DType::bf16};

class Tensor {
 public:
  Tensor(DType dtype, std::vector<int64_t> shape) : dtype_(dtype), shape_(std::move(shape)), bytes_(view().bytes()) {}

  // With numbers from [low, high), the same ones on every machine.
  static Tensor random(DType dtype, std::vector<int64_t> shape, double low = -1, double high = 1) {
    static uint64_t stream = 0;
    Tensor x(dtype, std::move(shape));
    for (int64_t i = 0; i < x.size(); i++) {
      x.set(i, low + (high - low) * mixwright::uniform01(mixwright::philox(1, stream, uint64_t(i)).v[0]));
    }
    stream++;
    return x;
  }
  static Tensor ints(const std::vector<int32_t>& values) {
    Tensor x(DType::i32, {int64_t(values.size())});
    std::memcpy(x.bytes_.data(), values.data(), x.bytes_.size());
    return x;
  }

  operator In() const { return {view()}; }
  operator Out() { return {view()}; }
  int64_t size() const { return view().size(); }
  const std::vector<char>& bytes() const { return bytes_; }

  Numbers numbers() const {
    Numbers all;
    for (int64_t i = 0; i < size(); i++) all.push_back(at(i));
    return all;
  }

  // Is `got` as near to `want` as this number format allows?
  bool close(double got, double want) const {
    const double allowed = dtype_ == DType::f32 ? 2e-5 : dtype_ == DType::bf16 ? 0x1p-7 : 0;
    return std::abs(got - want) <= allowed * std::max(1.0, std::abs(want)) || got == want;
  }

 private:
  mixwright::View view() const {
    mixwright::View view{const_cast<char*>(bytes_.data()), dtype_, int(shape_.size())};
    std::copy(shape_.begin(), shape_.end(), view.dim);
    return view;
  }
  double at(int64_t i) const {
    if (dtype_ == DType::i32) return static_cast<const int32_t*>(view().memory)[i];
    if (dtype_ == DType::f32) return static_cast<const float*>(view().memory)[i];
    return mixwright::widen(static_cast<const mixwright::bf16*>(view().memory)[i]);
  }
  void set(int64_t i, double x) {
    if (dtype_ == DType::f32) static_cast<float*>(view().memory)[i] = float(x);
    else mixwright::narrow(float(x), static_cast<mixwright::bf16*>(view().memory)[i]);
  }

  DType dtype_;
  std::vector<int64_t> shape_;
  std::vector<char> bytes_;
};

// Writes all outputs of all kernels to one file, to be compared with by the same program on another machine.
class Checks {
 public:
  Checks(const char* file, const char* other) : file_(file, std::ios::binary) {
    if (other) other_.open(other, std::ios::binary);
  }

  // Runs kernel(exec) on one thread and on two, and looks whether the bits of `outs` are the same, whether the first of
  // them holds what is wanted (nothing: not known), and whether all are close to the other machine's.
  template <class Kernel>
  void run(const std::string& name, const std::vector<Tensor*>& outs, const Numbers& want, Kernel kernel) {
    std::vector<Tensor> before;
    for (const Tensor* out : outs) before.push_back(*out);
    kernel(one_);
    std::vector<Tensor> after;
    for (size_t i = 0; i < outs.size(); i++) after.push_back(std::exchange(*outs[i], before[i]));
    kernel(two_);
    for (size_t i = 0; i < outs.size(); i++) {
      const std::string which = name + ", output " + std::to_string(i);
      if (after[i].bytes() != outs[i]->bytes()) fault(which, "other bits on two threads", 0, 0, 0);
      const Numbers got = after[i].numbers();
      if (i == 0) compare(which, "double loops", after[i], got, want);
      file_.write(reinterpret_cast<const char*>(got.data()), std::streamsize(got.size() * sizeof(double)));
      if (!other_.is_open()) continue;
      Numbers others(got.size());
      other_.read(reinterpret_cast<char*>(others.data()), std::streamsize(others.size() * sizeof(double)));
      if (other_) compare(which, "the other machine", after[i], got, others);
      else fault(which, "the other machine has less", 0, 0, 0);
      numbers_ += int64_t(got.size());
      for (size_t at = 0; at < got.size(); at++) same_ += got[at] == others[at];
    }
    runs_++;
  }

  int end() {
    std::printf("%d runs, %d faults, %lld of %lld numbers as on the other machine\n", runs_, faults_, (long long)same_,
                (long long)numbers_);
    return faults_ == 0 && file_.flush() ? 0 : 1;
  }

 private:
  void compare(const std::string& which, const char* with, const Tensor& format, const Numbers& got, const Numbers& want) {
    for (size_t i = 0; i < want.size(); i++) {
      if (!format.close(got[i], want[i])) return fault(which, with, i, got[i], want[i]);
    }
  }
  void fault(const std::string& which, const char* with, size_t at, double got, double want) {
    std::printf("%s, %s: element %zu is %.9g, not %.9g\n", which.c_str(), with, at, got, want);
    faults_++;
  }

  Exec one_{1}, two_{2};
  std::ofstream file_;
  std::ifstream other_;
  int runs_ = 0, faults_ = 0;
  int64_t numbers_ = 0, same_ = 0;
};

void check_layers(Checks& checks);
void check_adapters(Checks& checks);
