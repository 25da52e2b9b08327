// Tokenizer::from_hf: the model, added tokens and decoder of a tokenizer.json of Hugging Face
// `tokenizers`. Normalizers and pre-tokenizers are read in hf_text_steps.cc, post-processors in
// post_processor.cc, the files beside it in auto_tokenizer.cc. Left out:
// dropout, truncation and padding (the latter two ignored: documents are encoded whole).
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>

#include "engine/text/sha256.h"
#include "engine/tokenizer/bpe_tokenizer.h"
#include "engine/tokenizer/byte_level_bpe.h"
#include "engine/tokenizer/sentencepiece_bpe.h"
#include "engine/tokenizer/tokenizer_json.h"
#include "engine/tokenizer/unigram.h"
#include "engine/tokenizer_files/auto_tokenizer.h"
#include "engine/tokenizer_files/hf_text_steps.h"
#include "engine/tokenizer_files/post_processor.h"

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

// `score` as `tokenizers` reads its shortest decimal form: the digits as one number, scaled by a
// power of ten, each rounded, which may be off in the last bit and decides between ways to cut a
// text whose sums are equal.
double score_as_read(double score) {
  std::array<char, 40> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), std::abs(score),
                                 std::chars_format::scientific);
  std::uint64_t digits = 0;
  int exponent = 0;
  const char* at = text.data();
  for (bool behind_point = false; at < end.ptr && *at != 'e'; ++at) {
    if (*at == '.') {
      behind_point = true;
      continue;
    }
    digits = 10 * digits + static_cast<std::uint64_t>(*at - '0');
    exponent -= behind_point ? 1 : 0;
  }
  exponent += std::stoi(std::string(at + 1, static_cast<const char*>(end.ptr)));
  auto value = static_cast<double>(digits);
  constexpr int kLargest = 308;
  for (; exponent < -kLargest; exponent += kLargest) value /= 1e308;
  const double power = std::stod("1e" + std::to_string(std::abs(exponent)));
  return std::copysign(exponent < 0 ? value / power : value * power, score);
}

// The vocabulary of a Unigram: a list of [content, score], the ids in order.
Vocabulary read_unigram_vocabulary(const json& vocab, std::vector<double>& scores,
                                   const std::string& where) {
  if (!vocab.is_array() || vocab.empty())
    refuse(where, "the vocabulary of the Unigram is missing, empty or not an array");
  if (vocab.size() > static_cast<std::size_t>(kMaxVocabulary))
    refuse(where, "the vocabulary is too long");
  Vocabulary vocabulary;
  vocabulary.ids.reserve(vocab.size());
  for (const json& entry : vocab) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number() ||
        entry[0].get_ref<const std::string&>().empty())
      refuse(where, "the vocabulary of the Unigram holds something else than texts and scores");
    const auto score = entry[1].get<double>();
    scores.push_back(entry[1].is_number_float() ? score_as_read(score) : score);
    if (!std::isfinite(scores.back())) refuse(where, "a score of the Unigram is not finite");
    add_content(vocabulary, entry[0].get<std::string>(),
                static_cast<TokenId>(vocabulary.contents.size()), where);
  }
  // From here on unknown characters would cost less than a token.
  if (std::ranges::min(scores) > 10) refuse(where, "the scores of the Unigram are all above 10");
  return vocabulary;
}

UnigramOptions read_unigram_options(const json& model, const Vocabulary& vocabulary,
                                    const std::string& where) {
  UnigramOptions options;
  options.byte_fallback = bool_field(model, "byte_fallback", false, where);
  const json& unknown = field(model, "unk_id");
  if (unknown.is_null()) return options;
  options.unknown = id_value(unknown, "the unknown token", where);
  if (static_cast<std::size_t>(options.unknown) >= vocabulary.contents.size())
    refuse(where, "'unk_id' is beyond the vocabulary");
  return options;
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

void read_bos_and_eos(const AutoTokenizerSettings& settings, TokenizerParts& parts) {
  const auto id_of = [&](const char* name) -> std::optional<TokenId> {
    const auto token = settings.special_tokens.find(name);
    if (token == settings.special_tokens.end()) return std::nullopt;
    return parts.vocabulary.find(token->second);
  };
  parts.bos = id_of("bos_token");
  parts.eos = id_of("eos_token");
  if (!parts.bos && !parts.leading.empty()) parts.bos = parts.leading.front();
}

// add_bos_token and add_eos_token say what the post-processor does, which alone counts.
void check_flags(const json& config, const TokenizerParts& parts, const std::string& where) {
  const auto check = [&](const char* key, bool is_so, const char* place) {
    if (bool_field(config, key, is_so, where) == is_so) return;
    refuse(where, std::string("'") + key + "' is " + (is_so ? "false" : "true") +
                      ", but the post-processor of tokenizer.json puts " + (is_so ? "a" : "no") +
                      " token " + place +
                      " a text, which is what counts in transformers 5 (take "
                      "the key out of tokenizer_config.json, or change the post-processor)");
  };
  check("add_bos_token", !parts.leading.empty(), "before");
  check("add_eos_token", !parts.trailing.empty(), "behind");
}

// Everything that decides the ids, as text: equal files have equal texts, for the keys of objects
// are sorted.
std::string decisive_fields(const AutoTokenizerSettings& settings, const json& model) {
  std::string out;
  const auto add = [&](const json& value) {
    out += value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  };
  add(settings.added_tokens);
  add(settings.normalizer);
  add(settings.pre_tokenizer);
  add(model);
  if (settings.has_own_rules) add(settings.model);
  return out;
}

bool has_inner_step(const json& step, const char* list,
                    const std::function<bool(const json&)>& is) {
  if (is(step)) return true;
  for (const json& inner : field(step, list)) {
    if (has_inner_step(inner, list, is)) return true;
  }
  return false;
}

// Metaspace's "first" is told by where a text began before it was normalised: what takes the first
// characters away there leaves it without its ▁.
void refuse_lost_beginnings(const AutoTokenizerSettings& settings, const std::string& where) {
  const bool has_first =
      has_inner_step(settings.pre_tokenizer, "pretokenizers", [](const json& step) {
        return field(step, "type") == "Metaspace" && field(step, "prepend_scheme") == "first";
      });
  const bool may_delete = has_inner_step(settings.normalizer, "normalizers", [](const json& step) {
    const json &type = field(step, "type"), &content = field(step, "content");
    const bool is_empty = content.is_string() && content.get_ref<const std::string&>().empty();
    return type == "Strip" || type == "StripAccents" || type == "Nmt" ||
           (type == "Replace" && is_empty);
  });
  if (has_first && may_delete) {
    refuse(where,
           "the prepend_scheme 'first' behind a normalizer that deletes characters is not "
           "supported");
  }
}

// A model without a type is a BPE, where it has merges.
bool is_unigram_model(const json& model, const std::string& where) {
  const json& type = field(model, "type");
  if (type.is_null() || type == "BPE") return false;
  if (type == "Unigram") return true;
  refuse(where, "the tokenizer model " +
                    in_quotes(type.is_string() ? type.get<std::string>() : type.dump()) +
                    " is not supported (BPE and Unigram are)");
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::from_hf(const HfTokenizerFiles& files,
                                              const std::string& where) {
  const auto& model = field(files.tokenizer, "model");
  if (!model.is_object()) refuse(where, "it holds no 'model'");
  const bool is_unigram = is_unigram_model(model, where);
  TokenizerParts parts;
  std::vector<double> scores;
  parts.vocabulary = is_unigram ? read_unigram_vocabulary(field(model, "vocab"), scores, where)
                                : read_vocabulary(field(model, "vocab"), where);
  const AutoTokenizerSettings settings = read_auto_tokenizer(files, where);
  if (is_unigram && settings.has_own_rules)
    refuse(where, "the tokenizer_class is one of a BPE, but the model is a Unigram");
  parts.note = settings.note;
  const auto read_added = [&] {
    parts.added = read_added_tokens(settings.added_tokens, parts.vocabulary, where);
  };
  refuse_lost_beginnings(settings, where);
  parts.normalizer = read_normalizer(settings.normalizer, where);
  bool byte_level = false;
  parts.pre_tokenizer = read_pre_tokenizer(settings.pre_tokenizer, byte_level, where);
  if (is_unigram) {
    const UnigramOptions options = read_unigram_options(model, parts.vocabulary, where);
    if (byte_level) refuse(where, "a Unigram behind ByteLevel is not supported");
    read_added();
    parts.encoder = std::make_unique<Unigram>(parts.vocabulary, scores, options, where);
    parts.family = "Unigram";
  } else {
    const BpeOptions options = read_options(settings.model, parts.vocabulary, where);
    read_added();
    const auto merges =
        read_merges(field(model, "merges"), parts.vocabulary, /*later_holds=*/true, where);
    if (byte_level) {
      parts.encoder = std::make_unique<ByteLevelBpe>(parts.vocabulary, merges, options);
    } else {
      parts.encoder = std::make_unique<SentencePieceBpe>(parts.vocabulary, merges, options);
    }
    parts.family = byte_level ? "byte-level BPE" : "SentencePiece-style BPE";
  }
  read_decoder(settings.decoder, parts.decode, where);
  const PostProcessor around =
      read_post_processor(field(files.tokenizer, "post_processor"), parts.vocabulary, where);
  parts.leading = around.leading;
  parts.trailing = around.trailing;
  check_flags(files.tokenizer_config, parts, where);
  read_bos_and_eos(settings, parts);
  parts.digest = sha256_hex(decisive_fields(settings, model));
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

std::unique_ptr<Tokenizer> Tokenizer::from_hf(const json& tokenizer, const json& tokenizer_config,
                                              const std::string& where) {
  const json null;
  return from_hf(HfTokenizerFiles{tokenizer, tokenizer_config, null, null, null}, where);
}

}  // namespace tovamill
