// The parts of a model from its files, whatever their format.
#pragma once

#include <memory>

#include "engine/model/model_config.h"
#include "engine/tokenizer/tokenizer.h"
#include "io/model/model_files.h"

namespace tovamill {

std::unique_ptr<Tokenizer> tokenizer_of(const ModelFiles& files);
ModelConfig config_of(const ModelFiles& files);
// Every weight that the architecture needs, with its shape checked; no tensor is left over.
ModelWeights weights_of(const ModelFiles& files, const ModelConfig& config);

}  // namespace tovamill
