// A model packed for a device: what stays in memory for the whole run.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/model/model_config.h"
#include "kernels/backend.h"

namespace tovamill {

// Norms that a layer does not have are empty.
struct Layer {
  NormWeights attention_norm, attention_post_norm;  // (hidden_size)
  AttentionWeights attention;
  std::unique_ptr<Matrix> o;            // (hidden_size, q_size)
  NormWeights ffn_norm, ffn_post_norm;  // (hidden_size)
  // (2 * intermediate_size, hidden_size); without a gate up alone, (intermediate_size, hidden_size)
  std::unique_ptr<Matrix> gate_up;
  Xielu xielu = {};              // of Activation::xielu
  std::unique_ptr<Matrix> down;  // (hidden_size, intermediate_size)
  // Where the layer has experts; gate_up and down are then of the shared one, or null.
  std::unique_ptr<Matrix> router;  // (n_experts, hidden_size)
  std::unique_ptr<Experts> experts;
  std::vector<float> shared_gate;  // (hidden_size), or empty
  // Of per-layer embeddings: (per_layer_size, hidden_size), its inverse.
  std::unique_ptr<Matrix> input_gate, input_projection;
  NormWeights input_norm;  // (hidden_size)
  float output_scale = 1;  // hidden rows are multiplied with it last
};

// Consecutive layers of a model. What has the first layer has the embedding, too; what has the last
// one the final norm and the head.
struct LayerRange {
  std::int32_t first = 0, n = 0;
  std::int32_t n_all = 0;  // layers of the whole model
  bool has_embedding() const { return first == 0; }
  bool has_head() const { return first + n == n_all; }
};
LayerRange all_layers(const ModelConfig& config);

// Parameters of the matrices: of the head, of some layers and the head if it is theirs.
std::uint64_t head_parameters(const ModelShape& shape);
std::uint64_t matrix_parameters(const ModelShape& shape, const LayerRange& range);
// Of these the ones that a token is multiplied with: of experts those that it uses.
std::uint64_t active_parameters(const ModelShape& shape, const LayerRange& range);

struct Model {
  ModelConfig config;  // of the whole model
  LayerRange range;
  TensorView embedding;  // (vocab_size, hidden_size), in the mapped file
  // Where layers have embeddings of their own: (vocab_size, n_layers * per_layer_size), in the
  // mapped file; (n_layers * per_layer_size, hidden_size); (per_layer_size).
  TensorView per_layer_embedding;
  std::unique_ptr<Matrix> per_layer_projection;
  NormWeights per_layer_norm;
  std::vector<Layer> layers;
  NormWeights final_norm;
  std::unique_ptr<Matrix> head;  // (vocab_size, hidden_size)

  std::uint64_t weight_bytes() const;  // packed
};

// Packs the weights, which may then be unmapped but for the embeddings. Throws OutOfMemory.
Model pack_model(const ModelConfig& config, const ModelWeights& weights, Device& device);
// The same of some of the layers, for a device of a backend whose shape has as many layers as the
// range.
Model pack_layers(const ModelConfig& config, const ModelWeights& weights, const LayerRange& range,
                  Device& device);

}  // namespace tovamill
