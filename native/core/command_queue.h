// Commands of any size, in order, from one thread to another, without a lock or an allocation for each. They lie one behind
// the other in chunks; a chunk that has been run through serves again.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace mixwright {

template <class Base>
class CommandQueue {
 public:
  ~CommandQueue() {
    while (!empty()) pop();
    delete read_.chunk;
    delete spare_.load();
  }

  // By the one thread that writes: makes a T at the end of the queue.
  template <class T, class... Args>
  void push(Args&&... args) {
    static_assert(alignof(T) <= kAlign, "commands hold no vectors");
    constexpr size_t size = (sizeof(Header) + sizeof(T) + kAlign - 1) / kAlign * kAlign;
    static_assert(size + sizeof(Header) <= kChunk, "a command fits a chunk");
    if (!write_.chunk || write_.at + size + sizeof(Header) > kChunk) next_chunk();
    char* const place = write_.chunk->bytes + write_.at;
    T* const command = new (place + sizeof(Header)) T(std::forward<Args>(args)...);
    new (place) Header{command, size};
    write_.at += size;
    pushed_.store(pushed_.load(std::memory_order_relaxed) + 1);
  }

  // By the one thread that reads.
  bool empty() const {
    const int64_t popped = popped_.load(std::memory_order_relaxed);
    if (seen_ <= popped) seen_ = pushed_.load();
    return seen_ <= popped;
  }
  Base& front() { return *header().command; }
  void pop() {
    Header& first = header();
    first.command->~Base();
    read_.at += first.size;
    popped_.store(popped_.load(std::memory_order_relaxed) + 1);
  }

  // By any thread: commands that wait or run.
  int64_t size() const {
    const int64_t popped = popped_.load();
    return pushed_.load() - popped;
  }

 private:
  static constexpr size_t kAlign = alignof(std::max_align_t), kChunk = size_t(64) << 10;
  struct alignas(kAlign) Header {
    Base* command;  // null: go on in the next chunk
    size_t size;
  };
  struct Chunk {
    alignas(kAlign) char bytes[kChunk];
    Chunk* next = nullptr;
  };
  struct Position {
    Chunk* chunk = nullptr;
    size_t at = 0;
  };

  void next_chunk() {
    Chunk* fresh = spare_.exchange(nullptr);
    if (!fresh) fresh = new Chunk;
    fresh->next = nullptr;
    if (write_.chunk) {
      new (write_.chunk->bytes + write_.at) Header{nullptr, 0};
      write_.chunk->next = fresh;
    } else {
      read_.chunk = fresh;
    }
    write_ = {fresh, 0};
  }

  // Of the first command that isn't popped; there must be one.
  Header& header() {
    Header* first = at(read_);
    if (!first->command) {
      Chunk* const through = std::exchange(read_.chunk, read_.chunk->next);
      read_.at = 0;
      delete spare_.exchange(through);
      first = at(read_);
    }
    return *first;
  }
  static Header* at(const Position& position) {
    return std::launder(reinterpret_cast<Header*>(position.chunk->bytes + position.at));
  }

  alignas(64) std::atomic<int64_t> pushed_{0};
  Position write_;
  alignas(64) std::atomic<int64_t> popped_{0};
  mutable int64_t seen_ = 0;  // of `pushed_`, by the reader
  Position read_;
  alignas(64) std::atomic<Chunk*> spare_{nullptr};
};

}  // namespace mixwright
