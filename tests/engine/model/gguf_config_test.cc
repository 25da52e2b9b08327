// Configurations of GGUF files.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "engine/model/model_config.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::contains;
using testing::error_of;

json gguf_metadata(const json& changes = json::object()) {
  json m = {{"general.architecture", "llama"},    {"llama.block_count", 2},
            {"llama.context_length", 512},        {"llama.embedding_length", 64},
            {"llama.feed_forward_length", 96},    {"llama.attention.head_count", 4},
            {"llama.attention.head_count_kv", 2}, {"llama.attention.layer_norm_rms_epsilon", 1e-5},
            {"llama.rope.freq_base", 10000.0},    {"llama.vocab_size", 320}};
  m.merge_patch(changes);
  return m;
}

ModelConfig gguf(const json& metadata, const std::optional<TensorView>& rope_freqs = std::nullopt) {
  const auto find = [&](const std::string& name) {
    return rope_freqs && rope_freqs->name == name ? rope_freqs : std::nullopt;
  };
  return config_from_gguf(metadata, find, "m.gguf");
}

TEST(GgufConfigTest, ReadsLlama) {
  const ModelConfig config = gguf(gguf_metadata());
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_TRUE(config.rotary.interleaved);
  EXPECT_EQ(config.shape.n_layers, 2);
  EXPECT_EQ(config.shape.trained_context, 512);
  EXPECT_EQ(config.shape.hidden_size, 64);
  EXPECT_EQ(config.shape.intermediate_size, 96);
  EXPECT_EQ(config.shape.n_heads, 4);
  EXPECT_EQ(config.shape.n_kv_heads, 2);
  EXPECT_EQ(config.shape.head_dim, 16);
  EXPECT_EQ(config.shape.vocab_size, 320);
  EXPECT_EQ(config.shape.layers.at(0).sliding_window, 0);
  EXPECT_EQ(config.shape.norm_eps, 1e-5f);
  EXPECT_NEAR(config.shape.ropes.at(0)[1], std::pow(1e4, -2.0 / 16), 1e-15);
}

TEST(GgufConfigTest, ReadsTheOptionalKeys) {
  EXPECT_EQ(gguf(gguf_metadata({{"llama.attention.head_count_kv", nullptr}})).shape.n_kv_heads, 4);
  EXPECT_EQ(gguf(gguf_metadata({{"llama.attention.head_count_kv", {2, 2}}})).shape.n_kv_heads, 2);
  EXPECT_EQ(gguf(gguf_metadata({{"llama.feed_forward_length", {96, 96}}})).shape.intermediate_size,
            96);
  const ModelShape shape = gguf(gguf_metadata({{"llama.feed_forward_length", {64, 96}}})).shape;
  EXPECT_EQ(shape.intermediate_size, 96);
  EXPECT_EQ(shape.layers.at(0).intermediate_size, 64);
  EXPECT_EQ(gguf(gguf_metadata({{"llama.attention.key_length", 32}})).shape.head_dim, 32);
  EXPECT_EQ(gguf(gguf_metadata({{"llama.attention.sliding_window", 128}}))
                .shape.layers.at(0)
                .sliding_window,
            128);
  EXPECT_EQ(gguf(gguf_metadata({{"llama.expert_count", 0}})).shape.n_layers, 2);
  const json tokens = {{"tokenizer.ggml.tokens", {"a", "b", "c"}}, {"llama.vocab_size", nullptr}};
  EXPECT_EQ(gguf(gguf_metadata(tokens)).shape.vocab_size, 3);
}

// llama.cpp: every fourth.
TEST(GgufConfigTest, SomeLayersOfSmolLm3AreNotRotated) {
  const json llama = gguf_metadata({{"llama.block_count", 5}});
  json metadata;
  for (const auto& [key, value] : llama.items())
    metadata[key.starts_with("llama.") ? "smollm3." + key.substr(6) : key] = value;
  metadata["general.architecture"] = "smollm3";
  const ModelConfig config = gguf(metadata);
  EXPECT_TRUE(config.rotary.interleaved);
  for (std::size_t l = 0; l < 5; ++l)
    EXPECT_EQ(config.shape.layers.at(l).rope, l == 3 ? kNoRope : 0);
}

TEST(GgufConfigTest, ScalesFrequencies) {
  const json two = {{"llama.attention.key_length", 4}, {"llama.rope.dimension_count", 4}};
  const auto f = [&](const json& changes) {
    json m = gguf_metadata(two);
    m.merge_patch(changes);
    return gguf(m).shape.ropes.at(0);
  };
  using Values = std::vector<double>;
  EXPECT_EQ(f({{"llama.rope.scaling.type", "none"}, {"llama.rope.scaling.factor", 4.0}}),
            (Values{1, 0.01}));
  EXPECT_EQ(f({{"llama.rope.scaling.type", "linear"}, {"llama.rope.scaling.factor", 4.0}}),
            (Values{0.25, 0.0025}));
  EXPECT_EQ(f({{"llama.rope.scaling.factor", 4.0}}), (Values{0.25, 0.0025}));
  EXPECT_EQ(f({{"llama.rope.scale_linear", 4.0}}), (Values{0.25, 0.0025}));
  const float divisors[] = {1, 8};
  const TensorView tensor{
      "rope_freqs.weight", StorageType::f32, {2}, reinterpret_cast<const std::byte*>(divisors), 8};
  EXPECT_EQ(gguf(gguf_metadata(two), tensor).shape.ropes.at(0), (Values{1, 0.01 / 8}));
}

TEST(GgufConfigTest, RefusesByName) {
  const std::pair<json, std::string> cases[] = {
      {{{"general.architecture", nullptr}}, "general.architecture is missing"},
      {{{"general.architecture", "mamba"}}, "the architecture 'mamba' is not supported"},
      {{{"general.architecture", "gemma3n"}}, "'gemma3n'"},
      {{{"llama.expert_count", 8}}, "llama.expert_used_count is missing"},
      {{{"llama.block_count", nullptr}}, "llama.block_count is missing"},
      {{{"llama.block_count", 0}}, "llama.block_count is 0, outside"},
      {{{"llama.block_count", "2"}}, "llama.block_count is '2', not an integer"},
      {{{"llama.embedding_length", 4294967295u}}, "llama.embedding_length is 4294967295, outside"},
      {{{"llama.feed_forward_length", nullptr}}, "llama.feed_forward_length is missing"},
      {{{"llama.feed_forward_length", json::array()}}, "is an empty array"},
      {{{"llama.attention.head_count", {4, 2}}},
       "llama.attention.head_count differs between layers"},
      {{{"llama.attention.head_count_kv", 3}}, "not a multiple of 3"},
      {{{"llama.attention.head_count_kv", 0}}, "llama.attention.head_count_kv is 0, outside"},
      {{{"llama.attention.key_length", 32}, {"llama.attention.value_length", 16}},
       "different lengths"},
      {{{"llama.attention.key_length", 7}}, "head size 7 is not an even number"},
      {{{"llama.embedding_length", 66}}, "llama.embedding_length is not a multiple"},
      {{{"llama.rope.dimension_count", 8}},
       "llama.rope.dimension_count is 8, not the head size 16"},
      {{{"llama.rope.scaling.type", "yarn"},
        {"llama.rope.scaling.factor", 4.0},
        {"llama.rope.scaling.yarn_attn_factor", 1.5}},
       "llama.rope.scaling.yarn_attn_factor is 1.5"},
      {{{"llama.rope.scaling.type", "yarn"},
        {"llama.rope.scaling.factor", 4.0},
        {"llama.rope.scaling.yarn_ext_factor", 0.5}},
       "llama.rope.scaling.yarn_ext_factor is 0.5"},
      {{{"llama.rope.scaling.type", "dynamic"}}, "llama.rope.scaling.type 'dynamic'"},
      {{{"llama.rope.scaling.type", "longrope"}}, "'longrope'"},
      {{{"llama.rope.scaling.factor", -1.0}}, "llama.rope.scaling.factor is -1.0, outside"},
      {{{"llama.rope.scaling.factor", 1e-30}}, "llama.rope.scaling.factor is too small"},
      {{{"llama.rope.freq_base", 0.0}}, "llama.rope.freq_base is 0.0, outside"},
      {{{"llama.rope.freq_base", std::nan("")}}, "llama.rope.freq_base is NaN, outside"},
      {{{"llama.attention.layer_norm_rms_epsilon", nullptr}}, "layer_norm_rms_epsilon is missing"},
      {{{"llama.attention.layer_norm_rms_epsilon", std::numeric_limits<double>::infinity()}},
       "outside"},
      {{{"llama.vocab_size", nullptr}}, "llama.vocab_size is missing"},
      {{{"tokenizer.ggml.tokens", 5}}, "tokenizer.ggml.tokens is not a list"},
      {{{"tokenizer.ggml.tokens", json::array()}}, "tokenizer.ggml.tokens is not a list"},
      {{{"llama.attention.causal", false}}, "llama.attention.causal is false"},
      // llama.cpp reads these, for this family or another.
      {{{"llama.rope.scaling.attn_factor", 0.0}}, "llama.rope.scaling.attn_factor is 0.0, outside"},
      {{{"llama.rope.scaling.yarn_ext_factor", 1.0}}, "llama.rope.scaling.yarn_ext_factor is 1.0"},
      {{{"llama.rope.scaling.yarn_attn_factor", 1.5}},
       "llama.rope.scaling.yarn_attn_factor is 1.5"},
      {{{"llama.rope.scaling.yarn_log_multiplier", 0.1}}, "yarn_log_multiplier is 0.1"},
      {{{"llama.rope.scaling.alpha", 1000.0}}, "llama.rope.scaling.alpha is 1000.0"},
      {{{"llama.rope.scale_linear", 2.0}, {"llama.rope.scaling.factor", 4.0}},
       "llama.rope.scale_linear and llama.rope.scaling.factor contradict"},
      {{{"llama.rope.freq_base_swa", 1e4}}, "llama.rope.freq_base_swa is 10000.0"},
      {{{"llama.rope.dimension_sections", {16, 24, 24, 0}}}, "rope.dimension_sections is array"},
      {{{"llama.attention.scale", 0.1}}, "llama.attention.scale is 0.1"},
      {{{"llama.attention.temperature_scale", 0.1}}, "llama.attention.temperature_scale is 0.1"},
      {{{"llama.attention.sliding_window_pattern", 6}}, "attention.sliding_window_pattern is 6"},
      {{{"llama.attention.layer_norm_epsilon", 1e-3}}, "llama.attention.layer_norm_epsilon is"},
      {{{"llama.attn_logit_softcapping", 50.0}}, "llama.attn_logit_softcapping is 50.0"},
      {{{"llama.final_logit_softcapping", 30.0}}, "llama.final_logit_softcapping is 30.0"},
      {{{"llama.logit_scale", 0.0625}}, "llama.logit_scale is 0.0625"},
      {{{"llama.embedding_scale", 12.0}}, "llama.embedding_scale is 12.0"},
      {{{"llama.residual_scale", 0.22}}, "llama.residual_scale is 0.22"},
      {{{"llama.expert_feed_forward_length", 32}}, "llama.expert_feed_forward_length is 32"},
      {{{"llama.nextn_predict_layers", 1}}, "llama.nextn_predict_layers is 1"},
      {{{"llama.hidden_activation", "gelu"}}, "llama.hidden_activation is 'gelu'"},
      {{{"llama.tensor_data_layout", "other"}}, "llama.tensor_data_layout is 'other'"},
      {{{"llama.embedding_length_out", 32}}, "llama.embedding_length_out is 32"},
      {{{"llama.something.new", true}}, "llama.something.new is true, which is not supported"},
      {{{"llama.a\nb", 1}}, R"('llama.a\x0Ab' is 1)"},
      {{{"tokenizer.ggml.tokens", {"a", "b"}}},
       "llama.vocab_size is 320 and tokenizer.ggml.tokens"},
      {{{"general.type", "adapter"}}, "general.type is 'adapter'"},
  };
  for (const auto& [changes, expected] : cases) {
    const std::string message = error_of([&, &changes = changes] { gguf(gguf_metadata(changes)); });
    EXPECT_TRUE(contains(message, "m.gguf: ")) << message;
    EXPECT_TRUE(contains(message, expected)) << message << " for " << expected;
  }
}

json gguf_metadata_of(const std::string& family, const json& changes = json::object()) {
  const json llama = gguf_metadata();
  json metadata;
  for (const auto& [key, value] : llama.items())
    metadata[key.starts_with("llama.") ? family + key.substr(5) : key] = value;
  metadata["general.architecture"] = family;
  metadata.merge_patch(changes);
  return metadata;
}

// llama.cpp multiplies both q and k with the factor where they are rotated.
TEST(GgufConfigTest, AttentionFactorsScaleTheScoresOfRotatedLayers) {
  const ModelConfig config = gguf(gguf_metadata_of(
      "smollm3", {{"smollm3.block_count", 4}, {"smollm3.rope.scaling.attn_factor", 1.5}}));
  for (std::size_t l = 0; l < 4; ++l)
    EXPECT_EQ(config.shape.layers.at(l).attention_scale, l == 3 ? 0 : 1.5 * 1.5 / 4);
  EXPECT_EQ(gguf(gguf_metadata({{"llama.rope.scaling.attn_factor", 1.0}}))
                .shape.layers.at(0)
                .attention_scale,
            0);
}

TEST(GgufConfigTest, TakesKeysWithoutEffect) {
  const json changes[] = {{{"llama.rope.scaling.finetuned", true}},
                          {{"llama.rope.scaling.original_context_length", 128}},
                          {{"llama.rope.scaling.yarn_beta_fast", 32.0}},
                          {{"llama.rope.scaling.yarn_ext_factor", 0.0}},
                          {{"llama.attention.causal", true}},
                          {{"llama.attention.clamp_kqv", 0.0}},
                          {{"llama.attention.layer_norm_epsilon", 1e-5}},
                          {{"llama.expert_count", 0}, {"llama.expert_used_count", 0}},
                          {{"llama.tensor_data_layout", "Meta AI original pth"}},
                          {{"llama.pooling_type", 3}},
                          {{"llama.use_parallel_residual", false}},
                          {{"general.type", "model"}, {"general.file_type", 7}},
                          {{"mradermacher.quantize_version", "2"}, {"gemma.rope.freq_base", 1.0}}};
  for (const json& change : changes)
    EXPECT_EQ(gguf(gguf_metadata(change)).shape.ropes, gguf(gguf_metadata()).shape.ropes) << change;
}

// llama.cpp has these divisors for llama only, and finds a tensor too many elsewhere.
TEST(GgufConfigTest, OnlyLlamaHasFrequencyDivisors) {
  for (const char* family : {"qwen2", "qwen3", "smollm3"}) {
    std::vector<float> divisors(8, 1.0f);
    const TensorView tensor{"rope_freqs.weight",
                            StorageType::f32,
                            {8},
                            reinterpret_cast<const std::byte*>(divisors.data()),
                            32};
    EXPECT_EQ(gguf(gguf_metadata_of(family), tensor).shape.ropes,
              gguf(gguf_metadata_of(family)).shape.ropes);
    divisors[3] = 2;
    EXPECT_TRUE(contains(error_of([&] { gguf(gguf_metadata_of(family), tensor); }),
                         "tensor 'rope_freqs.weight' is there, which is not supported"));
  }
  EXPECT_TRUE(
      contains(error_of([] {
                 gguf(gguf_metadata_of("smollm3", {{"smollm3.attention.sliding_window", 8}}));
               }),
               "smollm3.attention.sliding_window is there"));
}

TEST(GgufConfigTest, RefusesBadFrequencyDivisors) {
  for (const float bad : {0.0f, -1.0f, std::nanf(""), std::numeric_limits<float>::infinity()}) {
    const std::vector<float> divisors = {1, 1, 1, bad, 1, 1, 1, 1};
    const auto* bytes = reinterpret_cast<const std::byte*>(divisors.data());
    const TensorView tensor{"rope_freqs.weight", StorageType::f32, {8}, bytes, 32};
    EXPECT_TRUE(
        contains(error_of([&] { gguf(gguf_metadata(), tensor); }), "not a positive number"));
    const TensorView shorter{"rope_freqs.weight", StorageType::f32, {3}, bytes, 12};
    EXPECT_TRUE(
        contains(error_of([&] { gguf(gguf_metadata(), shorter); }), "does not have 8 elements"));
  }
}

}  // namespace
}  // namespace tovamill
