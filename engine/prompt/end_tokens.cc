#include "engine/prompt/end_tokens.h"

#include <algorithm>

#include "engine/tokenizer/tokenizer_json.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

class EndTokens {
 public:
  explicit EndTokens(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
    if (const auto eos = tokenizer.eos_id()) ids_.push_back(*eos);
  }

  // A number or a list of numbers.
  void add(const nlohmann::json& value, const std::string& where) {
    if (!value.is_array()) return add_id(value, where);
    for (const nlohmann::json& id : value) add_id(id, where);
  }

  std::vector<TokenId> sorted() && {
    std::sort(ids_.begin(), ids_.end());
    ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
    return std::move(ids_);
  }

 private:
  void add_id(const nlohmann::json& value, const std::string& where) {
    const bool whole = value.is_number_integer() &&
                       (!value.is_number_unsigned() ||
                        value.get<std::uint64_t>() < static_cast<std::uint64_t>(kMaxVocabulary));
    const std::int64_t id = whole ? value.get<std::int64_t>() : -1;
    if (id < 0 || id >= tokenizer_.vocab_size()) {
      const std::string said = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
      throw BadData(where + " is " + printable(said) + ", no id of the tokenizer's " +
                    counted(tokenizer_.vocab_size(), "token") + ": correct the file");
    }
    ids_.push_back(static_cast<TokenId>(id));
  }

  const Tokenizer& tokenizer_;
  std::vector<TokenId> ids_;
};

}  // namespace

std::vector<TokenId> hf_end_token_ids(const nlohmann::json& config,
                                      const nlohmann::json& generation_config,
                                      const Tokenizer& tokenizer, const std::string& directory) {
  EndTokens tokens(tokenizer);
  const nlohmann::json& generation = field(generation_config, "eos_token_id");
  const nlohmann::json& model = field(config, "eos_token_id");
  if (!generation.is_null()) {
    tokens.add(generation, directory + "/generation_config.json: eos_token_id");
  } else if (!model.is_null()) {
    tokens.add(model, directory + "/config.json: eos_token_id");
  }
  return std::move(tokens).sorted();
}

std::vector<TokenId> gguf_end_token_ids(const nlohmann::json& metadata, const Tokenizer& tokenizer,
                                        const std::string& file) {
  EndTokens tokens(tokenizer);
  for (const std::string name : {"eos", "eot", "eom"}) {
    const std::string key = "tokenizer.ggml." + name + "_token_id";
    const nlohmann::json& value = field(metadata, key.c_str());
    if (!value.is_null()) tokens.add(value, file + ": " + key);
  }
  return std::move(tokens).sorted();
}

}  // namespace tovamill
