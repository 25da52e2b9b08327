#include "engine/tokenizer_files/hf_text_steps.h"

#include <optional>
#include <utility>

#include "engine/tokenizer/tokenizer_json.h"

namespace tovamill {
namespace {

using nlohmann::json;

struct Pattern {
  std::string text;
  bool literal;
};

Pattern read_pattern(const json& holder, const std::string& where) {
  const auto& pattern = field(holder, "pattern");
  const bool literal = !field(pattern, "String").is_null();
  Pattern out{string_field(pattern, literal ? "String" : "Regex", where), literal};
  if (out.text.empty()) refuse(where, "a pattern is empty");
  return out;
}

const json& steps_of(const json& sequence, const char* key, const std::string& where) {
  const auto& steps = field(sequence, key);
  if (!steps.is_array()) refuse(where, std::string("'") + key + "' is not an array");
  return steps;
}

std::optional<NormalForm> form_named(const std::string& type) {
  if (type == "NFC") return NormalForm::c;
  if (type == "NFD") return NormalForm::d;
  if (type == "NFKC") return NormalForm::kc;
  if (type == "NFKD") return NormalForm::kd;
  return std::nullopt;
}

bool needed_bool(const json& step, const char* key, const std::string& where) {
  if (field(step, key).is_null()) refuse(where, std::string("'") + key + "' is missing");
  return bool_field(step, key, false, where);
}

void add_normalizer(const json& step, Normalizer& normalizer, int depth, const std::string& where) {
  const std::string type = string_field(step, "type", where);
  if (type == "Sequence" && depth < 8) {
    for (const auto& inner : steps_of(step, "normalizers", where))
      add_normalizer(inner, normalizer, depth + 1, where);
  } else if (const auto form = form_named(type)) {
    normalizer.add(form_step(*form));
  } else if (type == "Lowercase") {
    normalizer.add(lower_case_step());
  } else if (type == "StripAccents") {
    normalizer.add(strip_accents_step());
  } else if (type == "Strip") {
    normalizer.add(strip_step(needed_bool(step, "strip_left", where),
                              needed_bool(step, "strip_right", where)));
  } else if (type == "Nmt") {
    normalizer.add(nmt_step());
  } else if (type == "Precompiled") {
    const auto bytes = from_base64(string_field(step, "precompiled_charsmap", where));
    if (!bytes) refuse(where, "the precompiled_charsmap is not base64");
    normalizer.add(charsmap_step(Charsmap(*bytes, where)));
  } else if (type == "Prepend") {
    normalizer.add(prepend_step(string_field(step, "prepend", where)));
  } else if (type == "Replace") {
    const auto [text, literal] = read_pattern(step, where);
    std::string content = string_field(step, "content", where);
    if (literal && text.size() == 1) {
      normalizer.add(replace_character_step(text[0], std::move(content)));
    } else {
      normalizer.add(replace_step(Regex(text, literal, where), std::move(content)));
    }
  } else {
    refuse(where,
           "the normalizer " + in_quotes(type) +
               " is not supported (NFC, NFD, NFKC, NFKD, Lowercase, Nmt, Precompiled, Prepend, "
               "Replace, Strip, StripAccents and Sequence are)");
  }
}

SplitBehavior read_behavior(const json& split, const std::string& where) {
  const std::string name = string_field(split, "behavior", where);
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  refuse(where, "the split behavior " + in_quotes(name) + " is not supported");
}

PreTokenizerStep read_split(const json& split, const std::string& where) {
  const auto [text, literal] = read_pattern(split, where);
  const SplitBehavior behavior = read_behavior(split, where);
  const bool invert = bool_field(split, "invert", false, where);
  if (!literal) {
    const auto known = WordPattern::for_regex(text);
    if (known && behavior == SplitBehavior::isolated)
      return word_step(*known);  // inverted or not: no gaps
  }
  return split_step(Regex(text, literal, where), behavior, invert);
}

PrependScheme read_prepend_scheme(const json& metaspace, const std::string& where) {
  const auto& scheme = field(metaspace, "prepend_scheme");
  if (scheme.is_null()) {
    return bool_field(metaspace, "add_prefix_space", true, where) ? PrependScheme::always
                                                                  : PrependScheme::never;
  }
  if (scheme == "always") return PrependScheme::always;
  if (scheme == "first") return PrependScheme::first;
  if (scheme == "never") return PrependScheme::never;
  refuse(where, "the prepend_scheme " + scheme.dump() + " is not supported");
}

PreTokenizerStep read_metaspace(const json& metaspace, const std::string& where) {
  std::string replacement = string_field(metaspace, "replacement", where);
  if (replacement.empty()) refuse(where, "Metaspace has an empty replacement");
  const bool split = bool_field(metaspace, "split", true, where);
  return metaspace_step(std::move(replacement), read_prepend_scheme(metaspace, where), split);
}

void add_pre_tokenizer(const json& step, PreTokenizer& pre_tokenizer, bool& byte_level, int depth,
                       const std::string& where) {
  const std::string type = string_field(step, "type", where);
  if (byte_level)
    refuse(where, "the pre-tokenizer " + in_quotes(type) + " behind ByteLevel is not supported");
  if (type == "Sequence" && depth < 8) {
    for (const auto& inner : steps_of(step, "pretokenizers", where)) {
      add_pre_tokenizer(inner, pre_tokenizer, byte_level, depth + 1, where);
    }
  } else if (type == "Split") {
    pre_tokenizer.add(read_split(step, where));
  } else if (type == "Digits") {
    pre_tokenizer.add(digits_step(bool_field(step, "individual_digits", false, where)));
  } else if (type == "Metaspace") {
    pre_tokenizer.add(read_metaspace(step, where));
  } else if (type == "WhitespaceSplit") {
    pre_tokenizer.add(split_step(Regex(R"(\s)", false, where), SplitBehavior::removed, false));
  } else if (type == "ByteLevel") {
    if (bool_field(step, "add_prefix_space", true, where)) pre_tokenizer.add(prefix_space_step());
    if (bool_field(step, "use_regex", true, where))
      pre_tokenizer.add(word_step(WordPattern::gpt2()));
    byte_level = true;
  } else {
    refuse(where, "the pre-tokenizer " + in_quotes(type) +
                      " is not supported (Split, Digits, Metaspace, WhitespaceSplit, ByteLevel and "
                      "Sequence are)");
  }
}

}  // namespace

Normalizer read_normalizer(const json& normalizer, const std::string& where) {
  Normalizer out;
  if (!normalizer.is_null()) add_normalizer(normalizer, out, 0, where + ", normalizer");
  return out;
}

PreTokenizer read_pre_tokenizer(const json& pre_tokenizer, bool& byte_level,
                                const std::string& where) {
  PreTokenizer out;
  byte_level = false;
  if (!pre_tokenizer.is_null())
    add_pre_tokenizer(pre_tokenizer, out, byte_level, 0, where + ", pre_tokenizer");
  return out;
}

}  // namespace tovamill
