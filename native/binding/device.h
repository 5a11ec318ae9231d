// One opened device of one Node environment: its stream, its memory, its threads, and the tensors that live there.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/pool.h"
#include "core/stream.h"
#include "cpu/exec.h"
#include "ops/kernels.h"
#ifdef MW_CUDA
#include "cuda/exec.h"
#endif

namespace mixwright {

// Memory shared by a tensor and its views.
struct Block {
  void* memory;
  int64_t bytes;
  int64_t owners;
};

struct DeviceOptions {
  int cuda = -1;  // which CUDA device; -1: the CPU
  int threads = 1;
  int64_t limit_bytes = 0;
  std::string isa;  // empty: the best this processor runs
  DebugModes modes;
};

class Device {
 public:
  explicit Device(const DeviceOptions& options);

  Block* take(int64_t bytes);  // throws OutOfMemory
  void let_go(Block* block);

  // Ends the stream; only `let_go` may follow.
  void close();

  // Enqueues a kernel; `call` gets the engine, a cpu::Exec or a cuda::Exec, when its turn comes. A failure poisons the stream,
  // it isn't thrown.
  template <class Call>
  void enqueue(const char* op, Call call) {
#ifdef MW_CUDA
    if (cuda_) {
      return stream.enqueue(op, [this, op, call = std::move(call)] {
        if (stream.modes().sync) cuda_->use_here();  // on the caller's thread, which may have used another device
        cuda_->begin(op, &stream.place_path(), stream.place_step());
        cuda_->check();
        try {
          call(*cuda_);
        } catch (...) {  // what the device has found in an earlier command comes first
          cuda_->finish();
          cuda_->check();
          throw;
        }
        if (stream.modes().sync) cuda_->settle();
      });
    }
#endif
    stream.enqueue(op, [exec = &exec_, call = std::move(call)] { call(*exec); });
  }

  // Enqueues a read or a fence: work() in its turn, then done(failure) once all that came before is done, null: all well. A CUDA
  // device has a thread that waits for that (cuda/waiter.h) and calls `done`; the stream's goes on.
  void enqueue_read(const char* op, std::function<void()> work, std::function<void(const Failure*)> done);

  // Is a tensor's memory the host's? Then whoever writes it needs no copy.
  bool on_host() const {
#ifdef MW_CUDA
    return !cuda_;
#else
    return true;
#endif
  }
  // In a command: the tensor's memory gets what the host's holds.
  void copy_in(void* to, const void* from, int64_t bytes);
  // In the work of a read: arrive(bytes, at, count) gets what the tensor holds, piece by piece, before the read is done.
  void copy_out(const View& from, const std::function<void(const char*, int64_t, int64_t)>& arrive);
  // In a command: throws if an output holds a number that isn't finite.
  void check_outputs(const std::vector<View>& outputs);

  // Waits for all that was enqueued and launched, and forgets what failed.
  void reset();

  const cpu::Kernels* kernels;
  std::string isa;
  int64_t live_tensors = 0;

#ifdef MW_CUDA
 private:
  std::unique_ptr<cuda::Exec> cuda_;  // null: a device of the CPU. Its memory is the pool's

 public:
#endif
  Pool pool;  // before the stream: it outlives what the stream still runs
  int threads() const { return exec_.threads(); }

 private:
  void paint(char* begin, int64_t bytes);
  void check_fences(const char* memory, int64_t block_bytes);
  void check_fence(const char* begin, const char* side, int64_t block_bytes);

  bool closed_ = false;
  cpu::Exec exec_;

 public:
  Stream stream;  // last member: it stops first, while what its commands use still stands
};

// A tensor as JavaScript knows it: an integer that names a slot, the slot's generation and the environment.
struct Slot {
  Device* device = nullptr;
  Block* block = nullptr;
  View view;
  uint32_t generation = 0;
};

class TensorTable {
 public:
  // An id has 24 bits for the slot, 16 for the generation and 13 for the environment: JavaScript holds it as a number.
  static constexpr uint32_t kEnvironments = 1 << 13;

  explicit TensorTable(uint32_t environment) : environment_(environment) {}

  int64_t add(Device* device, Block* block, const View& view);
  void remove(int64_t id);
  void remove_all(const Device* device);
  // The largest live tensor of a device; a null view if there is none.
  View largest(const Device* device) const;
  // The slot of a live tensor; throws std::invalid_argument with the reason otherwise.
  Slot& at(int64_t id);

 private:
  void clear(uint32_t index);

  uint32_t environment_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
};

}  // namespace mixwright
