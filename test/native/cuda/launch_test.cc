// Launches and reports, on the emulated device: what a launch refuses, 64-bit sizes, and how data that a kernel can't work with comes
// back as a failure that says where it was. Ends with 1 after the first thing that isn't so.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cuda/launch.h"

using namespace mixwright;
using namespace mixwright::cuda;

namespace {
void expect(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "launch_test: not so: %s\n", what);
  std::exit(1);
}

__global__ void count_blocks(int32_t* blocks) { atomicAdd(blocks, 1); }
__global__ void find_negative(const int32_t* x, int64_t count, Report bad) {
  grid_stride(count, [&](int64_t i) {
    if (x[i] < 0) report(bad, i, x[i], count);
  });
}

template <class Body>
std::string failure_of(Body&& body) {
  try {
    body();
  } catch (const KernelError& error) {
    return error.what();
  }
  return "";
}
}  // namespace

int main() {
  Exec exec(0);
  int32_t blocks = 0;
  const auto start = [&](dim3 grid, int threads, int64_t shared) { launch(exec, count_blocks, grid, threads, shared, &blocks); };
  start(dim3(0), 32, 0);
  start(dim3(3, 0), 32, 0);
  expect(blocks == 0, "an empty grid launches nothing");
  start(dim3(3, 2, 2), 1, 0);
  expect(blocks == 12, "a block for each place of the grid");
  expect(failure_of([&] { start(dim3(1, 65536), 32, 0); }).find("65536") != std::string::npos, "too many rows of blocks are refused");
  expect(failure_of([&] { start(dim3(1), 1025, 0); }).find("1025 threads") != std::string::npos, "too many threads are refused");
  expect(failure_of([&] { start(dim3(1), 32, int64_t(1) << 20); }).find("1048576 bytes") != std::string::npos, "too much shared memory");

  const int64_t huge = int64_t(5) << 32;
  expect(pieces(huge + 1, 256) == (huge >> 8) + 1, "pieces of more than 2^32 elements");
  expect(blocks_for(exec, huge, 256).x == unsigned(exec.properties().multiprocessors) * 16, "a grid of bounded size for them");
  expect(blocks_for(exec, 0, 256).x == 0, "no elements, no blocks");

  const int32_t values[4] = {3, -7, 2, -9};
  const std::string path = "layers.3";
  exec.begin("find_negative", &path, 12);
  const Report bad = exec.report("element %lld is %lld, of %lld");
  launch(exec, find_negative, dim3(1), 1, 0, static_cast<const int32_t*>(values), int64_t(4), bad);
  exec.begin("something_later", nullptr, 13);
  bool told = false;
  try {
    exec.check();
  } catch (const LateFailure& late) {
    told = late.op == "find_negative" && late.path == path && late.step == 12 && !std::strcmp(late.what(), "element 1 is -7, of 4");
  }
  expect(told, "the first report becomes a failure of its command");
  exec.settle();
  for (int i = 0; i < 10000; i++) {
    exec.begin("many", nullptr, i);
    exec.report("never");
  }
  float* const first = exec.scratch<float>(10, 3);
  expect(exec.scratch<float>(5, 3) == first && exec.scratch<float>(5, 4) != first, "a slot's memory stays, another slot has its own");
}
