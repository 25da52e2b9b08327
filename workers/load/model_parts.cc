#include "workers/load/model_parts.h"

#include <filesystem>
#include <string>

#include "engine/quantization/quantized_tensors.h"
#include "engine/tokenizer_files/auto_tokenizer.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

std::string file_of(const ModelFiles& files, const char* name) {
  return (std::filesystem::path(files.path()) / name).string();
}

// What is in memory is tokenized as its tokenizer.json says, whatever the architecture.
HfTokenizerFiles tokenizer_files_of(const ModelFiles& files) {
  static const nlohmann::json null;
  return {files.tokenizer(), files.tokenizer_config(), files.special_tokens_map(),
          files.added_tokens(), ModelFiles::is_in_memory(files.path()) ? null : files.config()};
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_of(const ModelFiles& files) {
  if (files.format() == ModelFiles::Format::gguf)
    return Tokenizer::from_gguf(files.config(), files.path());
  return Tokenizer::from_hf(tokenizer_files_of(files), file_of(files, "tokenizer.json"));
}

std::map<std::string, std::string> special_tokens_of(const ModelFiles& files,
                                                     const Tokenizer& tokenizer) {
  if (files.format() != ModelFiles::Format::gguf)
    return read_auto_tokenizer(tokenizer_files_of(files), file_of(files, "tokenizer.json"))
        .special_tokens;
  std::map<std::string, std::string> out;
  if (const auto id = tokenizer.bos_id()) out["bos_token"] = tokenizer.decode({*id}, true);
  if (const auto id = tokenizer.eos_id()) out["eos_token"] = tokenizer.decode({*id}, true);
  return out;
}

SurroundingTokens surrounding_tokens(const Tokenizer& tokenizer, BosMode mode) {
  if (mode == BosMode::automatic) return {tokenizer.leading(), tokenizer.trailing()};
  if (mode == BosMode::never) return {};
  if (!tokenizer.bos_id()) {
    throw Error(ExitCode::configuration,
                "--bos always: the model's tokenizer has no BOS token; use --bos never");
  }
  return {{*tokenizer.bos_id()}, {}};
}

ModelConfig config_of(const ModelFiles& files) {
  if (files.format() != ModelFiles::Format::gguf)
    return config_from_hf(files.config(), file_of(files, "config.json"));
  return config_from_gguf(
      files.config(), [&](const std::string& name) { return files.find_tensor(name); },
      files.path());
}

ModelWeights weights_of(const ModelFiles& files, const ModelConfig& config) {
  const FindTensor find = [&](const std::string& name) { return files.find_tensor(name); };
  ModelWeights weights = collect_weights(config, find, files.path());
  refuse_unused_tensors(config, files.tensor_names(), files.path());
  return weights;
}

std::uint64_t n_parameters(const ModelFiles& files, const ModelConfig& config) {
  std::uint64_t sum = 0;
  for (const TensorView& tensor : files.tensors()) sum += n_weights_in(config.quantization, tensor);
  return sum;
}

}  // namespace tovamill
