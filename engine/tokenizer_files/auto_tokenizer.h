// What transformers' AutoTokenizer (5.24) makes of the files beside tokenizer.json. It chooses a
// class; some classes put rules of their own in the place of what tokenizer.json says, and all take
// special tokens from the other files. It ignores add_bos_token and add_eos_token: what precedes
// and follows a text is in the post-processor only.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace tovamill {

// The files; null where one is absent. They outlive the object.
struct HfTokenizerFiles {
  const nlohmann::json& tokenizer;           // tokenizer.json
  const nlohmann::json& tokenizer_config;    // tokenizer_config.json
  const nlohmann::json& special_tokens_map;  // special_tokens_map.json
  const nlohmann::json& added_tokens;        // added_tokens.json
  const nlohmann::json& config;              // config.json
};

struct AutoTokenizerSettings {
  // In place of those of tokenizer.json. `model` is without vocab and merges.
  nlohmann::json normalizer, pre_tokenizer, decoder, model;
  bool has_own_rules = false;   // `model` is not that of the file
  nlohmann::json added_tokens;  // an array as in tokenizer.json
  // The contents of bos_token, eos_token, unk_token and so on: what a chat template sees.
  std::map<std::string, std::string> special_tokens;
  std::string note;  // for people, where AutoTokenizer is not followed
};

// Throws BadData naming the field where it says something that is not done here, or contradicts
// another. Fields that AutoTokenizer keeps without changing ids are left out (model_max_length,
// padding_side, clean_up_tokenization_spaces, unknown ones).
AutoTokenizerSettings read_auto_tokenizer(const HfTokenizerFiles& files, const std::string& where);

}  // namespace tovamill
