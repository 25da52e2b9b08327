// Tokenizer::from_gguf: what llama.cpp makes of tokenizer.ggml.* (src/llama-vocab.cpp). As there,
// no text is normalised, not even for Qwen. Other than there, of overlapping added tokens the
// leftmost is taken, and no text makes a control token.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "engine/text/sha256.h"
#include "engine/tokenizer/bpe_tokenizer.h"
#include "engine/tokenizer/byte_level_bpe.h"
#include "engine/tokenizer/sentencepiece_bpe.h"
#include "engine/tokenizer/tokenizer_json.h"
#include "engine/tokenizer_files/gguf_pre_tokenizer.h"

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

// Beside Gemma 4's <|tool_response> a token </s> is an ordinary one, as in llama.cpp.
void make_ordinary(std::vector<TokenType>& types, const Vocabulary& vocabulary) {
  const TokenId end = vocabulary.find("</s>");
  if (end != kNoToken && vocabulary.find("<|tool_response>") != kNoToken)
    types[static_cast<std::size_t>(end)] = TokenType::normal;
}

// llama.cpp tells it by general.name.
bool is_phi3(const json& metadata) {
  const json& name = field(metadata, "general.name");
  std::string text = name.is_string() ? name.get<std::string>() : "";
  std::ranges::transform(text, text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text.find("phi-3") != std::string::npos || text.find("phi3") != std::string::npos;
}

// Control and user-defined tokens are searched for in the text (the former with parse_special
// only). Those of a Phi-3 take the white space behind them, but for three.
std::vector<AddedToken> added_tokens(Vocabulary& vocabulary, const std::vector<TokenType>& types,
                                     bool is_phi3) {
  std::vector<AddedToken> out;
  for (std::size_t id = 0; id < types.size(); ++id) {
    const bool special = types[id] == TokenType::control || types[id] == TokenType::unknown;
    if (!special && types[id] != TokenType::user_defined) continue;
    AddedToken token;
    token.id = static_cast<TokenId>(id);
    token.content = vocabulary.contents[id];
    token.special = special;
    token.rstrip = is_phi3 && token.content != "<unk>" && token.content != "<s>" &&
                   token.content != "<|endoftext|>";
    token.strips_ascii_only = true;
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

GgufPreTokenizer pre_tokenizer_of(const json& metadata, const std::string& where) {
  const json& pre = ggml(metadata, "pre");
  const std::string name = pre.is_string() ? pre.get<std::string>() : pre.dump();
  return gguf_pre_tokenizer(pre.is_null() || name.empty() ? "default" : name, where);
}

// tokenizer.ggml.model "gpt2"; whether such a model has a BOS before its texts.
bool build_byte_level(const json& metadata, TokenizerParts& parts, const std::string& where) {
  const GgufPreTokenizer pre = pre_tokenizer_of(metadata, where);
  const auto merges =
      read_merges(ggml(metadata, "merges"), parts.vocabulary, /*later_holds=*/false, where);
  parts.family = "byte-level BPE";
  parts.pre_tokenizer = pre.steps;
  parts.encoder = std::make_unique<ByteLevelBpe>(
      parts.vocabulary, merges,
      BpeOptions{.ignore_merges = pre.ignore_merges, .unknown_separates = true});
  parts.decode.byte_level = true;
  parts.bos = special_id(metadata, "bos_token_id", std::nullopt, parts.vocabulary, where);
  parts.eos = special_id(metadata, "eos_token_id", std::nullopt, parts.vocabulary, where);
  return pre.adds_bos;
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

// Pieces of line feeds that are a token as a whole, which no merge makes; others by merges.
class LineFeedRuns final : public PieceEncoder {
 public:
  LineFeedRuns(const Vocabulary& vocabulary, std::unique_ptr<PieceEncoder> others)
      : others_(std::move(others)) {
    for (std::size_t id = 0; id < vocabulary.contents.size(); ++id) {
      const std::string& content = vocabulary.contents[id];
      if (!vocabulary.control[id] && content.find_first_not_of('\n') == std::string::npos)
        runs_.emplace(content.size(), static_cast<TokenId>(id));
    }
  }

  void encode(std::string_view piece, PieceScratch& scratch,
              std::vector<TokenId>& ids) const override {
    const auto run = piece.front() == '\n' ? runs_.find(piece.size()) : runs_.end();
    if (run == runs_.end()) return others_->encode(piece, scratch, ids);
    ids.push_back(run->second);
  }

 private:
  std::unique_ptr<PieceEncoder> others_;
  std::unordered_map<std::size_t, TokenId> runs_;  // by length
};

// tokenizer.ggml.model or pre "gemma4": merges over characters, with ▁ for spaces.
void build_gemma4(const json& metadata, TokenizerParts& parts, const std::string& where) {
  for (const TokenId byte_token : parts.vocabulary.byte_tokens()) {
    if (byte_token == kNoToken) refuse(where, "one of the byte tokens <0x00> to <0xFF> is missing");
  }
  const auto merges =
      read_merges(ggml(metadata, "merges"), parts.vocabulary, /*later_holds=*/false, where);
  parts.normalizer.add(replace_character_step(' ', "▁"));
  parts.pre_tokenizer = gguf_pre_tokenizer("gemma4", where).steps;
  parts.encoder = std::make_unique<LineFeedRuns>(
      parts.vocabulary, std::make_unique<SentencePieceBpe>(parts.vocabulary, merges,
                                                           BpeOptions{.byte_fallback = true}));
  parts.family = "SentencePiece-style BPE";
  parts.decode = {.byte_fallback = true, .space = "▁"};
  parts.bos = special_id(metadata, "bos_token_id", std::nullopt, parts.vocabulary, where);
  parts.eos = special_id(metadata, "eos_token_id", std::nullopt, parts.vocabulary, where);
}

// Always before a text, whatever add_bos_token says.
std::vector<TokenId> gemma4_bos(const TokenizerParts& parts, const std::string& where) {
  if (!parts.bos) refuse(where, "tokenizer.ggml.bos_token_id is missing, and gemma4 adds one");
  return {*parts.bos};
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
  if (model != "gpt2" && model != "llama" && model != "gemma4") {
    refuse(where, "the tokenizer model " + in_quotes(model) +
                      " (tokenizer.ggml.model) is not supported (gpt2, llama and gemma4 are)");
  }
  TokenizerParts parts;
  parts.vocabulary = read_tokens(ggml(metadata, "tokens"), where);
  auto types = read_types(ggml(metadata, "token_type"), parts.vocabulary.contents.size(), where);
  make_ordinary(types, parts.vocabulary);
  parts.added = added_tokens(parts.vocabulary, types, is_phi3(metadata));
  const bool is_gemma4 =
      model == "gemma4" || (model == "gpt2" && ggml(metadata, "pre") == "gemma4");
  bool adds_bos = true;
  if (is_gemma4) {
    build_gemma4(metadata, parts, where);
  } else if (model == "gpt2") {
    adds_bos = build_byte_level(metadata, parts, where);
  } else {
    build_sentencepiece(metadata, parts, where);
  }
  parts.leading = is_gemma4 ? gemma4_bos(parts, where)
                            : added_around(metadata, "bos", adds_bos, parts.bos, where);
  parts.trailing = added_around(metadata, "eos", false, parts.eos, where);
  parts.digest = sha256_hex(decisive_metadata(metadata));
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

}  // namespace tovamill
