#include "binding/device.h"

#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "core/checks.h"
#include "core/pages.h"

namespace mixwright {

namespace {
const cpu::IsaChoice& choose_isa(const std::string& wanted) {
  static const std::vector<cpu::IsaChoice> usable = cpu::usable_isas();
  if (wanted.empty()) return usable.front();
  std::string have;
  for (const auto& choice : usable) {
    if (choice.name == wanted) return choice;
    have += (have.empty() ? "" : ", ") + choice.name;
  }
  throw std::invalid_argument("device: instruction set \"" + wanted + "\" is not usable here; usable are " + have);
}

Pool::Source host_memory(Stream& stream) {
  return {take_pages, give_back_pages, [&stream] { stream.drain(); }};
}

#ifdef MW_CUDA
Pool::Source device_memory(Stream& stream, cuda::Exec& engine) {
  return {[&engine](size_t bytes) { return engine.take(bytes); }, [&engine](void* memory, size_t) { engine.give_back(memory); },
          [&stream, &engine] {
            stream.drain();
            engine.finish();
          }};
}
#endif

// Debug mode `guard`: 64 bytes on either side of a block, and at first its content, hold bytes that read as NaN in both f32
// and bf16.
constexpr int64_t kFence = 64;
constexpr int kPattern = 0xff;  // of each byte

// Once the device is closed there is no stream to poison.
template <class Check>
void report_broken_fence(const Check& check) {
  try {
    check();
  } catch (const KernelError& error) {
    std::fprintf(stderr, "mixwright: guard: %s\n", error.what());
  }
}
}  // namespace

Device::Device(const DeviceOptions& options)
    : kernels(choose_isa(options.isa).kernels),
      isa(choose_isa(options.isa).name),
#ifdef MW_CUDA
      cuda_(options.cuda < 0 ? nullptr : new cuda::Exec(options.cuda, options.modes.sync)),
      pool(cuda_ ? device_memory(stream, *cuda_) : host_memory(stream), options.limit_bytes),
      exec_(cuda_ ? 1 : options.threads),
#else
      pool(host_memory(stream), options.limit_bytes),
      exec_(options.threads),
#endif
      stream(options.modes) {
#ifdef MW_CUDA
  if (cuda_) stream.enqueue("open", [this] { cuda_->use_here(); });
#endif
}

void Device::enqueue_read(const char* op, std::function<void()> work, std::function<void(const Failure*)> done) {
#ifdef MW_CUDA
  if (cuda_) {
    const auto wait = [this, op, done = std::move(done)](const Failure* known) {
      const auto failed = known ? std::make_shared<const Failure>(*known) : nullptr;
      const Failure place{op, stream.place_path(), "", stream.place_step()};
      cuda_->waiter().after([this, done, failed, place, mark = cuda_->mark()] {
        const Failure* failure = failed.get();
        try {
          if (!failure) cuda_->check(mark);
        } catch (const LateFailure& late) {
          failure = stream.poison({late.op, late.path, late.what(), late.step});
        } catch (const std::exception& error) {
          failure = stream.poison({place.op, place.path, error.what(), place.step});
        }
        done(failure);
      });
    };
    return stream.enqueue_read(op, std::move(work), wait);
  }
#endif
  stream.enqueue_read(op, std::move(work), std::move(done));
}

void Device::copy_in(void* to, const void* from, int64_t bytes) {
#ifdef MW_CUDA
  if (cuda_) return cuda_->copy_in(to, from, bytes);
#endif
  if (bytes > 0) std::memcpy(to, from, size_t(bytes));
}

void Device::copy_out(const View& from, const std::function<void(const char*, int64_t, int64_t)>& arrive) {
#ifdef MW_CUDA
  if (cuda_) return cuda_->waiter().copy_out(from.memory, from.bytes(), arrive);
#endif
  arrive(static_cast<const char*>(from.memory), 0, from.bytes());
}

void Device::reset() {
  stream.drain();
#ifdef MW_CUDA
  if (cuda_) cuda_->reset();
#endif
  stream.reset();
}

void Device::check_outputs(const std::vector<View>& outputs) {
#ifdef MW_CUDA
  if (cuda_) {
    for (const View& output : outputs) {
      if (output && output.dtype != DType::i32) cuda::require_finite(*cuda_, In{output});
    }
    return cuda_->settle();
  }
#endif
  check_finite(outputs);
}

void Device::paint(char* begin, int64_t bytes) {
#ifdef MW_CUDA
  if (cuda_) return cuda_->fill(begin, kPattern, bytes);
#endif
  std::memset(begin, kPattern, size_t(bytes));
}

void Device::check_fence(const char* begin, const char* side, int64_t block_bytes) {
  unsigned char fence[kFence];
#ifdef MW_CUDA
  if (cuda_) cuda_->read_now(fence, begin, kFence);
  else
#endif
    std::memcpy(fence, begin, kFence);
  for (const unsigned char byte : fence) {
    if (byte == kPattern) continue;
    throw KernelError("a kernel wrote " + std::string(side) + " a block of " + std::to_string(block_bytes) + " bytes");
  }
}

void Device::check_fences(const char* memory, int64_t block_bytes) {
  check_fence(memory, "before", block_bytes);
  check_fence(memory + kFence + (block_bytes + 3) / 4 * 4, "past", block_bytes);
}

Block* Device::take(int64_t bytes) {
  if (!stream.modes().guard) return new Block{pool.take(bytes), bytes, 1};
  const int64_t body = (bytes + 3) / 4 * 4, whole = body + 2 * kFence;
  char* memory = static_cast<char*>(pool.take(whole));
  // As what a read does when it is done: on a poisoned stream too, for the check below may come after a reset.
  stream.enqueue_read("guard", [] {}, [this, memory, whole](const Failure*) {
    try {
      paint(memory, whole);
    } catch (const KernelError&) {  // of CUDA itself: the next command says it
    }
  });
  return new Block{memory + kFence, bytes, 1};
}

void Device::let_go(Block* block) {
  if (--block->owners > 0) return;
  char* memory = static_cast<char*>(block->memory);
  int64_t bytes = block->bytes;
  delete block;
  if (stream.modes().guard) {
    const int64_t given = bytes;
    memory -= kFence;
    bytes = (given + 3) / 4 * 4 + 2 * kFence;
    if (closed_) {
      report_broken_fence([&] { check_fences(memory, given); });
    } else {
      stream.enqueue("guard", [this, memory, given] {
#ifdef MW_CUDA
        if (cuda_) cuda_->settle();  // what a kernel reported comes first
#endif
        check_fences(memory, given);
      });
    }
  }
  pool.give_back(memory, bytes);
}

void Device::close() {
  if (stream.modes().guard) stream.drain();  // the checks that are queued
  const Failure* failure = stream.failure();
  if (failure && failure->op == "guard") std::fprintf(stderr, "mixwright: guard: %s\n", failure->message.c_str());
  stream.close();
#ifdef MW_CUDA
  if (cuda_) {
    cuda_->waiter().drain();  // reads whose turn has come
    cuda_->finish();          // before memory is given back
  }
#endif
  closed_ = true;
}

namespace {
constexpr int kIndexBits = 24, kGenerationBits = 16;
constexpr int64_t kIndexMask = (int64_t(1) << kIndexBits) - 1;
constexpr int64_t kGenerationMask = (int64_t(1) << kGenerationBits) - 1;
}  // namespace

int64_t TensorTable::add(Device* device, Block* block, const View& view) {
  if (free_.empty()) {
    if (int64_t(slots_.size()) > kIndexMask) throw std::invalid_argument("more than 16 million live tensors");
    free_.push_back(uint32_t(slots_.size()));
    slots_.emplace_back();
  }
  const uint32_t index = free_.back();
  free_.pop_back();
  Slot& slot = slots_[index];
  slot.device = device;
  slot.block = block;
  slot.view = view;
  device->live_tensors++;
  return int64_t(index) | (int64_t(slot.generation & kGenerationMask) << kIndexBits) |
         (int64_t(environment_) << (kIndexBits + kGenerationBits));
}

Slot& TensorTable::at(int64_t id) {
  const int64_t index = id & kIndexMask, generation = (id >> kIndexBits) & kGenerationMask;
  if ((id >> (kIndexBits + kGenerationBits)) != environment_) {
    throw std::invalid_argument("tensor belongs to another Node environment");
  }
  if (index >= int64_t(slots_.size()) || !slots_[index].device ||
      int64_t(slots_[index].generation & kGenerationMask) != generation) {
    throw std::invalid_argument("tensor was disposed");
  }
  return slots_[index];
}

View TensorTable::largest(const Device* device) const {
  View found;
  for (const Slot& slot : slots_) {
    if (slot.device == device && (!found || slot.view.bytes() > found.bytes())) found = slot.view;
  }
  return found;
}

void TensorTable::remove(int64_t id) {
  at(id);
  clear(uint32_t(id & kIndexMask));
}

void TensorTable::remove_all(const Device* device) {
  for (uint32_t index = 0; index < slots_.size(); index++) {
    if (slots_[index].device == device) clear(index);
  }
}

void TensorTable::clear(uint32_t index) {
  Slot& slot = slots_[index];
  slot.device->live_tensors--;
  slot.device->let_go(slot.block);
  slot.device = nullptr;
  slot.block = nullptr;
  slot.generation++;
  free_.push_back(index);
}

}  // namespace mixwright
