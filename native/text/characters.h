// What becomes of each character: lower case, NFD, combining marks dropped, digits, punctuation. lib/data/dedup/characters.ts
// makes the table from the Unicode data of Node, once a process; this reads it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace mixwright::text {

enum class Kind : uint8_t {
  copy,     // stands for itself
  drop,     // a combining mark
  space,    // white space and punctuation
  digit,    // a run of these becomes "0"
  replace,  // by bytes of the pool
};

// How a character splits a word, after spaCy's rules for English.
enum class Split : uint8_t {
  none,
  ends,      // a word of its own at the beginning and the end of a word
  begin,     // only at the beginning
  currency,  // at the beginning, and at the end after a digit
  anywhere,  // an emoji or another symbol
};

struct Character {
  Kind kind = Kind::copy;
  bool separator = false;  // between two digits it is part of the number
  Split split = Split::none;
  uint8_t bytes = 0;      // of the replacement
  uint32_t first = 0;     // its place in the pool
};

class Characters {
 public:
  // A row is kind | separator << 3 | split << 4 | bytes << 8, then the first byte. Throws std::invalid_argument if one
  // reaches past the pool.
  Characters(const uint32_t* rows, size_t count, const uint8_t* pool, size_t pool_bytes);

  // Characters past the table stand for themselves, but the variation selectors U+E0100 … U+E01EF.
  const Character& of(uint32_t code) const {
    if (code < characters_.size()) return characters_[code];
    return code >= 0xe0100 && code <= 0xe01ef ? kDropped : kCopied;
  }
  // The lower case of an ASCII letter; 0 for all other bytes.
  uint8_t letter(uint8_t byte) const { return letters_[byte]; }
  const uint8_t* replacement(const Character& character) const { return pool_.data() + character.first; }

 private:
  static const Character kDropped, kCopied;
  uint8_t letters_[256] = {};
  std::vector<Character> characters_;
  std::vector<uint8_t> pool_;
};

// The table of this process, or null as long as nobody has set it. The first call counts: every thread makes the same one.
const Characters* characters();
void set_characters(const uint32_t* rows, size_t count, const uint8_t* pool, size_t pool_bytes);

}  // namespace mixwright::text
