// The parts of a model from its files, whatever their format.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/model/model_config.h"
#include "engine/tokenizer/tokenizer.h"
#include "io/model/model_files.h"
#include "workers/options/run_options.h"

namespace tovamill {

std::unique_ptr<Tokenizer> tokenizer_of(const ModelFiles& files);
// The special tokens by name (bos_token, ...) as a chat template sees them.
std::map<std::string, std::string> special_tokens_of(const ModelFiles& files,
                                                     const Tokenizer& tokenizer);

// The tokens that stand before and behind a text.
struct SurroundingTokens {
  std::vector<TokenId> leading, trailing;
};
// By --bos: auto, what the model's tokenizer puts there; always, a BOS; never, nothing. Throws
// Error(configuration) where there is no BOS to put.
SurroundingTokens surrounding_tokens(const Tokenizer& tokenizer, BosMode mode);

ModelConfig config_of(const ModelFiles& files);
// Every weight that the architecture needs, with its shape checked; no tensor is left over.
ModelWeights weights_of(const ModelFiles& files, const ModelConfig& config);
// Of all tensors, quantised or not, also those that nothing computes with.
std::uint64_t n_parameters(const ModelFiles& files, const ModelConfig& config);

}  // namespace tovamill
