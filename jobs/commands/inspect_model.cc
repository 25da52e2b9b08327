#include <algorithm>
#include <map>

#include "jobs/commands/inspect_parts.h"
#include "workers/load/model_parts.h"

namespace tovamill {

using Json = nlohmann::ordered_json;

namespace {

// Tokens, 0 for none; one for each layer where they differ.
Json windows_of(const ModelShape& shape) {
  Json windows;
  bool differ = false;
  for (const LayerShape& layer : shape.layers) {
    windows.push_back(layer.sliding_window);
    differ = differ || windows.back() != windows.front();
  }
  return differ ? windows : windows.front();
}

std::size_t n_without_rope(const ModelShape& shape) {
  return static_cast<std::size_t>(
      std::count_if(shape.layers.begin(), shape.layers.end(),
                    [](const LayerShape& layer) { return layer.rope == kNoRope; }));
}

}  // namespace

Json inspect_model(const std::string& path) {
  const auto files = ModelFiles::open(path, ModelFiles::Parts::all);
  const ModelConfig config = config_of(*files);
  // Says which tensor is missing or misshapen.
  const ModelWeights weights = weights_of(*files, config);
  const auto tokenizer = tokenizer_of(*files);
  const ModelShape& shape = config.shape;

  std::uint64_t n_bytes = 0;
  std::map<std::string, std::uint64_t> tensors_by_dtype;
  for (const TensorView& tensor : files->tensors()) {
    n_bytes += tensor.n_bytes;
    ++tensors_by_dtype[std::string(block_format(tensor.storage).name)];
  }
  std::uint64_t state_values = 0;
  for (std::int32_t l = 0; l < shape.n_layers; ++l)
    state_values += 2ull * static_cast<std::uint64_t>(shape.heads(l).kv_size());
  Json out{{"kind", "model"},
           {"path", path},
           {"format", files->format() == ModelFiles::Format::gguf ? "GGUF" : "Hugging Face"},
           {"architecture", config.architecture},
           {"n_parameters", n_parameters(*files, config)},
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
           {"sliding_window", windows_of(shape)},
           {"n_layers_without_rope", n_without_rope(shape)},
           {"tied_head", weights.head.data == weights.embedding.data},
           {"tokenizer", tokenizer->description()},
           {"adds_bos", !tokenizer->leading().empty()},
           {"leading_tokens", tokenizer->leading()},
           {"trailing_tokens", tokenizer->trailing()},
           {"state_bytes_per_token_bf16", state_values * 2},
           {"state_bytes_per_token_f32", state_values * 4}};
  if (const ExpertsShape experts = shape.widest_experts(); experts.n_experts > 0) {
    out["n_experts"] = experts.n_experts;
    out["n_used_experts"] = experts.n_used;
    out["expert_intermediate_size"] = experts.intermediate_size;
  }
  if (shape.heads_differ()) {
    for (std::int32_t l = 0; l < shape.n_layers; ++l) {
      out["n_kv_heads_by_layer"].push_back(shape.heads(l).n_kv_heads);
      out["head_dim_by_layer"].push_back(shape.heads(l).head_dim);
    }
  }
  if (!config.quantization.description.empty())
    out["quantization"] = config.quantization.description;
  const bool is_split =
      files->format() == ModelFiles::Format::gguf && files->file_paths().size() > 1;
  if (is_split) out["n_parts"] = files->file_paths().size();
  return out;
}

}  // namespace tovamill
