// The normalizer and the pre-tokenizer of a tokenizer.json.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "engine/tokenizer/normalizer.h"
#include "engine/tokenizer/pre_tokenizer.h"

namespace tovamill {

// All of `tokenizers` but BertNormalizer and ByteLevel, which throw BadData, by name.
Normalizer read_normalizer(const nlohmann::json& normalizer, const std::string& where);

// Split, Digits, Metaspace, WhitespaceSplit, ByteLevel and Sequences of them; `byte_level` becomes
// true with a ByteLevel, which must be the last. Throws BadData for others, by name.
PreTokenizer read_pre_tokenizer(const nlohmann::json& pre_tokenizer, bool& byte_level,
                                const std::string& where);

}  // namespace tovamill
