#include "engine/tokenizer_files/auto_tokenizer.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/tokenizer/tokenizer_json.h"
#include "engine/tokenizer_files/tokenizer_class.h"

namespace tovamill {
namespace {

using nlohmann::json;

constexpr std::array kNamedTokens{"bos_token", "eos_token", "unk_token", "sep_token",
                                  "pad_token", "cls_token", "mask_token"};

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
               "the " + name + " " + in_quotes(content) + " has flags that its class drops");
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
std::map<std::string, json> named_tokens(const json& config, ClassRules rules,
                                         const std::string& where) {
  std::map<std::string, json> out;
  for (const auto& [name, content] : default_tokens(rules)) {
    if (!config.contains(name)) out[name] = content;
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

// The ids by content of a Unigram's vocabulary, a list of [content, score].
json ids_of_list(const json& vocab) {
  json out = json::object();
  std::int64_t next = 0;
  for (const json& entry : vocab) {
    const std::int64_t id = next++;
    if (entry.is_array() && !entry.empty() && entry[0].is_string())
      out[entry[0].get<std::string>()] = id;
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
  ClassRules rules = choose_rules(files, config, where);
  const std::string dropped =
      rules == ClassRules::gpt2 ? step_dropped_by_gpt2(files.tokenizer) : std::string();
  if (!dropped.empty()) rules = ClassRules::file;
  AutoTokenizerSettings out{.normalizer = field(files.tokenizer, "normalizer"),
                            .pre_tokenizer = field(files.tokenizer, "pre_tokenizer"),
                            .decoder = field(files.tokenizer, "decoder"),
                            .model = model_options(field(files.tokenizer, "model")),
                            .has_own_rules = rules != ClassRules::file,
                            .added_tokens = json::array(),
                            .special_tokens = {},
                            .note = {}};
  if (!dropped.empty())
    out.note =
        "with the " + dropped + " of tokenizer.json, which GPT2Tokenizer of transformers 5 drops";
  const json& vocab = field(field(files.tokenizer, "model"), "vocab");
  const json of_list = vocab.is_array() ? ids_of_list(vocab) : json();
  const json& vocabulary = vocab.is_array() ? of_list : vocab;
  AddedTokens added(vocabulary, where);
  if (rules == ClassRules::file) {
    for (const json& token : field(files.tokenizer, "added_tokens"))
      added.add(added_token(token, field(token, "id"), where));
  } else {
    check_steps(files.tokenizer, rules, where);
    apply_class(rules, config, out, where);
  }
  const bool takes_plain_only = rules == ClassRules::qwen2 || rules == ClassRules::qwen3_5;
  const std::size_t n_in_file = added.size();
  for (const auto& [id, token] : numbered_tokens(files, config, where)) added.add(token);
  for (const auto& [name, value] : named_tokens(config, rules, where)) {
    added.add_special(value, name, takes_plain_only);
    out.special_tokens[name] =
        value.is_string() ? value.get<std::string>() : string_field(value, "content", where);
  }
  const json& extra = field(config, "extra_special_tokens");
  if (!extra.is_null() && !extra.is_structured())
    refuse(where, "'extra_special_tokens' is neither a list nor an object");
  if (extra.is_array()) {
    for (const json& token : extra)
      added.add_special(token, "extra special token", takes_plain_only);
  }
  const bool is_file = rules == ClassRules::file && added.size() == n_in_file;
  out.added_tokens = is_file ? field(files.tokenizer, "added_tokens") : added.take();
  return out;
}

}  // namespace tovamill
