#include <cmath>
#include <random>
#include <utility>

#include "tests/support/models/model_builder.h"

namespace tovamill::testing {

namespace {

class Weights {
 public:
  explicit Weights(std::uint64_t seed) : random_(seed) {}

  // Uniform in [center - spread, center + spread], on the grid that all element types share.
  void add(const std::string& hf_name, const std::string& gguf_name,
           std::vector<std::int64_t> shape, float center, float spread) {
    std::int64_t n = 1;
    for (const std::int64_t extent : shape) n *= extent;
    std::vector<float> values(static_cast<std::size_t>(n));
    for (float& value : values) {
      const float unit = static_cast<float>(random_() >> 40) * 0x1p-23f - 1;  // [-1, 1)
      const float exact = std::nearbyint((center + spread * unit) * 0x1p14f) * 0x1p-14f;
      value = float_from_bf16(bf16_from_float(exact));
    }
    tensors_.push_back({hf_name, gguf_name, std::move(shape), std::move(values)});
  }

  void matrix(const std::string& hf_name, const std::string& gguf_name, std::int64_t n_rows,
              std::int64_t n_cols) {
    const float spread = 2 / std::sqrt(static_cast<float>(n_cols));
    add(hf_name + ".weight", gguf_name + ".weight", {n_rows, n_cols}, 0, spread);
  }
  void norm(const std::string& hf_name, const std::string& gguf_name, std::int64_t n) {
    add(hf_name + ".weight", gguf_name + ".weight", {n}, 1, 0.25f);
  }
  void bias(const std::string& hf_name, const std::string& gguf_name, std::int64_t n) {
    add(hf_name + ".bias", gguf_name + ".bias", {n}, 0, 0.25f);
  }

  std::vector<TinyTensor> take() { return std::move(tensors_); }

 private:
  std::mt19937_64 random_;
  std::vector<TinyTensor> tensors_;
};

void add_layer(Weights& weights, const TinyModel& m, std::int32_t layer) {
  const std::string hf = "model.layers." + std::to_string(layer) + ".";
  const std::string gguf = "blk." + std::to_string(layer) + ".";
  const std::int64_t q_size = m.n_heads * m.head_dim, kv_size = m.n_kv_heads * m.head_dim;
  weights.norm(hf + "input_layernorm", gguf + "attn_norm", m.hidden_size);
  weights.matrix(hf + "self_attn.q_proj", gguf + "attn_q", q_size, m.hidden_size);
  weights.matrix(hf + "self_attn.k_proj", gguf + "attn_k", kv_size, m.hidden_size);
  weights.matrix(hf + "self_attn.v_proj", gguf + "attn_v", kv_size, m.hidden_size);
  weights.matrix(hf + "self_attn.o_proj", gguf + "attn_output", m.hidden_size, q_size);
  if (m.architecture == "qwen2" || m.attention_bias) {
    weights.bias(hf + "self_attn.q_proj", gguf + "attn_q", q_size);
    weights.bias(hf + "self_attn.k_proj", gguf + "attn_k", kv_size);
    weights.bias(hf + "self_attn.v_proj", gguf + "attn_v", kv_size);
  }
  if (m.attention_bias) weights.bias(hf + "self_attn.o_proj", gguf + "attn_output", m.hidden_size);
  if (m.architecture == "qwen3") {
    weights.norm(hf + "self_attn.q_norm", gguf + "attn_q_norm", m.head_dim);
    weights.norm(hf + "self_attn.k_norm", gguf + "attn_k_norm", m.head_dim);
  }
  weights.norm(hf + "post_attention_layernorm", gguf + "ffn_norm", m.hidden_size);
  weights.matrix(hf + "mlp.gate_proj", gguf + "ffn_gate", m.intermediate_size, m.hidden_size);
  weights.matrix(hf + "mlp.up_proj", gguf + "ffn_up", m.intermediate_size, m.hidden_size);
  weights.matrix(hf + "mlp.down_proj", gguf + "ffn_down", m.hidden_size, m.intermediate_size);
}

}  // namespace

std::vector<TinyTensor> tiny_tensors(const TinyModel& m) {
  Weights weights(m.seed);
  weights.matrix("model.embed_tokens", "token_embd", m.vocab_size, m.hidden_size);
  for (std::int32_t layer = 0; layer < m.n_layers; ++layer) add_layer(weights, m, layer);
  weights.norm("model.norm", "output_norm", m.hidden_size);
  if (!m.tied) weights.matrix("lm_head", "output", m.vocab_size, m.hidden_size);
  return weights.take();
}

}  // namespace tovamill::testing
