#include "text/characters.h"

#include <atomic>
#include <memory>
#include <stdexcept>

namespace mixwright::text {

const Character Characters::kDropped = {Kind::drop, false, Split::none, 0, 0};
const Character Characters::kCopied = {};

Characters::Characters(const uint32_t* rows, size_t count, const uint8_t* pool, size_t pool_bytes)
    : characters_(count), pool_(pool, pool + pool_bytes) {
  for (size_t code = 0; code < count; code++) {
    const uint32_t row = rows[2 * code];
    Character& character = characters_[code];
    character.kind = Kind(row & 7);
    character.separator = row >> 3 & 1;
    character.split = Split(row >> 4 & 7);
    character.bytes = uint8_t(row >> 8);
    character.first = rows[2 * code + 1];
    if (character.first + character.bytes > pool_bytes) throw std::invalid_argument("a character's text is past the pool");
  }
  for (uint8_t letter = 'a'; letter <= 'z'; letter++) letters_[letter] = letters_[letter - 'a' + 'A'] = letter;
}

namespace {
// Never freed: threads may read it until the process ends.
std::atomic<const Characters*> table{nullptr};
}  // namespace

const Characters* characters() { return table.load(std::memory_order_acquire); }

void set_characters(const uint32_t* rows, size_t count, const uint8_t* pool, size_t pool_bytes) {
  auto made = std::make_unique<const Characters>(rows, count, pool, pool_bytes);
  const Characters* none = nullptr;
  if (table.compare_exchange_strong(none, made.get(), std::memory_order_acq_rel)) made.release();
}

}  // namespace mixwright::text
