#include "emulator.h"

#include <link.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <csetjmp>
#include <cstdio>
#include <deque>
#include <string>
#include <vector>


#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

namespace emulator {
namespace {
constexpr size_t kStack = 256 << 10;
constexpr size_t kGuard = 1024;      // bytes on both sides of a block's dynamic shared memory
constexpr uint16_t kFence = 0xffa5;  // what they hold: NaN in every format

struct Copy {
  void* to;
  const void* from;
  int valid;
};

struct Barrier {
  int arrived = 0, counted = 0, result = 0;
  unsigned generation = 0;
};

// Runs one thread of a block after the other: see work().
struct Fiber {
  int index = 0;
  jmp_buf at;
  Indices indices;
  bool ended = false;
  const Barrier* waits = nullptr;
  unsigned generation = 0;
  std::deque<std::vector<Copy>> groups;
  std::vector<Copy> open;
};

// One block at a time, on the device's thread.
struct Machine {
  std::deque<Fiber> fibers;  // as many as any launch had threads; they stay where they are
  Barrier block;
  std::vector<Barrier> warps;
  std::vector<LaneSlot> slots;
  std::vector<int> warp_live;
  int live = 0, threads = 0;
  Fiber* running = nullptr;
  jmp_buf scheduler;
  const std::function<void()>* kernel = nullptr;
  std::vector<unsigned char> shared;
  unsigned char* shared_begin = nullptr;
  size_t shared_bytes = 0;
  unsigned launches = 0;
  bool backwards = false, early = false;  // copies at once: what is still read shows, else what isn't waited for
};
Machine machine;

// The arrays that kernels declare __shared__: the thread-local variables of this library, and the device's thread has no others.
struct Arrays {
  unsigned char* begin = nullptr;
  size_t bytes = 0;

  Arrays() {
    dl_iterate_phdr(
        [](dl_phdr_info* library, size_t, void* found) {
          static thread_local unsigned char own;
          auto* const memory = static_cast<unsigned char*>(library->dlpi_tls_data);
          for (int i = 0; i < library->dlpi_phnum; i++) {
            const auto& part = library->dlpi_phdr[i];
            if (part.p_type != PT_TLS || !memory || &own < memory || &own >= memory + part.p_memsz) continue;
            static_cast<Arrays*>(found)->begin = memory;
            static_cast<Arrays*>(found)->bytes = part.p_memsz;
          }
          return 0;
        },
        this);
  }
};

void release(Barrier& barrier) {
  barrier.result = barrier.counted;
  barrier.arrived = barrier.counted = 0;
  barrier.generation++;
}

void give_way() {
  if (_setjmp(machine.running->at) == 0) _longjmp(machine.scheduler, 1);
}

int arrive(Barrier& barrier, int expected, int count) {
  barrier.counted += count;
  if (++barrier.arrived == expected) {
    release(barrier);
    return barrier.result;
  }
  Fiber* const fiber = machine.running;
  fiber->waits = &barrier;
  fiber->generation = barrier.generation;
  give_way();
  return barrier.result;
}

// The running fiber's thread has returned: barriers no longer wait for it.
void leave() {
  Machine& m = machine;
  Fiber* const fiber = m.running;
  fiber->ended = true;
  const size_t warp = size_t(fiber->index / 32);
  m.live--;
  m.warp_live[warp]--;
  if (m.live > 0 && m.block.arrived == m.live) release(m.block);
  if (m.warp_live[warp] > 0 && m.warps[warp].arrived == m.warp_live[warp]) release(m.warps[warp]);
}

// What a fiber does as long as it lives: to leave a stack and come back is cheap, to begin on one is system calls.
void work() {
  for (;;) {
    give_way();
    (*machine.kernel)();
    leave();
  }
}

void resume(Fiber& fiber) {
  machine.running = &fiber;
  if (_setjmp(machine.scheduler) == 0) _longjmp(fiber.at, 1);
}

// A new fiber, waiting for work.
void add_fiber() {
  Machine& m = machine;
  m.fibers.emplace_back();
  m.running = &m.fibers.back();
  m.running->index = int(m.fibers.size()) - 1;
  void* const stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack == MAP_FAILED) {
    std::perror("emulator: a stack");
    std::abort();
  }
  if (_setjmp(m.scheduler) != 0) return;
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = kStack;
  context.uc_link = nullptr;
  makecontext(&context, work, 0);
  setcontext(&context);
}

void set_up_shared(size_t bytes) {
  Machine& m = machine;
  m.shared.resize(bytes + 2 * kGuard + 128);
  m.shared_begin = reinterpret_cast<unsigned char*>((uintptr_t(m.shared.data()) + kGuard + 127) / 128 * 128);
  m.shared_bytes = bytes;
  for (unsigned char* guard : {m.shared_begin - kGuard, m.shared_begin + bytes}) {
    for (size_t i = 0; i < kGuard; i += 2) std::memcpy(guard + i, &kFence, 2);
  }
}

void check_shared(dim3 block) {
  const Machine& m = machine;
  for (int64_t side : {-int64_t(kGuard), int64_t(m.shared_bytes)}) {
    for (int64_t i = side; i < side + int64_t(kGuard); i += 2) {
      if (std::memcmp(m.shared_begin + i, &kFence, 2) == 0) continue;
      std::fprintf(stderr, "emulator: block %u, %u, %u wrote to byte %lld of %zu bytes of dynamic shared memory\n", block.x,
                   block.y, block.z, (long long)i, m.shared_bytes);
      std::abort();
    }
  }
}

void land(const Copy& copy) {
  std::memset(copy.to, 0, 16);
  if (copy.valid > 0) std::memcpy(copy.to, copy.from, size_t(copy.valid));
}

void run_block(dim3 grid, dim3 block) {
  Machine& m = machine;
  const int threads = m.threads;
  static const Arrays arrays;
  std::memset(arrays.begin, 0xff, arrays.bytes);
  std::memset(m.shared_begin, 0xff, m.shared_bytes);
  m.block = Barrier{};
  m.warps.assign(size_t((threads + 31) / 32), Barrier{});
  m.warp_live.assign(m.warps.size(), 0);
  m.live = threads;
  for (int i = 0; i < threads; i++) {
    Fiber& fiber = m.fibers[size_t(i)];
    fiber.ended = false;
    fiber.waits = nullptr;
    fiber.groups.clear();
    fiber.open.clear();
    fiber.indices = {dim3(unsigned(i), 0, 0), block, dim3(unsigned(threads)), grid};
    m.warp_live[size_t(i / 32)]++;
  }
  while (m.live > 0) {
    bool moved = false;
    for (int n = 0; n < threads; n++) {
      Fiber& fiber = m.fibers[size_t(m.backwards ? threads - 1 - n : n)];
      if (fiber.ended) continue;
      if (fiber.waits && fiber.waits->generation == fiber.generation) continue;
      fiber.waits = nullptr;
      moved = true;
      resume(fiber);
    }
    if (!moved) {
      std::fprintf(stderr, "emulator: a barrier that some threads of block %u never reach\n", block.x);
      std::abort();
    }
  }
  check_shared(block);
}
}  // namespace

Indices& indices() { return machine.running->indices; }
int lane() { return machine.running->index % 32; }
LaneSlot* warp_slots() { return machine.slots.data() + machine.running->index / 32 * 32; }
void* dynamic_shared() { return machine.shared_begin; }

void block_barrier() { arrive(machine.block, machine.live, 0); }
int block_barrier_count(int predicate) { return arrive(machine.block, machine.live, predicate != 0); }
void warp_barrier() {
  const size_t warp = size_t(machine.running->index / 32);
  arrive(machine.warps[warp], machine.warp_live[warp], 0);
}

void run(dim3 grid, int threads, size_t shared_bytes, const std::function<void()>& kernel) {
  Machine& m = machine;
  m.kernel = &kernel;
  m.threads = threads;
  while (m.fibers.size() < size_t(threads)) add_fiber();
  if (m.slots.size() < m.fibers.size()) m.slots.resize((m.fibers.size() + 31) / 32 * 32);
  set_up_shared(shared_bytes);
  m.launches++;
  m.backwards = m.launches % 2 == 1;
  m.early = m.launches / 2 % 2 == 1;
  const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z;
  for (uint64_t n = 0; n < blocks; n++) {
    const uint64_t b = m.backwards ? blocks - 1 - n : n;
    run_block(grid, dim3(unsigned(b % grid.x), unsigned(b / grid.x % grid.y), unsigned(b / grid.x / grid.y)));
  }
}

void copy_async(void* shared, const void* global, int valid) {
  if ((uintptr_t(shared) | (valid > 0 ? uintptr_t(global) : 0)) % 16 != 0 || valid < 0 || valid > 16) {
    std::fprintf(stderr, "emulator: an asynchronous copy that isn't aligned to 16 bytes, or of %d\n", valid);
    std::abort();
  }
  const Copy copy{shared, global, valid};
  if (machine.early) return land(copy);
  machine.running->open.push_back(copy);
}
void copy_commit() {
  machine.running->groups.push_back(std::move(machine.running->open));
  machine.running->open.clear();
}
void copy_wait(int groups) {
  auto& waiting = machine.running->groups;
  for (; waiting.size() > size_t(groups); waiting.pop_front()) {
    for (const Copy& copy : waiting.front()) land(copy);
  }
}
}  // namespace emulator

unsigned __ballot_sync(unsigned, int predicate) {
  using namespace emulator;
  LaneSlot* const slots = warp_slots();
  const unsigned bit = predicate != 0;
  std::memcpy(slots[lane()].bytes, &bit, 4);
  warp_barrier();
  const int first = machine.running->index / 32 * 32;
  unsigned result = 0;
  for (int i = 0; i < 32 && first + i < machine.threads; i++) {
    if (machine.fibers[size_t(first + i)].ended) continue;
    unsigned one;
    std::memcpy(&one, slots[i].bytes, 4);
    result |= one << i;
  }
  warp_barrier();
  return result;
}
