// Cuts many tensors into tasks together, so that a thousand small tensors cost one parallel region and not a thousand. The
// tensors are laid end to end, each rounded up to whole cache lines, and the whole is cut every kSize elements: a chunk may
// hold a part of one tensor, or many tensors. The cuts follow from the sizes alone.
#pragma once
#include "core/tensor.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

template <class List>  // InList or OutList
class Chunks {
 public:
  static constexpr int64_t kSize = 16384;

  // Keeps its table in the executor's shared slot 0; `tensors` must outlive it.
  Chunks(Exec& exec, const List& tensors) : exec_(exec), tensors_(tensors) {
    starts_ = exec.shared<int64_t>(int64_t(tensors.size()) + 1, 0);
    starts_[0] = 0;
    for (size_t i = 0; i < tensors.size(); i++) {
      starts_[i + 1] = starts_[i] + (tensors[i].size() + kLine - 1) / kLine * kLine;
    }
  }

  int64_t count() const { return (starts_[tensors_.size()] + kSize - 1) / kSize; }

  // Runs body(chunk, tensor, begin, end) for each piece of a tensor that a chunk holds, in order within the chunk.
  template <class Body>
  void parallel(Body&& body) const {
    exec_.parallel(count(), [&](int64_t chunk, Worker&) {
      const int64_t begin = chunk * kSize, end = begin + kSize;
      for (size_t i = holding(begin); i < tensors_.size() && starts_[i] < end; i++) {
        const int64_t from = begin > starts_[i] ? begin - starts_[i] : 0;
        const int64_t to = end - starts_[i] < tensors_[i].size() ? end - starts_[i] : tensors_[i].size();
        if (from < to) body(chunk, i, from, to);
      }
    });
  }

 private:
  static constexpr int64_t kLine = 32;  // elements; 64 bytes of bf16

  // The last tensor that starts at or before `position`.
  size_t holding(int64_t position) const {
    size_t low = 0, high = tensors_.size();
    while (high - low > 1) {
      const size_t middle = (low + high) / 2;
      (starts_[middle] <= position ? low : high) = middle;
    }
    return low;
  }

  Exec& exec_;
  const List& tensors_;
  int64_t* starts_;
};

}  // namespace mixwright::cpu::MW_ISA
