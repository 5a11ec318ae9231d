#include "text/words.h"

#include "text/english.h"

namespace mixwright::text {

namespace {

// One character of UTF-8, which is well formed: it comes from a JavaScript string. Moves `p` past it.
uint32_t next_code(const uint8_t*& p) {
  const uint32_t first = *p++;
  if (first < 0x80) return first;
  if (first < 0xe0) return (first & 31) << 6 | (*p++ & 63);
  if (first < 0xf0) {
    p += 2;
    return (first & 15) << 12 | (p[-2] & 63u) << 6 | (p[-1] & 63u);
  }
  p += 3;
  return (first & 7) << 18 | (p[-3] & 63u) << 12 | (p[-2] & 63u) << 6 | (p[-1] & 63u);
}

// Reads text word by word. The rules in datatrove's order: case, numbers, punctuation and white
// space become words; only then marks are dropped, so a word may be empty.
class Reader {
 public:
  Reader(std::string_view text, const Characters& characters)
      : p_(reinterpret_cast<const uint8_t*>(text.data())), end_(p_ + text.size()), characters_(characters) {}

  std::string word;
  std::vector<Mark> marks;
  bool digit;

  // The next word, or false at the end.
  bool next() {
    word.clear();
    marks.clear();
    digit = false;
    bool begun = false;
    while (p_ < end_) {
      const uint8_t* const at = p_;
      while (p_ < end_ && characters_.letter(*p_)) p_++;
      if (p_ > at) {
        begun = true;
        const size_t before = word.size();
        word.append(reinterpret_cast<const char*>(at), size_t(p_ - at));
        for (size_t i = before; i < word.size(); i++) word[i] = char(characters_.letter(uint8_t(word[i])));
        continue;
      }
      const Character& character = characters_.of(next_code(p_));
      if (character.kind == Kind::space) {
        if (begun) return true;
        continue;
      }
      begun = true;
      if (character.split != Split::none) marks.push_back({word.size(), size_t(0), character.split});
      switch (character.kind) {
        case Kind::copy: word.append(reinterpret_cast<const char*>(at), size_t(p_ - at)); break;
        case Kind::replace:
          word.append(reinterpret_cast<const char*>(characters_.replacement(character)), character.bytes);
          break;
        case Kind::digit:
          word += '0';
          digit = true;
          pass_number();
          break;
        default: break;
      }
      if (character.split != Split::none) marks.back().bytes = word.size() - marks.back().at;
    }
    return begun;
  }

 private:
  // Past the rest of a number whose first digit has been read: digits, and once a separator with digits behind it.
  void pass_number() {
    pass_digits();
    const uint8_t* ahead = p_;
    if (ahead == end_ || !characters_.of(next_code(ahead)).separator || ahead == end_) return;
    const uint8_t* after = ahead;
    if (characters_.of(next_code(after)).kind != Kind::digit) return;
    p_ = after;
    pass_digits();
  }

  void pass_digits() {
    while (p_ < end_) {
      const uint8_t* ahead = p_;
      if (characters_.of(next_code(ahead)).kind != Kind::digit) return;
      p_ = ahead;
    }
  }

  const uint8_t* p_;
  const uint8_t* const end_;
  const Characters& characters_;
};

void add(Words& words, std::string_view word) {
  if (!words.begin.empty()) words.text += ' ';
  words.begin.push_back(uint32_t(words.text.size()));
  words.text += word;
  words.end.push_back(uint32_t(words.text.size()));
}

}  // namespace

std::string normalize(std::string_view text, const Characters& characters) {
  std::string out;
  out.reserve(text.size());
  Reader reader(text, characters);
  for (bool first = true; reader.next(); first = false) {
    if (!first) out += ' ';
    out += reader.word;
  }
  const size_t begin = out.find_first_not_of(' ');
  if (begin == std::string::npos) return "";
  return out.substr(begin, out.find_last_not_of(' ') + 1 - begin);
}

Words words_of(std::string_view text, const Characters& characters, Splitting splitting) {
  Words words;
  words.text.reserve(text.size() + text.size() / 8);
  Reader reader(text, characters);
  std::vector<std::string_view> parts;
  while (reader.next()) {
    const std::string& word = reader.word;
    if (word.empty()) continue;
    if (splitting == Splitting::spaces || (reader.marks.empty() && !reader.digit && !contraction(word))) {
      add(words, word);
      continue;
    }
    parts.clear();
    split_word(word, reader.marks, parts);
    for (const std::string_view part : parts) add(words, part);
  }
  return words;
}

}  // namespace mixwright::text
