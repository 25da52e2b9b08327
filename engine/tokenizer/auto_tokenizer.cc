#include "engine/tokenizer/auto_tokenizer.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/tokenizer/tokenizer_json.h"
#include "engine/tokenizer/word_pattern.h"

namespace tovamill {
namespace {

using nlohmann::json;

// Whose rules hold: the file's, or those of transformers' LlamaTokenizer, Qwen2Tokenizer,
// GPT2Tokenizer.
enum class Rules { file, llama, qwen2, gpt2 };

constexpr std::array kNamedTokens{"bos_token", "eos_token", "unk_token", "sep_token",
                                  "pad_token", "cls_token", "mask_token"};

std::string without_fast(std::string name) {
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  return name;
}

std::string text_or_empty(const json& object, const char* key, const std::string& where) {
  return field(object, key).is_null() ? std::string() : string_field(object, key, where);
}

// Whether a pre-tokenizer, decoder or post-processor is, or has in its Sequence, one of `type`.
bool has_step(const json& step, std::string_view type) {
  if (!step.is_object()) return false;
  if (field(step, "type") == type) return true;
  for (const char* key : {"pretokenizers", "decoders", "processors"}) {
    for (const json& inner : field(step, key)) {
      if (has_step(inner, type)) return true;
    }
  }
  return false;
}

bool is_byte_level(const json& tokenizer) {
  return has_step(field(tokenizer, "pre_tokenizer"), "ByteLevel") ||
         has_step(field(tokenizer, "decoder"), "ByteLevel") ||
         has_step(field(tokenizer, "post_processor"), "ByteLevel");
}

// AutoTokenizer.from_pretrained's choice of a class.
Rules choose_rules(const HfTokenizerFiles& files, const json& config, const std::string& where) {
  const std::string model_type = text_or_empty(files.config, "model_type", where);
  std::string name = text_or_empty(config, "tokenizer_class", where);
  if (name.empty()) name = text_or_empty(files.config, "tokenizer_class", where);
  name = without_fast(name);
  if (model_type == "qwen2") return Rules::qwen2;
  if (model_type == "mistral") return Rules::file;
  if (name.empty()) return model_type == "qwen3" ? Rules::qwen2 : Rules::file;
  if (name == "PreTrainedTokenizer" || name == "TokenizersBackend") return Rules::file;
  if (name == "LlamaTokenizer") return is_byte_level(files.tokenizer) ? Rules::file : Rules::llama;
  if (name == "Qwen2Tokenizer") return Rules::qwen2;
  if (name == "GPT2Tokenizer") return Rules::gpt2;
  refuse(where, "the tokenizer_class " + in_quotes(name) +
                    " is not supported (PreTrainedTokenizerFast, LlamaTokenizer, Qwen2Tokenizer "
                    "and GPT2Tokenizer are)");
}

json split_by_qwen2(bool add_prefix_space) {
  return {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"},
         {"pattern", {{"Regex", WordPattern::qwen2_regex()}}},
         {"behavior", "Isolated"},
         {"invert", false}},
        {{"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"use_regex", false}}}}};
}

// A pre-tokenizer of the file that cuts and that GPT2Tokenizer of transformers 5 drops; empty where
// there is none. Files such as SmolLM2's name that class and were trained with their Digits, which
// transformers 4 kept (huggingface/transformers#45920).
std::string step_dropped_by_gpt2(const json& tokenizer) {
  for (const char* type : {"Split", "Digits", "Metaspace"}) {
    if (has_step(field(tokenizer, "pre_tokenizer"), type)) return type;
  }
  return "";
}

// Where another class with rules of its own would drop a step that cuts, the file is how the model
// was trained, and the class an error of its configuration.
void check_steps(const json& tokenizer, Rules rules, const std::string& where) {
  const json& steps = field(tokenizer, "pre_tokenizer");
  const auto drops = [&](std::string_view type) {
    if (!has_step(steps, type)) return;
    refuse(where,
           "tokenizer_class or model_type choose a class of transformers 5 that drops the "
           "pre-tokenizer " +
               in_quotes(type) +
               " of tokenizer.json (take tokenizer_class out of tokenizer_config.json to "
               "have tokenizer.json as it stands)");
  };
  if (rules == Rules::gpt2) return;
  if (rules == Rules::llama) {
    for (const char* type : {"Split", "Digits"}) drops(type);
  } else {
    for (const char* type : {"Digits", "Metaspace"}) drops(type);
  }
}

void apply_llama(const json& config, AutoTokenizerSettings& out, const std::string& where) {
  const bool prefix = bool_field(config, "add_prefix_space", true, where);
  const bool legacy = bool_field(config, "legacy", false, where);
  out.normalizer = nullptr;
  out.pre_tokenizer = {{"type", "Metaspace"},
                       {"replacement", "▁"},
                       {"prepend_scheme", !prefix  ? "never"
                                          : legacy ? "always"
                                                   : "first"},
                       {"split", false}};
  json decoders = {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
                   {{"type", "ByteFallback"}},
                   {{"type", "Fuse"}}};
  if (prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  out.decoder = {{"type", "Sequence"}, {"decoders", decoders}};
  out.model = {{"byte_fallback", true}, {"fuse_unk", true}};
}

// What the class of `rules` builds in place of the file's steps.
void apply_class(Rules rules, const json& config, AutoTokenizerSettings& out,
                 const std::string& where) {
  if (rules == Rules::llama) return apply_llama(config, out, where);
  const bool prefix = bool_field(config, "add_prefix_space", false, where);
  out.decoder = {{"type", "ByteLevel"}};
  out.model = json::object();
  if (rules == Rules::qwen2) {
    out.normalizer = {{"type", "NFC"}};
    out.pre_tokenizer = split_by_qwen2(prefix);
  } else {
    out.normalizer = nullptr;
    out.pre_tokenizer = {{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"use_regex", true}};
  }
}

// Fields that change what the tokenizer does in ways that are not done here.
void check_config(const json& config, const std::string& where) {
  const auto is_set = [&](const char* key) {
    const json& value = field(config, key);
    return !(value.is_null() || value == false || (value.is_structured() && value.empty()));
  };
  for (const char* key : {"split_special_tokens", "auto_map", "init_inputs", "fix_mistral_regex",
                          "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
                          "post_processor", "tokenizer_object", "vocab", "merges", "gguf_file",
                          "tokenizer_truncation", "tokenizer_padding"}) {
    if (is_set(key)) refuse(where, std::string("'") + key + "' is not supported");
  }
  for (const json& name : field(config, "fast_tokenizer_files")) {
    if (name != "tokenizer.json")
      refuse(where, "'fast_tokenizer_files' names another file than tokenizer.json");
  }
}

// tokenizer_config.json with special_tokens_map.json laid over it, which counts only where there is
// no added_tokens_decoder.
json merged_config(const HfTokenizerFiles& files, const std::string& where) {
  json out = files.tokenizer_config.is_object() ? files.tokenizer_config : json::object();
  const auto moved = out.find("additional_special_tokens");
  const json& extra = field(out, "extra_special_tokens");
  if (moved != out.end() && (extra.is_null() || extra.empty())) {
    out["extra_special_tokens"] = *moved;
    out.erase("additional_special_tokens");
  }
  if (!out.contains("added_tokens_decoder") && files.special_tokens_map.is_object()) {
    for (const auto& [key, value] : files.special_tokens_map.items()) {
      if (!key.ends_with("_token") && !key.ends_with("_special_tokens"))
        refuse(where, "special_tokens_map.json: '" + key + "' is not supported");
      const json& before = field(out, key.c_str());
      if (key != "extra_special_tokens" || before.empty() || !before.is_array()) {
        out[key] = value;
        continue;
      }
      for (const json& token : value) {
        if (std::ranges::find(before, token) == before.end()) out[key].push_back(token);
      }
    }
  }
  const json& more = field(out, "additional_special_tokens");
  if (!out.contains("extra_special_tokens")) {
    out["extra_special_tokens"] = more;
  } else if (!more.empty() && !field(out, "extra_special_tokens").empty() &&
             more != field(out, "extra_special_tokens")) {
    refuse(where, "'additional_special_tokens' beside 'extra_special_tokens' is not supported");
  }
  check_config(out, where);
  return out;
}

// An added token as tokenizer.json has it, with an `id` where `id` is not null; from a text (then
// it is special) or an object.
json added_token(const json& value, const json& id, const std::string& where) {
  const bool is_text = value.is_string();
  json out;
  out["content"] = is_text ? value : json(string_field(value, "content", where));
  const bool special = is_text || bool_field(value, "special", false, where);
  out["special"] = special;
  for (const char* key : {"single_word", "lstrip", "rstrip"})
    out[key] = !is_text && bool_field(value, key, false, where);
  out["normalized"] = !is_text && bool_field(value, "normalized", !special, where);
  out["id"] = id;
  return out;
}

class AddedTokens {
 public:
  AddedTokens(const json& vocabulary, std::string where)
      : vocabulary_(vocabulary), where_(std::move(where)) {}

  // Takes a token with its id; one that is there already must be the same.
  void add(const json& token) {
    const auto [known, is_new] =
        places_.emplace(token["content"].get<std::string>(), tokens_.size());
    if (is_new) {
      tokens_.push_back(token);
    } else if (tokens_[known->second] != token) {
      refuse(where_,
             "the added token " + in_quotes(known->first) + " is there twice, and differently");
    }
  }

  // A special token that is in the vocabulary and no added token yet becomes one. One that is there
  // must have no flags where `must_be_plain`.
  void add_special(const json& value, const std::string& name, bool must_be_plain) {
    json token = added_token(value, nullptr, where_);
    const auto content = token["content"].get<std::string>();
    if (const auto known = places_.find(content); known != places_.end()) {
      const json& there = tokens_[known->second];
      if (must_be_plain && there != added_token(content, there["id"], where_))
        refuse(where_,
               "the " + name + " " + in_quotes(content) + " has flags that Qwen2Tokenizer drops");
      return;
    }
    const auto entry = vocabulary_.find(content);
    if (entry == vocabulary_.end())
      refuse(where_, "the " + name + " " + in_quotes(content) + " is not in the vocabulary");
    token["special"] = true;
    token["id"] = *entry;
    places_.emplace(content, tokens_.size());
    tokens_.push_back(std::move(token));
  }

  json take() { return std::move(tokens_); }
  std::size_t size() const { return tokens_.size(); }

 private:
  const json& vocabulary_;
  std::string where_;
  json tokens_ = json::array();
  std::unordered_map<std::string, std::size_t> places_;  // by content, of tokens_
};

// The tokens that transformers adds by number: those of added_tokens_decoder, or else of
// added_tokens.json with those of tokenizer.json laid over them.
std::map<std::int64_t, json> numbered_tokens(const HfTokenizerFiles& files, const json& config,
                                             const std::string& where) {
  std::map<std::int64_t, json> out;
  const json& decoder = field(config, "added_tokens_decoder");
  if (config.contains("added_tokens_decoder")) {
    if (!decoder.is_object()) refuse(where, "'added_tokens_decoder' is not an object");
    for (const auto& [key, value] : decoder.items()) {
      const json id = json::parse(key, nullptr, /*allow_exceptions=*/false);
      if (!value.is_object())
        refuse(where, "'added_tokens_decoder' holds something else than tokens");
      out[id_value(id, in_quotes(key), where)] = added_token(value, id, where);
    }
    return out;
  }
  if (!files.added_tokens.is_null()) {
    if (!files.added_tokens.is_object()) refuse(where, "added_tokens.json is not an object");
    std::vector<json> special;
    for (const char* name : kNamedTokens) special.push_back(field(config, name));
    for (const json& token : field(config, "extra_special_tokens")) special.push_back(token);
    for (const auto& entry : files.added_tokens.items()) {
      const std::string& content = entry.key();
      const json& id = entry.value();
      const bool is_special = std::ranges::any_of(special, [&](const json& token) {
        return token == content || field(token, "content") == content;
      });
      out[id_value(id, in_quotes(content), where)] =
          added_token({{"content", content}, {"special", is_special}}, id, where);
    }
  }
  for (const json& token : field(files.tokenizer, "added_tokens"))
    out[id_value(field(token, "id"), "an added token", where)] =
        added_token(token, field(token, "id"), where);
  return out;
}

// Special tokens by name: those of the configuration, and for a class what it has without them.
std::map<std::string, json> named_tokens(const json& config, Rules rules,
                                         const std::string& where) {
  std::map<std::string, json> out;
  const auto set_default = [&](const char* name, const char* content) {
    if (!config.contains(name)) out[name] = content;
  };
  if (rules == Rules::llama) {
    set_default("bos_token", "<s>");
    set_default("eos_token", "</s>");
    set_default("unk_token", "<unk>");
  } else if (rules != Rules::file) {
    set_default(rules == Rules::qwen2 ? "pad_token" : "bos_token", "<|endoftext|>");
    set_default("eos_token", "<|endoftext|>");
    set_default("unk_token", "<|endoftext|>");
  }
  for (const auto& [key, value] : config.items()) {
    const bool is_standard = std::ranges::find(kNamedTokens, key) != kNamedTokens.end();
    if (value.is_null() || !key.ends_with("_token") || (!is_standard && !value.is_string()))
      continue;
    if (!value.is_string() && !field(value, "content").is_string())
      refuse(where, "'" + key + "' is neither a text nor an added token");
    out[key] = value;
  }
  const json& extra = field(config, "extra_special_tokens");
  if (!extra.is_object()) return out;
  for (const auto& [key, value] : extra.items()) {
    if (!value.is_string()) refuse(where, "'extra_special_tokens' holds something else than texts");
    out[key] = value;
  }
  return out;
}

json model_options(const json& model) {
  json out = json::object();
  if (!model.is_object()) return out;
  for (const auto& [key, value] : model.items()) {
    if (key != "vocab" && key != "merges") out[key] = value;
  }
  return out;
}

}  // namespace

AutoTokenizerSettings read_auto_tokenizer(const HfTokenizerFiles& files, const std::string& where) {
  const json config = merged_config(files, where);
  Rules rules = choose_rules(files, config, where);
  const std::string dropped =
      rules == Rules::gpt2 ? step_dropped_by_gpt2(files.tokenizer) : std::string();
  if (!dropped.empty()) rules = Rules::file;
  AutoTokenizerSettings out{.normalizer = field(files.tokenizer, "normalizer"),
                            .pre_tokenizer = field(files.tokenizer, "pre_tokenizer"),
                            .decoder = field(files.tokenizer, "decoder"),
                            .model = model_options(field(files.tokenizer, "model")),
                            .has_own_rules = rules != Rules::file,
                            .added_tokens = json::array(),
                            .special_tokens = {},
                            .note = {}};
  if (!dropped.empty())
    out.note =
        "with the " + dropped + " of tokenizer.json, which GPT2Tokenizer of transformers 5 drops";
  const json& vocabulary = field(field(files.tokenizer, "model"), "vocab");
  AddedTokens added(vocabulary, where);
  if (rules == Rules::file) {
    for (const json& token : field(files.tokenizer, "added_tokens"))
      added.add(added_token(token, field(token, "id"), where));
  } else {
    check_steps(files.tokenizer, rules, where);
    apply_class(rules, config, out, where);
  }
  const std::size_t n_in_file = added.size();
  for (const auto& [id, token] : numbered_tokens(files, config, where)) added.add(token);
  for (const auto& [name, value] : named_tokens(config, rules, where)) {
    added.add_special(value, name, rules == Rules::qwen2);
    out.special_tokens[name] =
        value.is_string() ? value.get<std::string>() : string_field(value, "content", where);
  }
  const json& extra = field(config, "extra_special_tokens");
  if (!extra.is_null() && !extra.is_structured())
    refuse(where, "'extra_special_tokens' is neither a list nor an object");
  if (extra.is_array()) {
    for (const json& token : extra)
      added.add_special(token, "extra special token", rules == Rules::qwen2);
  }
  const bool is_file = rules == Rules::file && added.size() == n_in_file;
  out.added_tokens = is_file ? field(files.tokenizer, "added_tokens") : added.take();
  return out;
}

}  // namespace tovamill
