// Tokenizers of real models, where this machine has them.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/tokenizer/tokenizer.h"

namespace tovamill::testing {

// What lies in tests/support/goldens, as JSON. Throws std::runtime_error naming the file.
nlohmann::json golden_json(const std::string& name);

// TOVAMILL_SHARED_DATA, or shared/data beside the sources: data that is not part of the repository.
std::filesystem::path shared_data();
// "llama2", "llama3_1" or "qwen3" from there; null where it (or the program xz) is absent.
std::unique_ptr<Tokenizer> shared_tokenizer(const std::string& name);

// TOVAMILL_SMOLLM2, or what jobs/quickstart.sh downloads: a GGUF file that may be absent.
std::filesystem::path smollm2_path();

}  // namespace tovamill::testing
