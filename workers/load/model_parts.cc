#include "workers/load/model_parts.h"

#include <filesystem>
#include <string>

namespace tovamill {
namespace {

std::string file_of(const ModelFiles& files, const char* name) {
  return (std::filesystem::path(files.path()) / name).string();
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_of(const ModelFiles& files) {
  if (files.format() == ModelFiles::Format::gguf)
    return Tokenizer::from_gguf(files.config(), files.path());
  return Tokenizer::from_hf(files.tokenizer(), files.tokenizer_config(),
                            file_of(files, "tokenizer.json"));
}

ModelConfig config_of(const ModelFiles& files) {
  if (files.format() != ModelFiles::Format::gguf)
    return config_from_hf(files.config(), file_of(files, "config.json"));
  return config_from_gguf(files.config(), files.find_tensor("rope_freqs.weight"), files.path());
}

ModelWeights weights_of(const ModelFiles& files, const ModelConfig& config) {
  const FindTensor find = [&](const std::string& name) { return files.find_tensor(name); };
  ModelWeights weights = collect_weights(config, find, files.path());
  refuse_unused_tensors(config, files.tensor_names(), files.path());
  return weights;
}

}  // namespace tovamill
