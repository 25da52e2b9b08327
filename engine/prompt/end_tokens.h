// The tokens with which a model says that its text is complete.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/tokenizer/token_id.h"
#include "engine/tokenizer/tokenizer.h"

namespace tovamill {

// End tokens of a Hugging Face model: eos_token_id of generation_config.json (a number or a list),
// where it has none that of config.json, and the tokenizer's EOS. Either JSON may be null.
// Ascending, each once; empty where none is named. `directory` is for messages. Throws BadData
// naming the file and the value where an id is not in the tokenizer's vocabulary.
std::vector<TokenId> hf_end_token_ids(const nlohmann::json& config,
                                      const nlohmann::json& generation_config,
                                      const Tokenizer& tokenizer, const std::string& directory);

// End tokens of a GGUF file: tokenizer.ggml.eos_token_id, eot_token_id and eom_token_id (end of a
// turn, of a message) of its metadata, and the tokenizer's EOS; else as above.
std::vector<TokenId> gguf_end_token_ids(const nlohmann::json& metadata, const Tokenizer& tokenizer,
                                        const std::string& file);

}  // namespace tovamill
