// The pre-tokenizers that GGUF names under tokenizer.ggml.pre.
#pragma once

#include <string>
#include <string_view>

#include "engine/tokenizer/pre_tokenizer.h"

namespace tovamill {

struct GgufPreTokenizer {
  PreTokenizer steps;
  bool ignore_merges = false;  // a piece that is a token as a whole is not built by merges
  bool adds_bos = false;       // unless the file says otherwise
};

// Throws BadData where the name is none of the table.
GgufPreTokenizer gguf_pre_tokenizer(std::string_view name, const std::string& where);

}  // namespace tovamill
