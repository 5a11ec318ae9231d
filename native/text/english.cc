#include "text/english.h"

#include <bitset>
#include <cstring>
#include <string>
#include <unordered_map>
#include <unordered_set>

namespace mixwright::text {

namespace {

using Contractions = std::unordered_map<std::string, std::vector<size_t>>;

// "ca nt ve" stands for the word "cantve" and its three parts.
void put(Contractions& into, std::string parts) {
  std::vector<size_t> begins;
  std::string word;
  for (const char c : parts) {
    if (c == ' ') begins.push_back(word.size());
    else word += c;
  }
  into[word] = begins;
}

void put_all(Contractions& into, std::initializer_list<const char*> stems, std::initializer_list<const char*> endings) {
  for (const std::string stem : stems) {
    for (const char* ending : endings) put(into, stem + ' ' + ending);
  }
}

Contractions make_contractions() {
  Contractions made;
  put_all(made, {"i"}, {"m", "m a"});
  put_all(made, {"i", "you", "he", "she", "it", "we", "they"}, {"ll", "ll ve", "d", "d ve"});
  put_all(made, {"i", "you", "we", "they"}, {"ve"});
  put_all(made, {"you", "we", "they"}, {"re"});
  put_all(made, {"he", "she", "it"}, {"s"});
  put_all(made, {"who", "what", "when", "where", "why", "how", "there", "that", "this", "these", "those"},
          {"ll", "ll ve", "d", "d ve"});
  put_all(made, {"who", "what", "when", "where", "why", "how", "there", "that", "this"}, {"s"});
  put_all(made, {"who", "what", "when", "where", "why", "how", "there", "these", "those"}, {"re", "ve"});
  put_all(made,
          {"ca", "could", "do", "does", "did", "had", "may", "might", "must", "need", "ought", "sha", "should", "wo", "would"},
          {"nt", "nt ve"});
  put_all(made, {"could", "might", "must", "should", "would"}, {"ve"});
  put_all(made, {"ai", "are", "is", "was", "were", "have", "has", "dare"}, {"nt"});
  for (const char* parts : {"y all", "not ve", "can not", "gon na", "got ta"}) put(made, parts);
  // Words of their own.
  for (const char* word : {"ill", "its", "hell", "shell", "shed", "were", "well", "whore"}) made.erase(word);
  return made;
}

const std::unordered_set<std::string>& units() {
  static const std::unordered_set<std::string> all = {
      "km",  "km²", "km³", "m",   "m²",  "m³",  "dm",  "dm²", "dm³", "cm",   "cm²", "cm³", "mm",   "mm²",  "mm³", "ha",   "µm",
      "nm",  "yd",  "in",  "ft",  "kg",  "g",   "mg",  "µg",  "t",   "lb",   "oz",  "kmh", "mph",  "mbar", "mb",  "kb",   "gb",
      "tb",  "км",  "км²", "км³", "м",   "м²",  "м³",  "дм",  "дм²", "дм³",  "см",  "см²", "см³",  "мм",   "мм²", "мм³",  "нм",
      "кг",  "г",   "мг",  "кб",  "мб",  "гб",  "тбكم", "كم²", "كم³", "م",    "م²",  "م³",  "سم",   "سم²",  "سم³", "مم",   "مم²",
      "مم³", "كم",  "غرام", "جرام", "جم", "كغ", "ملغ", "كوب", "اكواب"};
  return all;
}

constexpr size_t kLongest = 10;  // "shouldntve"

// Most words are no contraction: 12 bits of their length and ends say so without a look-up.
size_t sketch(std::string_view word) {
  uint16_t head, tail;
  std::memcpy(&head, word.data(), 2);
  std::memcpy(&tail, word.data() + word.size() - 2, 2);
  return ((uint64_t(head) | uint64_t(tail) << 16 | uint64_t(word.size()) << 32) * 0x9e3779b97f4a7c15u) >> 52;
}

struct Lookup {
  Contractions all = make_contractions();
  std::bitset<4096> sketches;
  Lookup() {
    for (const auto& [word, begins] : all) sketches.set(sketch(word));
  }
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Bytes of a suffix of `rest`, or 0. `begin` is where `rest` lies within the word, which `marks` count from.
size_t suffix(std::string_view rest, size_t begin, const std::vector<Mark>& marks) {
  const size_t end = begin + rest.size();
  for (const Mark& mark : marks) {
    if (mark.at < begin || mark.at + mark.bytes != end) continue;
    if (mark.split == Split::ends || mark.split == Split::anywhere) return mark.bytes;
    if (mark.split == Split::currency && mark.at > begin && is_digit(rest[mark.at - begin - 1])) return mark.bytes;
  }
  const size_t digit = rest.find_last_of('0');
  if (digit == std::string_view::npos || digit + 1 == rest.size()) return 0;
  const std::string_view unit = rest.substr(digit + 1);
  return units().count(std::string(unit)) ? unit.size() : 0;
}

size_t prefix(size_t begin, const std::vector<Mark>& marks) {
  for (const Mark& mark : marks) {
    if (mark.at == begin) return mark.bytes;
  }
  return 0;
}

// What is left of a word between its prefixes and suffixes: a contraction, or parts around symbols.
void split_middle(std::string_view word, size_t begin, size_t end, const std::vector<Mark>& marks,
                  std::vector<std::string_view>& parts) {
  if (begin == end) return;
  size_t from = begin;
  if (const auto* later = contraction(word.substr(begin, end - begin))) {
    for (const size_t at : *later) {
      parts.push_back(word.substr(from, begin + at - from));
      from = begin + at;
    }
  } else {
    for (const Mark& mark : marks) {
      if (mark.split != Split::anywhere || mark.at <= begin || mark.at >= end) continue;
      if (mark.at > from) parts.push_back(word.substr(from, mark.at - from));
      parts.push_back(word.substr(mark.at, mark.bytes));
      from = mark.at + mark.bytes;
    }
  }
  if (from < end) parts.push_back(word.substr(from, end - from));
}

}  // namespace

const std::vector<size_t>* contraction(std::string_view word) {
  static const Lookup lookup;
  if (word.size() < 2 || word.size() > kLongest || !lookup.sketches[sketch(word)]) return nullptr;
  const auto found = lookup.all.find(std::string(word));
  return found == lookup.all.end() ? nullptr : &found->second;
}

void split_word(std::string_view word, const std::vector<Mark>& marks, std::vector<std::string_view>& parts) {
  size_t begin = 0, end = word.size();
  std::vector<std::string_view> suffixes;
  while (begin < end && !contraction(word.substr(begin, end - begin))) {
    const size_t ahead = prefix(begin, marks);
    if (ahead > 0 && contraction(word.substr(begin + ahead, end - begin - ahead))) {
      parts.push_back(word.substr(begin, ahead));
      begin += ahead;
      break;
    }
    const size_t behind = suffix(word.substr(begin + ahead, end - begin - ahead), begin + ahead, marks);
    if (ahead == 0 && behind == 0) break;
    if (ahead > 0) parts.push_back(word.substr(begin, ahead));
    if (behind > 0) suffixes.push_back(word.substr(end - behind, behind));
    begin += ahead;
    end -= behind;
  }
  split_middle(word, begin, end, marks, parts);
  parts.insert(parts.end(), suffixes.rbegin(), suffixes.rend());
}

}  // namespace mixwright::text
