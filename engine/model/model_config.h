// What config.json or the GGUF metadata says of a model, checked, and where its tensors are.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/tensor_names.h"
#include "kernels/types/model_shape.h"

namespace tovamill {

struct ModelConfig {
  std::string architecture;  // Family::name: "llama"; in GGUF that of Mistral, too
  ModelShape shape;
  const TensorNames* tensors = nullptr;
  bool tied_head = false;  // tie_word_embeddings: an absent head is the embedding
  std::vector<std::string> unknown_keys = {};  // of the configuration: nothing known reads them
  bool interleaved_qk = false;  // llama.cpp's row order of Q and K in GGUF files of some families
};

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

// Collects the weights by the names of the config's family, and checks every shape against its
// layers. A head of its own holds, whatever tie_word_embeddings says; where only a head is there
// and it is tied, it is the embedding, too. Throws BadData naming tensor, shape found and shape
// wanted.
ModelWeights collect_weights(const ModelConfig& config, const FindTensor& find,
                             const std::string& where);

// Throws BadData naming a tensor of the files, of all `names`, that none of the layers computes
// with and that is not known to be harmless: the model is another than its configuration says.
void refuse_unused_tensors(const ModelConfig& config, const std::vector<std::string>& names,
                           const std::string& where);

}  // namespace tovamill
