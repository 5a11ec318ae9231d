// spaCy's rules for English (its tokenizer, lang/punctuation.py and lang/en), as far as they touch normalised text.
#pragma once
#include <cstddef>
#include <string_view>
#include <vector>

#include "text/characters.h"

namespace mixwright::text {

// A character within a word that may split it.
struct Mark {
  size_t at, bytes;
  Split split;
};

// Where the second and later parts of a contraction begin ("cannot": 3; "ima": 1, 2). Null if the word is none.
const std::vector<size_t>* contraction(std::string_view word);

// Parts of one word, in order. `marks` are its characters that split, in order.
void split_word(std::string_view word, const std::vector<Mark>& marks, std::vector<std::string_view>& parts);

}  // namespace mixwright::text
