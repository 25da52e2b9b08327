// What config.json or the GGUF metadata says of a model, checked, and where its tensors are.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "kernels/types/model_shape.h"

namespace tovamill {

// Which projections of the attention have biases. `where_present`: GGUF files say it by the tensors
// they hold.
enum class AttentionBias { none, qkv, qkvo, where_present };

struct ModelConfig {
  std::string
      architecture;  // "llama", "mistral", "qwen2", "qwen3"; "llama" for Mistral, too, in GGUF
  ModelShape shape;
  AttentionBias attention_bias = AttentionBias::none;
  bool qk_norm = false;  // Qwen3: queries and keys are normalised per head
  bool tied_head =
      false;  // tie_word_embeddings: the head is the embedding. GGUF: a head that is absent is tied
  bool interleaved_qk = false;  // llama.cpp's row order of Q and K in `llama` GGUF files
};

// Throws BadData where the heads cannot be shared out among the key-value heads or their size
// cannot be rotated.
void check_heads(const ModelShape& shape, const std::string& where);

// From Hugging Face's config.json. `where` names the file in messages. Throws BadData: a missing or
// absurd number, an architecture, activation, rotary scaling or other switch that is not supported,
// by its name.
ModelConfig config_from_hf(const nlohmann::json& config, const std::string& where);

// From GGUF metadata, a flat object of key -> value. `rope_freqs` is the tensor of that name
// (frequency divisors, Llama 3) if the file has one.
ModelConfig config_from_gguf(const nlohmann::json& metadata,
                             const std::optional<TensorView>& rope_freqs, const std::string& where);

// Finds a tensor by its name in the file; nullopt where there is none.
using FindTensor = std::function<std::optional<TensorView>(const std::string& name)>;

// Collects the weights by the names of Hugging Face or of GGUF, and checks every shape against the
// config. Throws BadData naming tensor, shape found and shape wanted.
ModelWeights weights_from_hf(const ModelConfig& config, const FindTensor& find,
                             const std::string& where);
ModelWeights weights_from_gguf(const ModelConfig& config, const FindTensor& find,
                               const std::string& where);

}  // namespace tovamill
