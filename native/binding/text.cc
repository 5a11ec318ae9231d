#include "binding/text.h"

#include <string>

#include "binding/call.h"
#include "text/minhash.h"

namespace mixwright {

namespace {

std::string string_at(const Call& call, size_t i) { return Napi::String(call.node(), call[i]).Utf8Value(); }

template <class Array>
Array array_at(const Call& call, size_t i) {
  const Napi::Value value(call.node(), call[i]);
  if (!value.IsTypedArray()) throw std::invalid_argument("a typed array was expected");
  return value.As<Array>();
}

Napi::BigUint64Array array_of(const Call& call, size_t count) { return Napi::BigUint64Array::New(call.node(), count); }

const text::Characters& table() {
  const text::Characters* found = text::characters();
  if (found == nullptr) throw std::invalid_argument("the table of characters has not been set");
  return *found;
}

// … ngram, hash ("sha1" or "xxhash"), bits, words ("spaces" or "english"): four arguments from `first` on.
text::ShingleOptions options_at(const Call& call, size_t first) {
  return {size_t(call.number(first)), string_at(call, first + 1) == "sha1" ? text::Hash::sha1 : text::Hash::xxhash,
          int(call.number(first + 2)),
          string_at(call, first + 3) == "english" ? text::Splitting::english : text::Splitting::spaces};
}

napi_value has_characters(const Call& call) { return Napi::Boolean::New(call.node(), text::characters() != nullptr); }

// setCharacters(rows: Uint32Array of two a character, pool: Uint8Array)
void set_characters(const Call& call) {
  const auto rows = array_at<Napi::Uint32Array>(call, 0);
  const auto pool = array_at<Napi::Uint8Array>(call, 1);
  text::set_characters(rows.Data(), rows.ElementLength() / 2, pool.Data(), pool.ElementLength());
}

// normalize(text) -> string
napi_value normalize(const Call& call) {
  return Napi::String::New(call.node(), text::normalize(string_at(call, 0), table()));
}

// words(text, splitting) -> string[]
napi_value words(const Call& call) {
  const auto splitting = string_at(call, 1) == "english" ? text::Splitting::english : text::Splitting::spaces;
  const text::Words found = text::words_of(string_at(call, 0), table(), splitting);
  Napi::Array out = Napi::Array::New(call.node(), found.size());
  for (size_t i = 0; i < found.size(); i++) {
    const std::string_view word = found.shingle(i, 1);
    out.Set(uint32_t(i), Napi::String::New(call.node(), word.data(), word.size()));
  }
  return out;
}

// hash(text, name, bits) -> bigint
napi_value hash(const Call& call) {
  const std::string data = string_at(call, 0);
  const std::string name = string_at(call, 1);
  const uint64_t value =
      name == "sha1-portable"
          ? text::sha1_64_portable(data.data(), data.size())
          : text::hash_of(name == "sha1" ? text::Hash::sha1 : text::Hash::xxhash, int(call.number(2)), data.data(), data.size());
  return Napi::BigInt::New(call.node(), value);
}

// shingleHashes(text, ngram, hash, bits, words) -> BigUint64Array
napi_value shingle_hashes(const Call& call) {
  const auto hashes = text::shingle_hashes(string_at(call, 0), table(), options_at(call, 1));
  Napi::BigUint64Array out = array_of(call, hashes.size());
  std::copy(hashes.begin(), hashes.end(), out.Data());
  return out;
}

// Minima of the permutations (a, b) over `count` hashes.
napi_value minima(const Call& call, const uint64_t* hashes, size_t count, size_t a_at, int bits, cpu::PermuteMin* permute_min) {
  const auto a = array_at<Napi::BigUint64Array>(call, a_at);
  const auto b = array_at<Napi::BigUint64Array>(call, a_at + 1);
  if (a.ElementLength() != b.ElementLength()) throw std::invalid_argument("as many factors as shifts were expected");
  Napi::BigUint64Array out = array_of(call, a.ElementLength());
  permute_min(hashes, count, a.Data(), b.Data(), a.ElementLength(), bits, out.Data());
  return out;
}

// signature(text, ngram, hash, bits, words, a, b) -> BigUint64Array, or null without shingles
napi_value signature(const Call& call) {
  const text::ShingleOptions options = options_at(call, 1);
  const auto hashes = text::shingle_hashes(string_at(call, 0), table(), options);
  if (hashes.empty()) return call.node().Null();
  return minima(call, hashes.data(), hashes.size(), 5, options.bits, text::permute_choices().front().permute_min);
}

// permuteMin(hashes, bits, a, b, isa) -> BigUint64Array; isa "" is the best one
napi_value permute_min(const Call& call) {
  const auto hashes = array_at<Napi::BigUint64Array>(call, 0);
  const std::string isa = string_at(call, 4);
  for (const auto& choice : text::permute_choices()) {
    if (isa != "" && choice.name != isa) continue;
    return minima(call, hashes.Data(), hashes.ElementLength(), 2, int(call.number(1)), choice.permute_min);
  }
  throw std::invalid_argument("this processor does not run " + isa);
}

template <auto body>
void put(Napi::Env env, Napi::Object& exports, const char* name) {
  napi_value function;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, entry<body>, nullptr, &function) != napi_ok) throw Napi::Error::New(env);
  exports.Set(name, function);
}

}  // namespace

Napi::Object text_exports(Napi::Env env) {
  Napi::Object exports = Napi::Object::New(env);
  put<has_characters>(env, exports, "hasCharacters");
  put<set_characters>(env, exports, "setCharacters");
  put<normalize>(env, exports, "normalize");
  put<words>(env, exports, "words");
  put<hash>(env, exports, "hash");
  put<shingle_hashes>(env, exports, "shingleHashes");
  put<signature>(env, exports, "signature");
  put<permute_min>(env, exports, "permuteMin");
  return exports;
}

}  // namespace mixwright
