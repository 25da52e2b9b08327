// Tokenizer::from_gguf: what llama.cpp makes of tokenizer.ggml.* (src/llama-vocab.cpp). As there,
// no text is normalised, not even for Qwen. Other than there, of overlapping added tokens the
// leftmost is taken, and no text makes a control token.
#include <array>
#include <cmath>

#include "engine/text/sha256.h"
#include "engine/tokenizer/bpe_tokenizer.h"
#include "engine/tokenizer/byte_level_bpe.h"
#include "engine/tokenizer/sentencepiece_bpe.h"
#include "engine/tokenizer/tokenizer_json.h"

namespace tovamill {
namespace {

using nlohmann::json;

// tokenizer.ggml.token_type
enum class TokenType {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

const json& ggml(const json& metadata, const char* key) {
  return field(metadata, (std::string("tokenizer.ggml.") + key).c_str());
}

Vocabulary read_tokens(const json& tokens, const std::string& where) {
  if (!tokens.is_array() || tokens.empty())
    refuse(where, "tokenizer.ggml.tokens is missing, empty or not an array");
  if (tokens.size() > static_cast<std::size_t>(kMaxVocabulary))
    refuse(where, "tokenizer.ggml.tokens is too long");
  Vocabulary vocabulary;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (!tokens[i].is_string())
      refuse(where, "tokenizer.ggml.tokens holds something that is no text");
    const auto& content = tokens[i].get_ref<const std::string&>();
    add_content(vocabulary, content.empty() ? "[EMPTY_" + std::to_string(i) + "]" : content,
                static_cast<TokenId>(i), where);
  }
  return vocabulary;
}

std::vector<TokenType> read_types(const json& types, std::size_t n_tokens,
                                  const std::string& where) {
  std::vector<TokenType> out(n_tokens, TokenType::normal);
  if (types.is_null()) return out;
  if (!types.is_array() || types.size() < n_tokens)
    refuse(where, "tokenizer.ggml.token_type is not an array of one number per token");
  for (std::size_t i = 0; i < n_tokens; ++i) {
    if (!types[i].is_number_integer())
      refuse(where, "tokenizer.ggml.token_type holds something that is no whole number");
    out[i] = static_cast<TokenType>(types[i].get<int>());
  }
  return out;
}

std::vector<float> read_scores(const json& scores, std::size_t n_tokens, const std::string& where) {
  std::vector<float> out(n_tokens, 0.0f);
  if (scores.is_null()) return out;
  if (!scores.is_array() || scores.size() < n_tokens)
    refuse(where, "tokenizer.ggml.scores is not an array of one number per token");
  for (std::size_t i = 0; i < n_tokens; ++i) {
    out[i] = scores[i].is_number() ? scores[i].get<float>() : NAN;
    if (std::isnan(out[i]))
      refuse(where, "tokenizer.ggml.scores holds something that is no number");
  }
  return out;
}

// Control and user-defined tokens are searched for in the text (the former with parse_special
// only).
std::vector<AddedToken> added_tokens(Vocabulary& vocabulary, const std::vector<TokenType>& types) {
  std::vector<AddedToken> out;
  for (std::size_t id = 0; id < types.size(); ++id) {
    const bool special = types[id] == TokenType::control || types[id] == TokenType::unknown;
    if (!special && types[id] != TokenType::user_defined) continue;
    AddedToken token;
    token.id = static_cast<TokenId>(id);
    token.content = vocabulary.contents[id];
    token.special = special;
    vocabulary.control[id] = token.is_control();
    out.push_back(std::move(token));
  }
  return out;
}

std::optional<TokenId> special_id(const json& metadata, const char* key,
                                  std::optional<TokenId> otherwise, const Vocabulary& vocabulary,
                                  const std::string& where) {
  const auto& value = ggml(metadata, key);
  const auto id = value.is_null() ? otherwise : id_value(value, key, where);
  if (id && static_cast<std::size_t>(*id) >= vocabulary.contents.size()) {
    if (value.is_null()) return std::nullopt;
    refuse(where, std::string("tokenizer.ggml.") + key + " is beyond the vocabulary");
  }
  return id;
}

// The pre-tokenizer of a name under tokenizer.ggml.pre.
struct PreTokenizerKind {
  enum class Pattern { gpt2, llama3, qwen2, digits_gpt2, tekken, fallback };
  Pattern pattern;
  bool ignore_merges = false;
  bool adds_bos = false;
};

struct NamedKind {
  const char* name;
  PreTokenizerKind kind;
};

using P = PreTokenizerKind::Pattern;
constexpr std::array kKinds{
    NamedKind{"default", {P::fallback}},
    NamedKind{"gpt-2", {P::gpt2}},
    NamedKind{"smollm", {P::digits_gpt2}},
    NamedKind{"minerva-7b", {P::digits_gpt2}},
    NamedKind{"llama-bpe", {P::llama3, true, true}},
    NamedKind{"llama3", {P::llama3, true, true}},
    NamedKind{"llama-v3", {P::llama3, true, true}},
    NamedKind{"pixtral", {P::llama3, true, true}},
    NamedKind{"falcon3", {P::llama3, true, true}},
    NamedKind{"smaug-bpe", {P::llama3}},
    NamedKind{"qwen2", {P::qwen2}},
    NamedKind{"deepseek-r1-qwen", {P::qwen2}},
    NamedKind{"megrez", {P::qwen2}},
    NamedKind{"tekken", {P::tekken, true, true}},
};

PreTokenizerKind kind_named(const json& pre, const std::string& where) {
  const std::string name = pre.is_null()     ? "default"
                           : pre.is_string() ? pre.get<std::string>()
                                             : pre.dump();
  std::string known;
  for (const auto& [known_name, kind] : kKinds) {
    if (name == known_name) return kind;
    known += (known.empty() ? "" : ", ") + std::string(known_name);
  }
  refuse(where, "the pre-tokenizer " + in_quotes(name) +
                    " (tokenizer.ggml.pre) is not supported (" + known + " are)");
}

// llama.cpp's form of Mistral's "tekken": upper and lower case are told apart in ASCII only.
constexpr const char* kTekken =
    R"([^\r\n\p{L}\p{N}]?[^\P{L}a-z]*[^\P{L}A-Z]+|[^\r\n\p{L}\p{N}]?[^\P{L}a-z]+[^\P{L}A-Z]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

PreTokenizer pre_tokenizer_of(PreTokenizerKind::Pattern pattern, const std::string& where) {
  PreTokenizer out;
  const auto split = [&](const char* regex) {
    out.add(split_step(Regex(regex, false, where), SplitBehavior::isolated, false));
  };
  switch (pattern) {
    case P::gpt2:
      out.add(word_step(WordPattern::gpt2()));
      break;
    case P::llama3:
      out.add(word_step(WordPattern::llama3()));
      break;
    case P::qwen2:
      out.add(word_step(WordPattern::qwen2()));
      break;
    case P::digits_gpt2:
      out.add(digits_step(/*individual=*/true));
      out.add(word_step(WordPattern::gpt2()));
      break;
    case P::tekken:
      split(kTekken);
      break;
    case P::fallback:
      split(R"([\p{P}\$\+<=>\^~\|]+)");
      out.add(word_step(WordPattern::gpt2()));
      split(R"(\p{N}+)");
      split("[0-9][0-9][0-9]");
      break;
  }
  return out;
}

// tokenizer.ggml.model "gpt2"; whether such a model has a BOS before its texts.
bool build_byte_level(const json& metadata, TokenizerParts& parts, const std::string& where) {
  const PreTokenizerKind kind = kind_named(ggml(metadata, "pre"), where);
  const auto merges =
      read_merges(ggml(metadata, "merges"), parts.vocabulary, /*later_holds=*/false, where);
  parts.family = "byte-level BPE";
  parts.pre_tokenizer = pre_tokenizer_of(kind.pattern, where);
  parts.encoder = std::make_unique<ByteLevelBpe>(
      parts.vocabulary, merges,
      BpeOptions{.ignore_merges = kind.ignore_merges, .unknown_separates = true});
  parts.decode.byte_level = true;
  parts.bos = special_id(metadata, "bos_token_id", std::nullopt, parts.vocabulary, where);
  parts.eos = special_id(metadata, "eos_token_id", std::nullopt, parts.vocabulary, where);
  return kind.adds_bos;
}

// tokenizer.ggml.model "llama"
void build_sentencepiece(const json& metadata, TokenizerParts& parts, const std::string& where) {
  const auto scores =
      read_scores(ggml(metadata, "scores"), parts.vocabulary.contents.size(), where);
  const bool prefix = bool_field(metadata, "tokenizer.ggml.add_space_prefix", true, where);
  if (prefix) parts.normalizer.add(prepend_step(" "));
  parts.normalizer.add(replace_character_step(' ', "▁"));
  const auto unknown = special_id(metadata, "unknown_token_id", 0, parts.vocabulary, where);
  parts.encoder = SentencePieceBpe::from_scores(
      parts.vocabulary, scores, {.byte_fallback = true, .unknown = unknown.value_or(kNoToken)});
  parts.family = "SentencePiece BPE";
  parts.decode = {.byte_fallback = true, .space = "▁", .drop_first_space = prefix};
  parts.bos = special_id(metadata, "bos_token_id", 1, parts.vocabulary, where);
  parts.eos = special_id(metadata, "eos_token_id", 2, parts.vocabulary, where);
}

// The token that add_bos_token or add_eos_token wants before or behind a text. Where none is named,
// llama.cpp takes token 11 of a byte-level vocabulary, whatever it is.
std::vector<TokenId> added_around(const json& metadata, const std::string& which,
                                  bool adds_by_default, std::optional<TokenId> id,
                                  const std::string& where) {
  const std::string key = "tokenizer.ggml.add_" + which + "_token";
  if (!bool_field(metadata, key.c_str(), adds_by_default, where)) return {};
  if (id) return {*id};
  const bool is_told = !field(metadata, key.c_str()).is_null();
  refuse(where, "tokenizer.ggml." + which + "_token_id is missing, and " +
                    (is_told ? key + " is true" : "the pre-tokenizer adds one to texts"));
}

std::string decisive_metadata(const json& metadata) {
  std::string out;
  for (const char* key :
       {"model", "pre", "tokens", "token_type", "scores", "merges", "add_space_prefix"}) {
    out += ggml(metadata, key).dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  }
  return out;
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::from_gguf(const json& metadata, const std::string& where) {
  const std::string model = string_field(metadata, "tokenizer.ggml.model", where);
  if (model != "gpt2" && model != "llama") {
    refuse(where, "the tokenizer model " + in_quotes(model) +
                      " (tokenizer.ggml.model) is not supported (gpt2 and llama are)");
  }
  TokenizerParts parts;
  parts.vocabulary = read_tokens(ggml(metadata, "tokens"), where);
  parts.added = added_tokens(parts.vocabulary, read_types(ggml(metadata, "token_type"),
                                                          parts.vocabulary.contents.size(), where));
  bool adds_bos = true;
  if (model == "gpt2") {
    adds_bos = build_byte_level(metadata, parts, where);
  } else {
    build_sentencepiece(metadata, parts, where);
  }
  parts.leading = added_around(metadata, "bos", adds_bos, parts.bos, where);
  parts.trailing = added_around(metadata, "eos", false, parts.eos, where);
  parts.digest = sha256_hex(decisive_metadata(metadata));
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

}  // namespace tovamill
