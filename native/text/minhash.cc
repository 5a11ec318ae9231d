#include "text/minhash.h"

namespace mixwright::text {

std::vector<uint64_t> shingle_hashes(std::string_view text, const Characters& characters, const ShingleOptions& options) {
  const Words words = words_of(text, characters, options.splitting);
  if (words.size() < options.ngram) return {};
  std::vector<uint64_t> hashes(words.size() - options.ngram + 1);
  for (size_t i = 0; i < hashes.size(); i++) {
    const std::string_view shingle = words.shingle(i, options.ngram);
    hashes[i] = hash_of(options.hash, options.bits, shingle.data(), shingle.size());
  }
  return hashes;
}

const std::vector<PermuteChoice>& permute_choices() {
  static const std::vector<PermuteChoice> choices = [] {
    std::vector<PermuteChoice> found;
#if defined(MW_HAS_X86)
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
      found.push_back({"avx512", cpu::avx512::permute_min});
    }
    if (has_avx2) found.push_back({"avx2", cpu::avx2::permute_min});
#endif
    found.push_back({"baseline", cpu::baseline::permute_min});
    return found;
  }();
  return choices;
}

}  // namespace mixwright::text
