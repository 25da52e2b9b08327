// Every key of a configuration: what is not read is known to be harmless, or refused unless it says
// what is computed anyway, or named to the user (config.json, tokenizer.ggml.*; a GGUF key of the
// architecture that is not known is refused).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/model/config_reader.h"
#include "engine/model/family.h"
#include "kernels/types/model_shape.h"

namespace tovamill {

// Checks the keys of config.json that no rule of the family reads. Throws BadData naming a key with
// which transformers or another family computes something else, with its value. Returns the keys
// that are set and that nothing reads, in the order of the alphabet.
std::vector<std::string> check_hf_keys(const ConfigReader& config, const Family& family,
                                       const ModelShape& shape);

// The same for the keys of a GGUF file that begin with the name of its architecture; throws for
// those that are not known. Returns the keys of tokenizer.ggml.* that nothing reads.
std::vector<std::string> check_gguf_keys(const ConfigReader& metadata, const ConfigReader& config,
                                         const Family& family, const ModelShape& shape);
// Whether a key is one of the words of a list, which blanks part.
bool is_listed(std::string_view words, std::string_view key);

}  // namespace tovamill
