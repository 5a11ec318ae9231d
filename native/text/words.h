// Normalised text and its words, as datatrove makes them for MinHash: lower case; each number "0"; punctuation a space; runs of
// white space one space; NFD without combining marks. Words are split as spaCy splits English ("cannot" is two).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/characters.h"

namespace mixwright::text {

// `text` is UTF-8. Two spaces in a row remain where a word was made of combining marks alone.
std::string normalize(std::string_view text, const Characters& characters);

// Words one after another with a space between, so that a shingle is a part of `text`.
struct Words {
  std::string text;
  std::vector<uint32_t> begin, end;  // of each word in `text`, in bytes

  size_t size() const { return begin.size(); }
  std::string_view shingle(size_t first, size_t words) const {
    return std::string_view(text).substr(begin[first], end[first + words - 1] - begin[first]);
  }
};

enum class Splitting { spaces, english };

Words words_of(std::string_view text, const Characters& characters, Splitting splitting);

}  // namespace mixwright::text
