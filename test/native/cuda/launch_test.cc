// Launches, reports, copies and waits, on the emulated device: what a launch refuses, 64-bit sizes, how data that a kernel can't work
// with comes back as a failure that says where it was, who waits for what. Ends with 1 after the first thing that isn't so.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

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

// Until the host says so: no copy, no later kernel and no event gets past it.
__global__ void stay(const std::atomic<bool>* go) {
  while (!*go) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}
__global__ void add_one(int32_t* x) { *x += 1; }

__global__ void look_at_arrays(int32_t* fresh) {
  __shared__ float own[40];
  if (std::isnan(own[39])) atomicAdd(fresh, 1);
  own[39] = 1;
}
// When does an asynchronous copy happen?
__global__ void look_at_copy(const float* one, int32_t* early, int32_t* late) {
  MW_SHARED(float, to);
  to[0] = 0;
  copy_async(to, one);
  copy_commit();
  atomicAdd(to[0] == 1 ? early : late, 1);
  copy_wait<0>();
  if (to[0] != 1) *early = *late = 0;
}

void memory_of_blocks() {
  Exec exec(0, false);
  alignas(16) static const float one[4] = {1, 1, 1, 1};
  int32_t fresh = 0, early = 0, late = 0;
  launch(exec, look_at_arrays, dim3(5), 1, 0, &fresh);
  for (int i = 0; i < 8; i++) launch(exec, look_at_copy, dim3(1), 1, 16, static_cast<const float*>(one), &early, &late);
  exec.settle();
  expect(fresh == 5, "a block finds nothing in shared memory of what the block before it left there");
  expect(early == 4 && late == 4, "copies happen early and late, in turns");
}

void launches_and_sizes() {
  Exec exec(0, false);
  int32_t blocks = 0;
  const auto start = [&](dim3 grid, int threads, int64_t shared) { launch(exec, count_blocks, grid, threads, shared, &blocks); };
  start(dim3(0), 32, 0);
  start(dim3(3, 0), 32, 0);
  exec.settle();
  expect(blocks == 0, "an empty grid launches nothing");
  start(dim3(3, 2, 2), 1, 0);
  exec.settle();
  expect(blocks == 12, "a block for each place of the grid");
  expect(failure_of([&] { start(dim3(1, 65536), 32, 0); }).find("65536") != std::string::npos, "too many rows of blocks are refused");
  expect(failure_of([&] { start(dim3(1), 1025, 0); }).find("1025 threads") != std::string::npos, "too many threads are refused");
  expect(failure_of([&] { start(dim3(1), 32, int64_t(1) << 20); }).find("1048576 bytes") != std::string::npos, "too much shared memory");

  const int64_t huge = int64_t(5) << 32;
  expect(pieces(huge + 1, 256) == (huge >> 8) + 1, "pieces of more than 2^32 elements");
  expect(blocks_for(exec, huge, 256).x == unsigned(exec.properties().multiprocessors) * 16, "a grid of bounded size for them");
  expect(blocks_for(exec, 0, 256).x == 0, "no elements, no blocks");
  float* const first = exec.scratch<float>(10, 3);
  expect(exec.scratch<float>(5, 3) == first && exec.scratch<float>(5, 4) != first, "a slot's memory stays, another slot has its own");
}

void reports(bool inline_waits) {
  Exec exec(0, inline_waits);
  const int32_t values[4] = {3, -7, 2, -9};
  const std::string path = "layers.3";
  const auto says = [&](int64_t before) {
    try {
      exec.check(before);
    } catch (const LateFailure& late) {
      return late.op == "find_negative" && late.path == path && late.step == 12 && !std::strcmp(late.what(), "element 1 is -7, of 4");
    }
    return false;
  };
  for (int i = 0; i < 10000; i++) {  // more than are kept
    exec.begin("many", nullptr, i);
    exec.report("never");
  }
  const int64_t before = exec.mark();
  exec.begin("find_negative", &path, 12);
  const Report bad = exec.report("element %lld is %lld, of %lld");
  launch(exec, find_negative, dim3(1), 1, 0, static_cast<const int32_t*>(values), int64_t(4), bad);
  const int64_t after = exec.mark();
  for (int i = 0; i < 10000; i++) {
    exec.begin("later", nullptr, i);
    exec.report("never");
  }
  exec.finish();
  expect(!says(before), "what was launched before the failure is well");
  expect(says(after) && says(after), "the first report becomes a failure of its command, as often as somebody asks");
  expect(failure_of([&] { exec.settle(); }) != "", "whoever waits for all is told");
  exec.reset();
  exec.settle();
}

// Many small copies and a few large ones, both ways, while the device does nothing yet: each comes out as it went in.
void copies() {
  Exec exec(0, false);
  constexpr int64_t kSmall = 1000, kMany = 500, kLarge = 5'000'003;
  std::vector<int32_t> large(kLarge), back(kLarge);
  for (int64_t i = 0; i < kLarge; i++) large[size_t(i)] = int32_t(i * 7919);
  auto* const device = static_cast<int32_t*>(exec.take(kLarge * 4));
  std::atomic<bool> go{false};
  std::atomic<int> done{0}, wrong{0};
  launch(exec, stay, dim3(1), 1, 0, static_cast<const std::atomic<bool>*>(&go));
  const int waits = emulator::launching_waits();
  for (int i = 0; i < kMany; i++) {  // of two megabytes in all
    const std::vector<int32_t> values(kSmall, i);
    exec.copy_in(device, values.data(), kSmall * 4);
    exec.waiter().copy_out(device, kSmall * 4, [&wrong, i](const char* bytes, int64_t at, int64_t count) {
      for (int64_t n = 0; n < count; n += 4) wrong += std::memcmp(bytes + n, &i, 4) != 0 || at != 0;
    });
    exec.waiter().after([&done, &wrong, i] { wrong += done++ != i; });
  }
  expect(done == 0 && emulator::launching_waits() == waits, "neither small uploads nor reads wait for the device");
  go = true;
  exec.waiter().drain();
  expect(done == kMany && wrong == 0, "small copies arrive, in order, each before what comes after it");

  exec.copy_in(device, large.data(), kLarge * 4);
  launch(exec, add_one, dim3(1), 1, 0, device);
  exec.waiter().copy_out(device, kLarge * 4, [&back](const char* bytes, int64_t at, int64_t count) {
    std::memcpy(reinterpret_cast<char*>(back.data()) + at, bytes, size_t(count));
  });
  launch(exec, add_one, dim3(1), 1, 0, device);
  exec.waiter().drain();
  large[0]++;
  expect(back == large, "copies larger than the pinned memory arrive whole, in the stream's order");
  exec.give_back(device);
}

void errors_that_stay() {
  Exec exec(0, false);
  expect(failure_of([&] { require_cuda(exec.stream(), cudaErrorMemoryAllocation, "memory"); }) == "CUDA, memory: out of memory",
         "an error that passes is only told");
  emulator::break_device(cudaErrorIllegalAddress);
  bool came = false;
  exec.waiter().after([&came] { came = true; });
  exec.waiter().drain();
  expect(came, "whoever waits is told at all");
  for (const std::string& said : {failure_of([&] { exec.check(); }), failure_of([&] { exec.settle(); })}) {
    expect(said.find("illegal memory access, in this command or an earlier one") != std::string::npos &&
               said.find("started anew") != std::string::npos && said.find("MIXWRIGHT_DEBUG=sync") != std::string::npos,
           "an error that stays says what to do");
  }
}
}  // namespace

int main() {
  launches_and_sizes();
  memory_of_blocks();
  reports(false);
  reports(true);
  copies();
  errors_that_stay();
}
