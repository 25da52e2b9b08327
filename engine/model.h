// A model packed for a backend: what stays in memory for the whole run.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/model_config.h"
#include "kernels/backend.h"

namespace tovamill {

struct Layer {
  std::vector<float> attention_norm;  // (hidden_size)
  AttentionWeights attention;
  std::unique_ptr<Matrix> o;        // (hidden_size, q_size)
  std::vector<float> ffn_norm;      // (hidden_size)
  std::unique_ptr<Matrix> gate_up;  // (2 * intermediate_size, hidden_size)
  std::unique_ptr<Matrix> down;     // (hidden_size, intermediate_size)
};

struct Model {
  ModelConfig config;
  TensorView embedding;  // (vocab_size, hidden_size), in the mapped file
  std::vector<Layer> layers;
  std::vector<float> final_norm;
  std::unique_ptr<Matrix> head;  // (vocab_size, hidden_size)

  std::uint64_t weight_bytes() const;  // packed
};

// Packs the weights, which may then be unmapped but for the embedding. Throws OutOfMemory.
Model pack_model(const ModelConfig& config, const ModelWeights& weights, Backend& backend);

}  // namespace tovamill
