// What config.json or the GGUF metadata says of a model, checked, and where its tensors are.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/tensor_names.h"
#include "engine/quantization/quantization.h"
#include "kernels/types/model_shape.h"

namespace tovamill {

// LongRoPE: which of two sets of rotary tables shape.ropes is (choose_ropes).
struct LongRope {
  double context = 0;                            // tokens, within which the short ones hold
  std::vector<std::vector<double>> short_ropes;  // ModelShape::ropes
  bool is_short = false;
};

struct ModelConfig {
  std::string architecture;  // Family::name: "llama"; in GGUF that of Mistral, too
  ModelShape shape;
  const TensorNames* tensors = nullptr;
  bool is_multimodal = false;  // names of tensors have a prefix, other parts are passed over
  bool tied_head = false;      // tie_word_embeddings: an absent head is the embedding
  std::vector<std::string> unknown_keys = {};  // of the configuration: nothing known reads them
  std::optional<LongRope> long_rope = {};
  RotaryLayout rotary = {};  // of the rows of Q and K in the files
  float norm_offset = 0;     // is added to the weights of norms
  float logit_scale = 1;     // logits are multiplied with it
  Quantization quantization = {};
};

// From Hugging Face's config.json. `where` names the file in messages. Throws BadData: a missing or
// absurd number, an architecture, activation, rotary scaling or other switch that is not supported,
// by its name.
ModelConfig config_from_hf(const nlohmann::json& config, const std::string& where);

// Finds a tensor by its name in the file; nullopt where there is none.
using FindTensor = std::function<std::optional<TensorView>(const std::string& name)>;

// From GGUF metadata, a flat object of key -> value, and the tensors of divisors of rotary
// frequencies (Llama 3, LongRoPE) that the file may have.
ModelConfig config_from_gguf(const nlohmann::json& metadata, const FindTensor& find,
                             const std::string& where);

// Collects the weights by the names of the config's family, and checks every shape against its
// layers. A head of its own holds, whatever tie_word_embeddings says; where only a head is there
// and it is tied, it is the embedding, too. Throws BadData naming tensor, shape found and shape
// wanted.
ModelWeights collect_weights(const ModelConfig& config, const FindTensor& find,
                             const std::string& where);

// The tensors that files of the model must hold, with their shapes; those of norms, biases and
// single numbers have one dimension.
struct NeededTensor {
  std::string name;
  std::vector<std::int64_t> shape;
};
std::vector<NeededTensor> needed_tensors(const ModelConfig& config);

// Every name that a tensor may have in the files: itself, or behind the prefixes of multimodal
// models.
std::vector<std::string> names_in_files(const ModelConfig& config, const std::string& name);

// Throws BadData naming a tensor of the files, of all `names`, that none of the layers computes
// with and that is not known to be harmless: the model is another than its configuration says.
void refuse_unused_tensors(const ModelConfig& config, const std::vector<std::string>& names,
                           const std::string& where);

}  // namespace tovamill
