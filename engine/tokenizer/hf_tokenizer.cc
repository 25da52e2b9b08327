// Tokenizer::from_hf: the model, added tokens, decoder and post-processor of a tokenizer.json of
// Hugging Face `tokenizers`. Normalizers and pre-tokenizers are read in hf_text_steps.cc. Left out:
// dropout, truncation and padding (the latter two ignored: documents are encoded whole).
#include <algorithm>

#include "engine/text/sha256.h"
#include "engine/tokenizer/bpe_tokenizer.h"
#include "engine/tokenizer/byte_level_bpe.h"
#include "engine/tokenizer/hf_text_steps.h"
#include "engine/tokenizer/sentencepiece_bpe.h"
#include "engine/tokenizer/tokenizer_json.h"

namespace tovamill {
namespace {

using nlohmann::json;

// The model's vocabulary: an object of content -> id.
Vocabulary read_vocabulary(const json& vocab, const std::string& where) {
  if (!vocab.is_object() || vocab.empty())
    refuse(where, "the vocabulary is missing, empty or not an object");
  Vocabulary vocabulary;
  vocabulary.ids.reserve(vocab.size());
  for (const auto& [content, id] : vocab.items()) {
    if (content.empty()) refuse(where, "the vocabulary holds an empty token");
    add_content(vocabulary, content, id_value(id, in_quotes(content), where), where);
  }
  return vocabulary;
}

AddedToken read_added_token(const json& entry, const std::string& where) {
  AddedToken token;
  token.content = string_field(entry, "content", where);
  token.id = id_value(field(entry, "id"), in_quotes(token.content), where);
  token.special = bool_field(entry, "special", false, where);
  token.single_word = bool_field(entry, "single_word", false, where);
  token.lstrip = bool_field(entry, "lstrip", false, where);
  token.rstrip = bool_field(entry, "rstrip", false, where);
  token.normalized = bool_field(entry, "normalized", !token.special, where);
  return token;
}

// Reads the added tokens and puts them into the vocabulary, where some of them already are.
// `tokenizers` numbers the others itself, one after the other; a file with other ids is
// refused: they are not those that the model was trained with.
std::vector<AddedToken> read_added_tokens(const json& entries, Vocabulary& vocabulary,
                                          const std::string& where) {
  std::vector<AddedToken> out;
  if (entries.is_null()) return out;
  if (!entries.is_array()) refuse(where, "'added_tokens' is not an array");
  auto next = static_cast<TokenId>(vocabulary.ids.size());
  for (const auto& entry : entries) {
    AddedToken token = read_added_token(entry, where + ", added_tokens");
    if (token.content.empty()) continue;
    const TokenId known = vocabulary.find(token.content);
    const TokenId id = known == kNoToken ? next : known;
    if (token.id != id) {
      refuse(where, "the added token " + in_quotes(token.content) + " has the id " +
                        std::to_string(token.id) + " where " + std::to_string(id) + " is due");
    }
    if (known == kNoToken) add_content(vocabulary, token.content, id, where);
    next = std::max(next, id + 1);
    if (token.is_control()) vocabulary.control[static_cast<std::size_t>(id)] = true;
    out.push_back(std::move(token));
  }
  return out;
}

BpeOptions read_options(const json& model, const Vocabulary& vocabulary, const std::string& where) {
  const auto& dropout = field(model, "dropout");
  if (!dropout.is_null() && !(dropout.is_number() && dropout.get<double>() == 0))
    refuse(where, "dropout is not supported");
  const std::string no_affix;
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const auto& affix = field(model, key);
    if (!affix.is_null() && affix != no_affix)
      refuse(where, std::string("'") + key + "' is not supported");
  }
  BpeOptions options;
  options.byte_fallback = bool_field(model, "byte_fallback", false, where);
  options.fuse_unknown = bool_field(model, "fuse_unk", false, where);
  options.ignore_merges = bool_field(model, "ignore_merges", false, where);
  if (!field(model, "unk_token").is_null()) {
    const std::string content = string_field(model, "unk_token", where);
    options.unknown = vocabulary.find(content);
    if (options.unknown == kNoToken)
      refuse(where, "the unknown token " + in_quotes(content) + " is not in the vocabulary");
  }
  return options;
}

void read_strip(const json& decoder, DecodeRules& rules, const std::string& where) {
  if (string_field(decoder, "content", where) != " " || field(decoder, "start") != 1 ||
      field(decoder, "stop") != 0) {
    refuse(where, "a decoder Strip of something else than one space at the start is not supported");
  }
  rules.drop_first_space = true;
}

void read_decoder(const json& decoder, DecodeRules& rules, const std::string& where) {
  if (decoder.is_null()) return;
  const std::string type = string_field(decoder, "type", where);
  if (type == "Sequence") {
    const auto& decoders = field(decoder, "decoders");
    if (!decoders.is_array()) refuse(where, "'decoders' is not an array");
    for (const auto& inner : decoders) read_decoder(inner, rules, where);
  } else if (type == "ByteLevel") {
    rules.byte_level = true;
  } else if (type == "ByteFallback") {
    rules.byte_fallback = true;
  } else if (type == "Metaspace") {
    rules.space = string_field(decoder, "replacement", where);
    const auto& scheme = field(decoder, "prepend_scheme");
    const bool never = scheme.is_string() ? scheme == "never"
                                          : !bool_field(decoder, "add_prefix_space", true, where);
    rules.drop_first_spaces = !never;
  } else if (type == "Replace") {
    if (field(decoder, "content") != " ")
      refuse(where, "a decoder Replace by something else than a space is not supported");
    rules.space = string_field(field(decoder, "pattern"), "String", where);
  } else if (type == "Strip") {
    read_strip(decoder, rules, where);
  } else if (type != "Fuse") {
    refuse(where, "the decoder " + in_quotes(type) + " is not supported");
  }
}

// The token that the post-processor puts before a text; empty: none.
std::string leading_token(const json& processor, const std::string& where) {
  if (processor.is_null()) return {};
  const std::string type = string_field(processor, "type", where);
  if (type == "ByteLevel") return {};
  if (type == "Sequence") {
    std::string found;
    const auto& processors = field(processor, "processors");
    if (!processors.is_array()) refuse(where, "'processors' is not an array");
    for (const auto& inner : processors) {
      if (std::string token = leading_token(inner, where); !token.empty()) found = token;
    }
    return found;
  }
  if (type != "TemplateProcessing")
    refuse(where, "the post-processor " + in_quotes(type) + " is not supported");
  const auto& single = field(processor, "single");
  if (!single.is_array()) refuse(where, "the template 'single' is not an array");
  if (single.empty() || !field(single[0], "SpecialToken").is_object()) return {};
  return string_field(field(single[0], "SpecialToken"), "id", where);
}

// The id of the token that tokenizer_config.json names under `key`, as a text or as an added
// token's object.
std::optional<TokenId> configured_token(const json& config, const char* key,
                                        const Vocabulary& vocabulary, const std::string& where) {
  const auto& value = field(config, key);
  if (value.is_null()) return std::nullopt;
  const std::string content =
      value.is_string() ? value.get<std::string>() : string_field(value, "content", where);
  const TokenId id = vocabulary.find(content);
  if (id == kNoToken)
    refuse(where,
           std::string("the ") + key + " " + in_quotes(content) + " is not in the vocabulary");
  return id;
}

void read_bos_and_eos(const json& tokenizer, const json& config, TokenizerParts& parts,
                      const std::string& where) {
  const std::string leading = leading_token(field(tokenizer, "post_processor"), where);
  parts.bos = configured_token(config, "bos_token", parts.vocabulary, where);
  parts.eos = configured_token(config, "eos_token", parts.vocabulary, where);
  if (!leading.empty()) {
    const TokenId id = parts.vocabulary.find(leading);
    if (id == kNoToken)
      refuse(where,
             "the post-processor's token " + in_quotes(leading) + " is not in the vocabulary");
    parts.bos = parts.bos.value_or(id);
  }
  parts.adds_bos = parts.bos && bool_field(config, "add_bos_token", !leading.empty(), where);
}

// Everything that decides the ids, as text: equal files have equal texts, for the keys of objects
// are sorted.
std::string decisive_fields(const json& tokenizer) {
  std::string out;
  for (const char* key : {"added_tokens", "normalizer", "pre_tokenizer", "model"}) {
    out += field(tokenizer, key).dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  }
  return out;
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::from_hf(const json& tokenizer, const json& tokenizer_config,
                                              const std::string& where) {
  const auto& model = field(tokenizer, "model");
  if (!model.is_object()) refuse(where, "it holds no 'model'");
  const auto& type = field(model, "type");
  if (!type.is_null() && type != "BPE") {
    refuse(where, "the tokenizer model " +
                      in_quotes(type.is_string() ? type.get<std::string>() : type.dump()) +
                      " is not supported (only BPE is)");
  }
  TokenizerParts parts;
  parts.vocabulary = read_vocabulary(field(model, "vocab"), where);
  const BpeOptions options = read_options(model, parts.vocabulary, where);
  parts.added = read_added_tokens(field(tokenizer, "added_tokens"), parts.vocabulary, where);
  const auto merges =
      read_merges(field(model, "merges"), parts.vocabulary, /*later_holds=*/true, where);
  parts.normalizer = read_normalizer(field(tokenizer, "normalizer"), where);
  bool byte_level = false;
  parts.pre_tokenizer = read_pre_tokenizer(field(tokenizer, "pre_tokenizer"), byte_level, where);
  if (byte_level) {
    parts.encoder = std::make_unique<ByteLevelBpe>(parts.vocabulary, merges, options);
  } else {
    parts.encoder = std::make_unique<SentencePieceBpe>(parts.vocabulary, merges, options);
  }
  parts.family = byte_level ? "byte-level BPE" : "SentencePiece-style BPE";
  read_decoder(field(tokenizer, "decoder"), parts.decode, where);
  read_bos_and_eos(tokenizer, tokenizer_config, parts, where);
  parts.digest = sha256_hex(decisive_fields(tokenizer));
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

}  // namespace tovamill
