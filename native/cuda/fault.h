// How a kernel tells of data it can't work with (an id outside of the table): the first report of a stream is kept, in memory
// that host and device see. The kernel itself goes on, without touching what is out of bounds.
#pragma once
#include <cstdint>

namespace mixwright::cuda {

struct Fault {
  int32_t taken;  // 1: somebody is writing, or has written
  int32_t ready;  // 1: the rest is there
  int64_t report, numbers[3];
};

// What a kernel is given: see Exec::report.
struct Report {
  Fault* fault;
  int64_t id;
};

}  // namespace mixwright::cuda
