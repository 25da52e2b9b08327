// What a model's files say of generation beside the end tokens: generation_config.json as
// transformers' generate() reads it, in GGUF general.sampling.* and tokenizer.ggml.suppress_tokens
// as llama.cpp does. Here the options rule; what differs from them is named, not taken.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "workers/options/generation_options.h"

namespace tovamill {

// "not as generation_config.json says: temperature 0.6 (--temperature), num_beams 4 (not
// supported)"; empty where the texts are those that it wants. Null is an empty file. Keys that
// change no text (caches, outputs, padding) are not named.
std::string differing_defaults(const nlohmann::json& generation_config,
                               const GenerationOptions& options);

// The same of GGUF metadata: "not as the file says: general.sampling.temp 0.6 (--temperature)".
std::string differing_gguf_defaults(const nlohmann::json& metadata,
                                    const GenerationOptions& options);

}  // namespace tovamill
