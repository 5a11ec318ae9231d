#include "core/pool.h"

#include <algorithm>

namespace mixwright {

namespace {
constexpr int64_t kSmallest = 64;

int octave_of(int64_t bytes) { return 63 - __builtin_clzll(uint64_t(bytes)); }
}  // namespace

int64_t Pool::rounded(int64_t bytes) {
  if (bytes <= kSmallest * 4) return std::max<int64_t>(kSmallest, (bytes + kSmallest - 1) / kSmallest * kSmallest);
  const int64_t step = int64_t(1) << (octave_of(bytes - 1) - 2);
  return (bytes + step - 1) / step * step;
}

int Pool::class_of(int64_t rounded_bytes) {
  const int octave = octave_of(rounded_bytes);
  const int quarter = int((rounded_bytes >> (octave - 2)) & 3);
  return std::min(4 * (octave - 6) + quarter, kClasses - 1);
}

int64_t Pool::bytes_of_class(int index) { return int64_t(4 + index % 4) << (index / 4 + 4); }

void* Pool::take(int64_t bytes) {
  const int64_t size = rounded(bytes);
  if (live_ + size > limit_) throw OutOfMemory("over the device's limit", bytes, live_);
  auto& spare = spare_[class_of(size)];
  void* block;
  if (!spare.empty()) {
    block = spare.back();
    spare.pop_back();
    spare_bytes_ -= size;
  } else {
    if (live_ + spare_bytes_ + size > limit_) trim();
    block = source_.take(size_t(size));
    if (!block) {
      trim();
      block = source_.take(size_t(size));
    }
    if (!block) throw OutOfMemory("the system has no room", bytes, live_);
  }
  live_ += size;
  peak_ = std::max(peak_, live_);
  return block;
}

void Pool::give_back(void* block, int64_t bytes) {
  const int64_t size = rounded(bytes);
  spare_[class_of(size)].push_back(block);
  spare_bytes_ += size;
  live_ -= size;
}

void Pool::trim() {
  source_.settle();
  give_back_spare();
}

void Pool::give_back_spare() {
  for (int index = 0; index < kClasses; index++) {
    for (void* block : spare_[index]) source_.give_back(block, size_t(bytes_of_class(index)));
    spare_[index].clear();
  }
  spare_bytes_ = 0;
}

}  // namespace mixwright
