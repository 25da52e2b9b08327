// The post-processor of a tokenizer.json: the tokens before and behind a text.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/tokenizer/piece_encoder.h"

namespace tovamill {

struct PostProcessor {
  std::vector<TokenId> leading, trailing;
};

// TemplateProcessing (its template for a single text, which it holds once), RobertaProcessing,
// BertProcessing, ByteLevel, and Sequences of them with at most one that adds tokens; null:
// nothing. Throws BadData for others, by name, and for ids beyond the vocabulary.
PostProcessor read_post_processor(const nlohmann::json& processor, const Vocabulary& vocabulary,
                                  const std::string& where);

}  // namespace tovamill
