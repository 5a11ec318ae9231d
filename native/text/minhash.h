// Shingles of a text as hashes, and MinHash signatures of them (Broder 1997), with datatrove's parameters.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "text/hash.h"
#include "text/permute.h"
#include "text/words.h"

namespace mixwright::text {

struct ShingleOptions {
  size_t ngram;  // words a shingle
  Hash hash;
  int bits;      // 32 or 64
  Splitting splitting;
};

// One hash for each shingle in text order, repeats included; none if there are fewer than `ngram` words.
std::vector<uint64_t> shingle_hashes(std::string_view text, const Characters& characters, const ShingleOptions& options);

struct PermuteChoice {
  std::string name;
  cpu::PermuteMin* permute_min;
};

// The instruction sets that this processor runs, best first. Never empty.
const std::vector<PermuteChoice>& permute_choices();

}  // namespace mixwright::text
