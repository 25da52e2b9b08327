// What must be equal for two starts to add to the same results: every option that changes the
// numbers, as text.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "workers/load/loaded_model.h"
#include "workers/options/run_options.h"

namespace tovamill {

// {"option": "value" or ["values"], ...} of the options with an effect on results, automatic ones
// as they were decided (`dtype`: bf16 or f32); the model and the tokenizer by the digests of their
// contents.
nlohmann::json fingerprint(const RunOptions& options, const ModelFiles& files,
                           const ModelConfig& config, const Tokenizer& tokenizer,
                           const std::string& dtype);

// The same in 16 hexadecimal digits, for messages.
std::string fingerprint_digest(const nlohmann::json& print);

// Throws Error(configuration) naming each option that differs and both values.
void check_same(const nlohmann::json& before, const nlohmann::json& now,
                const std::string& run_directory);

}  // namespace tovamill
