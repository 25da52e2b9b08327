// Reads fields of untrusted JSON: a wrong type or a missing field is BadData that names the place.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/tokenizer/piece_encoder.h"
#include "kernels/types/error.h"

namespace tovamill {

// Ids beyond this are refused: 16 times the largest vocabulary in use.
constexpr std::int64_t kMaxVocabulary = std::int64_t{1} << 22;
// Contents beyond this are refused, in bytes: they would make the search for them slow.
constexpr std::size_t kMaxContentBytes = 4096;

[[noreturn]] inline void refuse(const std::string& where, const std::string& problem) {
  throw BadData(where + ": " + problem + ": use the model's original tokenizer");
}

// Text from a file, made fit for a one-line message.
inline std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  std::string out = "'";
  for (const char c : text.substr(0, kLongest))
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  return out += text.size() > kLongest ? "...'" : "'";
}

// The field `key` of an object; null where there is none.
inline const nlohmann::json& field(const nlohmann::json& object, const char* key) {
  static const nlohmann::json null;
  if (!object.is_object()) return null;
  const auto it = object.find(key);
  return it == object.end() ? null : *it;
}

inline std::string string_field(const nlohmann::json& object, const char* key,
                                const std::string& where) {
  const auto& value = field(object, key);
  if (!value.is_string()) refuse(where, std::string("'") + key + "' is missing or not a string");
  return value.get<std::string>();
}

inline bool bool_field(const nlohmann::json& object, const char* key, bool otherwise,
                       const std::string& where) {
  const auto& value = field(object, key);
  if (value.is_null()) return otherwise;
  if (!value.is_boolean()) refuse(where, std::string("'") + key + "' is neither true nor false");
  return value.get<bool>();
}

// A token id: a whole number from 0 to kMaxVocabulary.
inline TokenId id_value(const nlohmann::json& value, const std::string& what,
                        const std::string& where) {
  const bool fits = value.is_number_unsigned()
                        ? value.get<std::uint64_t>() < static_cast<std::uint64_t>(kMaxVocabulary)
                        : value.is_number_integer() && value.get<std::int64_t>() >= 0;
  if (!fits)
    refuse(where, "the id of " + what + " is not a whole number from 0 to " +
                      std::to_string(kMaxVocabulary - 1));
  return static_cast<TokenId>(value.get<std::int64_t>());
}

// Gives `id` to `content`, which must both be new, growing the vocabulary.
void add_content(Vocabulary& vocabulary, const std::string& content, TokenId id,
                 const std::string& where);

// The merges "a b" or ["a", "b"] of an array, by rank; those that make a control token are left
// out, so that no text can. If a pair has two merges, the later one counts if `later_holds`
// (`tokenizers`), else the earlier (llama.cpp).
std::vector<Merge> read_merges(const nlohmann::json& merges, const Vocabulary& vocabulary,
                               bool later_holds, const std::string& where);

}  // namespace tovamill
