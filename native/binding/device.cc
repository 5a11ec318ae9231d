#include "binding/device.h"

#include <cstdlib>
#include <stdexcept>

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
  return {[](size_t bytes) { return std::aligned_alloc(64, bytes); },
          [&stream](void* block) {
            // A read, not a command: spare blocks go back even when the stream is poisoned.
            stream.enqueue_read(Label{"trim", nullptr, -1}, nullptr, [block](const Failure*) { std::free(block); });
          }};
}
}  // namespace

Device::Device(const DeviceOptions& options)
    : kernels(choose_isa(options.isa).kernels),
      isa(choose_isa(options.isa).name),
      pool(host_memory(stream), options.limit_bytes),
      exec_(options.threads),
      stream(options.modes) {}

Block* Device::take(int64_t bytes) { return new Block{pool.take(bytes), bytes, 1}; }

void Device::let_go(Block* block) {
  if (--block->owners > 0) return;
  pool.give_back(block->memory, block->bytes);
  delete block;
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

void TensorTable::remove(int64_t id) {
  Slot& slot = at(id);
  slot.device->live_tensors--;
  slot.device->let_go(slot.block);
  slot.device = nullptr;
  slot.block = nullptr;
  slot.generation++;
  free_.push_back(uint32_t(id & kIndexMask));
}

}  // namespace mixwright
