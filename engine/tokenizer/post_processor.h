// The post-processor of a tokenizer.json: the tokens before and behind a text.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/tokenizer/token_id.h"

namespace tovamill {

struct PostProcessor {
  std::vector<TokenId> leading, trailing;
};

// TemplateProcessing (its template for a single text, which it holds once), RobertaProcessing,
// BertProcessing, ByteLevel, and Sequences of them; null: nothing. Throws BadData for others, by
// name, and for ids from `n_tokens` on.
PostProcessor read_post_processor(const nlohmann::json& processor, std::int64_t n_tokens,
                                  const std::string& where);

}  // namespace tovamill
