#include <map>

#include "jobs/inspect_parts.h"
#include "workers/loaded_model.h"

namespace tovamill {

using Json = nlohmann::ordered_json;

Json inspect_model(const std::string& path) {
  const ModelHead model = open_model(path);
  const ModelFiles& files = *model.files;
  const ModelConfig& config = model.config;
  // Says which tensor is missing or misshapen.
  const FindTensor find = [&](const std::string& name) { return files.find_tensor(name); };
  const bool is_gguf = files.format() == ModelFiles::Format::gguf;
  const ModelWeights weights =
      is_gguf ? weights_from_gguf(config, find, path) : weights_from_hf(config, find, path);
  const ModelShape& shape = config.shape;

  std::uint64_t n_parameters = 0, n_bytes = 0;
  std::map<std::string, std::uint64_t> tensors_by_dtype;
  for (const TensorView& tensor : files.tensors()) {
    n_parameters += static_cast<std::uint64_t>(tensor.n_elements());
    n_bytes += tensor.n_bytes;
    ++tensors_by_dtype[std::string(block_format(tensor.dtype).name)];
  }
  const std::uint64_t state_values =
      2ull * static_cast<std::uint64_t>(shape.n_layers) * shape.kv_size();
  return {{"kind", "model"},
          {"path", path},
          {"format", is_gguf ? "GGUF" : "Hugging Face"},
          {"architecture", config.architecture},
          {"n_parameters", n_parameters},
          {"weight_bytes", n_bytes},
          {"tensors_by_dtype", tensors_by_dtype},
          {"n_layers", shape.n_layers},
          {"hidden_size", shape.hidden_size},
          {"intermediate_size", shape.intermediate_size},
          {"n_heads", shape.n_heads},
          {"n_kv_heads", shape.n_kv_heads},
          {"head_dim", shape.head_dim},
          {"vocab_size", shape.vocab_size},
          {"trained_context", shape.trained_context},
          {"sliding_window", shape.sliding_window},
          {"tied_head", weights.head.data == weights.embedding.data},
          {"tokenizer", model.tokenizer->description()},
          {"adds_bos", model.tokenizer->adds_bos()},
          {"state_bytes_per_token_bf16", state_values * 2},
          {"state_bytes_per_token_f32", state_values * 4}};
}

}  // namespace tovamill
