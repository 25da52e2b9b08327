#include "workers/model_parts.h"

namespace tovamill {

std::unique_ptr<Tokenizer> tokenizer_of(const ModelFiles& files) {
  if (files.format() == ModelFiles::Format::gguf)
    return Tokenizer::from_gguf(files.config(), files.path());
  return Tokenizer::from_hf(files.tokenizer(), files.tokenizer_config(), files.path());
}

ModelConfig config_of(const ModelFiles& files) {
  if (files.format() != ModelFiles::Format::gguf)
    return config_from_hf(files.config(), files.path());
  return config_from_gguf(files.config(), files.find_tensor("rope_freqs.weight"), files.path());
}

ModelWeights weights_of(const ModelFiles& files, const ModelConfig& config) {
  const FindTensor find = [&](const std::string& name) { return files.find_tensor(name); };
  return files.format() == ModelFiles::Format::gguf ? weights_from_gguf(config, find, files.path())
                                                    : weights_from_hf(config, find, files.path());
}

}  // namespace tovamill
