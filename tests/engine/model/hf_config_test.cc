// Configurations of Hugging Face models (config.json).
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "engine/model/model_config.h"
#include "kernels/types/model_limits.h"
#include "tests/engine/model/bad_configs.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::BadConfig;
using testing::contains;
using testing::error_of;
using testing::other_architectures;
using testing::other_switches;
using testing::TinyModel;

json tiny(const std::string& architecture, const json& changes = json::object()) {
  TinyModel model;
  model.architecture = architecture;
  json config = testing::tiny_config(model);
  config.merge_patch(changes);  // null removes
  return config;
}

ModelConfig hf(const json& config) { return config_from_hf(config, "config.json"); }

// The fields as published.
TEST(HfConfigTest, ReadsSmolLm2) {
  const ModelConfig config = hf(json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 0,
    "eos_token_id": 0, "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536, "is_llama_config": true, "max_position_embeddings": 8192, "mlp_bias": false,
    "model_type": "llama", "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3,
    "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": false, "rope_scaling": null,
    "rope_theta": 100000, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_cache": true,
    "vocab_size": 49152})"));
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.shape.n_layers, 30);
  EXPECT_EQ(config.shape.hidden_size, 576);
  EXPECT_EQ(config.shape.intermediate_size, 1536);
  EXPECT_EQ(config.shape.n_heads, 9);
  EXPECT_EQ(config.shape.n_kv_heads, 3);
  EXPECT_EQ(config.shape.head_dim, 64);
  EXPECT_EQ(config.shape.vocab_size, 49152);
  EXPECT_EQ(config.shape.trained_context, 8192);
  EXPECT_EQ(config.shape.layers.at(0).sliding_window, 0);
  EXPECT_EQ(config.shape.norm_eps, 1e-5f);
  ASSERT_EQ(config.shape.ropes.at(0).size(), 32u);
  EXPECT_EQ(config.shape.ropes.at(0)[0], 1);
  EXPECT_NEAR(config.shape.ropes.at(0)[1], std::pow(1e5, -2.0 / 64), 1e-15);
  EXPECT_TRUE(config.tied_head);
  EXPECT_FALSE(config.rotary.interleaved);
  EXPECT_EQ(config.shape.layers.at(0).attention_bias, AttentionBias::none);
}

TEST(HfConfigTest, ReadsTheFirstLlamaWithItsDefaults) {
  const ModelConfig config = hf(json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 11008,
    "max_position_embeddings": 2048, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32,
    "rms_norm_eps": 1e-06, "vocab_size": 32000})"));
  EXPECT_EQ(config.shape.n_kv_heads, 32);
  EXPECT_EQ(config.shape.head_dim, 128);
  EXPECT_NEAR(config.shape.ropes.at(0)[1], std::pow(1e4, -2.0 / 128), 1e-15);
  EXPECT_FALSE(config.tied_head);
}

// Both spellings of Llama 3.1's rotary scaling; the values by transformers'
// _compute_llama3_parameters.
TEST(HfConfigTest, ScalesLlama3Frequencies) {
  const json scaling = {{"factor", 8.0},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", 4.0},
                        {"original_max_position_embeddings", 8192},
                        {"rope_type", "llama3"}};
  json parameters = scaling;
  parameters["rope_theta"] = 500000.0;
  const json old_spelling = {
      {"rope_theta", 500000.0}, {"rope_scaling", scaling}, {"head_dim", 128}};
  const json new_spelling = {
      {"rope_theta", nullptr}, {"rope_parameters", parameters}, {"head_dim", 128}};
  for (const json& changes : {old_spelling, new_spelling}) {
    const auto f = hf(tiny("llama", changes)).shape.ropes.at(0);
    ASSERT_EQ(f.size(), 64u);
    const auto plain = [](int i) { return std::pow(5e5, -2.0 * i / 128); };
    EXPECT_EQ(f[0], 1);
    EXPECT_NEAR(f[28], plain(28), 1e-12);      // wavelength 1,956: kept
    EXPECT_NEAR(f[40], plain(40) / 8, 1e-12);  // wavelength 22,918: divided
    // Wavelength 4,424, between 2,048 and 8,192.
    const double wavelength = 2 * std::numbers::pi / plain(32), kept = (8192 / wavelength - 1) / 3;
    EXPECT_NEAR(f[32], (1 - kept) * plain(32) / 8 + kept * plain(32), 1e-12);
  }
}

TEST(HfConfigTest, ScalesLinearly) {
  for (const char* key : {"type", "rope_type"}) {
    const ModelConfig config =
        hf(tiny("llama", {{"rope_scaling", {{key, "linear"}, {"factor", 4}}}, {"head_dim", 4}}));
    EXPECT_EQ(config.shape.ropes.at(0), (std::vector<double>{0.25, 0.0025}));
  }
}

TEST(HfConfigTest, TakesEveryWayToSayNoScaling) {
  for (const json& rope :
       {json{{"rope_scaling", json::object()}}, json{{"rope_scaling", {{"rope_type", "default"}}}},
        json{{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 10000.0}}}},
        json{{"rope_theta", 10000}}, json{{"rope_theta", nullptr}}}) {
    json changes = rope;
    changes["head_dim"] = 4;
    EXPECT_EQ(hf(tiny("llama", changes)).shape.ropes.at(0), (std::vector<double>{1, 0.01})) << rope;
  }
}

TEST(HfConfigTest, KnowsTheBiasesAndNormsOfEachArchitecture) {
  EXPECT_EQ(hf(tiny("llama")).shape.layers.at(0).attention_bias, AttentionBias::none);
  EXPECT_EQ(hf(tiny("llama", {{"attention_bias", true}})).shape.layers.at(0).attention_bias,
            AttentionBias::qkvo);
  EXPECT_EQ(hf(tiny("mistral")).shape.layers.at(0).attention_bias, AttentionBias::none);
  EXPECT_EQ(hf(tiny("qwen2")).shape.layers.at(0).attention_bias, AttentionBias::qkv);
  EXPECT_EQ(hf(tiny("qwen3")).shape.layers.at(0).attention_bias, AttentionBias::none);
  EXPECT_EQ(hf(tiny("qwen3", {{"attention_bias", true}})).shape.layers.at(0).attention_bias,
            AttentionBias::qkvo);
  EXPECT_EQ(hf(tiny("qwen3")).shape.layers.at(0).qk_norm, QkNorm::heads);
  EXPECT_EQ(hf(tiny("qwen2")).shape.layers.at(0).qk_norm, QkNorm::none);
  EXPECT_EQ(hf(tiny("qwen3", {{"head_dim", nullptr}})).shape.head_dim, 128);
  EXPECT_EQ(hf(tiny("qwen2", {{"head_dim", nullptr}})).shape.head_dim, 16);
}

TEST(HfConfigTest, KnowsTheSlidingWindowOfEachArchitecture) {
  const auto window = [](const std::string& architecture, const json& changes) {
    return hf(tiny(architecture, changes)).shape.layers.at(0).sliding_window;
  };
  json absent = tiny("mistral");
  absent.erase("sliding_window");
  EXPECT_EQ(hf(absent).shape.layers.at(0).sliding_window, 4096);        // MistralConfig's default
  EXPECT_EQ(hf(tiny("mistral")).shape.layers.at(0).sliding_window, 0);  // null
  EXPECT_EQ(window("mistral", {{"sliding_window", 128}}), 128);
  EXPECT_EQ(window("llama", {{"sliding_window", 128}}), 0);  // LlamaConfig has none
  const json sliding = {"sliding_attention", "sliding_attention"},
             full = {"full_attention", "full_attention"};
  for (const char* qwen : {"qwen2", "qwen3"}) {
    EXPECT_EQ(window(qwen, {{"sliding_window", 128}}), 0);
    EXPECT_EQ(
        window(qwen,
               {{"sliding_window", 128}, {"use_sliding_window", true}, {"max_window_layers", 2}}),
        0);
    EXPECT_EQ(
        window(qwen,
               {{"sliding_window", 128}, {"use_sliding_window", true}, {"max_window_layers", 0}}),
        128);
    EXPECT_EQ(
        window(qwen,
               {{"sliding_window", 128}, {"use_sliding_window", true}, {"layer_types", full}}),
        0);
    EXPECT_EQ(
        window(qwen,
               {{"sliding_window", 128}, {"use_sliding_window", true}, {"layer_types", sliding}}),
        128);
    EXPECT_EQ(window(qwen, {{"layer_types", full}}), 0);
  }
}

// By layer.
std::vector<std::int32_t> windows_of(const json& config) {
  std::vector<std::int32_t> windows;
  for (const LayerShape& layer : hf(config).shape.layers) windows.push_back(layer.sliding_window);
  return windows;
}

std::vector<bool> rotations_of(const json& config) {
  std::vector<bool> rotated;
  for (const LayerShape& layer : hf(config).shape.layers) rotated.push_back(layer.rope != kNoRope);
  return rotated;
}

// As Qwen2Config and Qwen3Config of transformers work it out.
TEST(HfConfigTest, WindowsOfQwenDifferBetweenLayers) {
  using Windows = std::vector<std::int32_t>;
  for (const char* qwen : {"qwen2", "qwen3"}) {
    json config = tiny(qwen, {{"sliding_window", 128},
                              {"use_sliding_window", true},
                              {"num_hidden_layers", 4},
                              {"max_window_layers", 3}});
    EXPECT_EQ(windows_of(config), (Windows{0, 0, 0, 128}));
    config["layer_types"] = {"sliding_attention", "full_attention", "sliding_attention",
                             "full_attention"};
    EXPECT_EQ(windows_of(config), (Windows{128, 0, 128, 0}));
  }
}

json tiny_smollm3(const json& changes = json::object()) {
  json config = tiny("llama", {{"model_type", "smollm3"},
                               {"architectures", {"SmolLM3ForCausalLM"}},
                               {"num_hidden_layers", 4},
                               {"tie_word_embeddings", nullptr},
                               {"rope_theta", nullptr}});
  config.merge_patch(changes);
  return config;
}

// As SmolLM3Config of transformers works it out.
TEST(HfConfigTest, SomeLayersOfSmolLm3AreNotRotated) {
  using Rotations = std::vector<bool>;
  EXPECT_EQ(rotations_of(tiny_smollm3()), (Rotations{true, true, true, false}));
  EXPECT_EQ(rotations_of(tiny_smollm3({{"no_rope_layer_interval", 2}})),
            (Rotations{true, false, true, false}));
  EXPECT_EQ(rotations_of(
                tiny_smollm3({{"no_rope_layer_interval", 2}, {"no_rope_layers", {0, 1, 1, 1, 0}}})),
            (Rotations{false, true, true, true}));
  // LlamaConfig does not know the key.
  EXPECT_EQ(rotations_of(tiny("llama", {{"no_rope_layers", {0, 1}}})), (Rotations{true, true}));
  const ModelConfig config = hf(tiny_smollm3());
  EXPECT_EQ(config.architecture, "smollm3");
  EXPECT_TRUE(config.tied_head);
  EXPECT_NEAR(config.shape.ropes.at(0).at(1), std::pow(2e6, -2.0 / 16), 1e-15);
}

TEST(HfConfigTest, WindowsOfSmolLm3AreWhereNothingIsRotated) {
  using Windows = std::vector<std::int32_t>;
  json config = tiny_smollm3({{"sliding_window", 64}, {"no_rope_layer_interval", 2}});
  EXPECT_EQ(windows_of(config), (Windows{0, 0, 0, 0}));
  config["use_sliding_window"] = true;
  EXPECT_EQ(windows_of(config), (Windows{0, 64, 0, 64}));
  config["layer_types"] = {"sliding_attention", "full_attention", "full_attention",
                           "full_attention"};
  EXPECT_EQ(windows_of(config), (Windows{64, 0, 0, 0}));
}

const std::vector<BadConfig> kBadFamilies{
    {"llama",
     {{"model_type", "gpt2"}},
     "the architecture 'gpt2' is not supported: supported are llama"},
    {"llama", {{"model_type", "phimoe"}}, "'phimoe'"},
    {"llama", {{"model_type", "glm4_moe"}}, "'glm4_moe'"},
    {"llama", {{"model_type", "a\nb"}}, R"('a\x0Ab')"},
    {"llama", {{"model_type", 5}}, "model_type is 5, not a string"},
    {"llama",
     {{"model_type", nullptr}, {"architectures", nullptr}},
     "neither model_type nor architectures"},
    {"llama",
     {{"model_type", nullptr}, {"architectures", {"GPTNeoXForCausalLM"}}},
     "'GPTNeoXForCausalLM'"},
    {"llama",
     {{"architectures", {"LlamaForSequenceClassification"}}},
     "of llama only LlamaForCausalLM is"},
    {"llama", {{"architectures", "LlamaForCausalLM"}}, "architectures is not a list"},
    {"llama", {{"architectures", json::array()}}, "architectures is not a list"},
    {"llama", {{"hidden_act", "relu"}}, "hidden_act 'relu' is not supported"},
    {"llama", {{"hidden_act", "quick_gelu"}}, "hidden_act 'quick_gelu' is not supported"},
    {"mistral", {{"mlp_bias", true}}, "mlp_bias is true"},
    {"qwen2", {{"mlp_bias", true}}, "mlp_bias is true"},
    {"llama", {{"mlp_bias", 1}}, "mlp_bias is 1, not true or false"},
    {"llama", {{"quantization_config", {{"quant_method", "hqq"}}}}, "quantised with 'hqq'"},
    {"llama",
     {{"quantization_config", {{"quant_method", "mxfp4"}}}},
     "quant_method is 'mxfp4', which is not supported of llama"},
    {"llama", {{"quantization_config", 4}}, "quantised with quantization_config"},
};

const std::vector<BadConfig> kBadRotations{
    {"llama", {{"partial_rotary_factor", 0.5}}, "partial_rotary_factor is not 1"},
    {"llama", {{"rope_interleaved", true}}, "rope_interleaved"},
    {"llama", {{"rope_theta", 0}}, "rope_theta is 0, outside"},
    {"llama", {{"rope_theta", -10000.0}}, "rope_theta is -10000.0, outside"},
    {"llama", {{"rope_theta", "10000"}}, "rope_theta is '10000', not a number"},
    {"llama",
     {{"rope_scaling", 5}},
     "config.json: rope_scaling: the configuration is not a JSON object"},
    {"llama", {{"rope_scaling", {{"type", "linear"}}}}, "rope_scaling: factor is missing"},
    {"llama", {{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}}, "factor is 0, outside"},
    {"llama",
     {{"rope_scaling", {{"rope_type", "llama3"}, {"factor", 8}}}},
     "low_freq_factor is missing"},
    {"llama",
     {{"rope_scaling",
       {{"rope_type", "llama3"},
        {"factor", 8},
        {"low_freq_factor", 4},
        {"high_freq_factor", 4},
        {"original_max_position_embeddings", 64}}}},
     "high_freq_factor is not above"},
    {"llama",
     {{"rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}}},
     "differs between kinds of layers"},
    {"llama",
     {{"rope_parameters", {{"rope_type", "default"}, {"partial_rotary_factor", 0.25}}}},
     "partial_rotary_factor"},
};

const std::vector<BadConfig> kBadNumbers{
    {"llama", {{"num_key_value_heads", 3}}, "4 attention heads are not a multiple of 3"},
    {"llama", {{"num_key_value_heads", 8}}, "4 attention heads are not a multiple of 8"},
    {"llama", {{"head_dim", 15}}, "head size 15 is not an even number"},
    {"llama", {{"head_dim", 514}}, "head_dim is 514, outside 2 to 512"},
    {"llama", {{"head_dim", nullptr}, {"hidden_size", 66}}, "hidden_size is not a multiple"},
    {"llama", {{"num_attention_heads", kMaxHeads + 1}}, "heads is 4097, outside 1 to 4096"},
    {"llama", {{"num_key_value_heads", kMaxHeads + 1}}, "heads is 4097, outside 1 to 4096"},
    {"llama", {{"num_hidden_layers", kMaxLayers + 1}}, "layers is 4097, outside 1 to 4096"},
    {"llama", {{"hidden_size", kMaxHiddenSize + 1}}, "outside 1 to 1048576"},
    {"llama", {{"intermediate_size", kMaxIntermediateSize + 1}}, "outside 1 to 4194304"},
    {"llama", {{"vocab_size", kMaxVocabSize + 1}}, "outside 1 to 16777216"},
    {"llama", {{"rms_norm_eps", 0}}, "rms_norm_eps is 0, outside"},
    {"llama", {{"rms_norm_eps", -1e-5}}, "rms_norm_eps"},
    {"llama", {{"tie_word_embeddings", "yes"}}, "tie_word_embeddings is 'yes', not true or false"},
};

const std::vector<BadConfig> kBadLayerTypes{
    {"mistral", {{"sliding_window", 0}}, "sliding_window is 0, outside"},
    {"mistral", {{"sliding_window", -1}}, "sliding_window is -1"},
    {"mistral",
     {{"sliding_window", 64}, {"layer_types", {"full_attention", "full_attention"}}},
     "layer_types says full_attention"},
    {"smollm3", {{"no_rope_layers", {1}}}, "a number for each of the 2 layers"},
    {"smollm3", {{"no_rope_layers", 1}}, "no_rope_layers is not a list"},
    {"smollm3", {{"no_rope_layers", {1, 2}}}, "no_rope_layers holds what is neither 0 nor 1"},
    {"smollm3", {{"no_rope_layer_interval", 0}}, "no_rope_layer_interval is 0, outside"},
    {"smollm3",
     {{"sliding_window", 64}, {"layer_types", {"full_attention", "sliding_attention"}}},
     "there is no sliding_window"},
    {"qwen3", {{"layer_types", {"full_attention"}}}, "a name for each of the 2 layers"},
    {"qwen3",
     {{"layer_types", {"linear_attention", "linear_attention"}}},
     "layer_types holds 'linear_attention'"},
    {"qwen3", {{"layer_types", {1, 2}}}, "layer_types holds something"},
    {"qwen3",
     {{"layer_types", {"sliding_attention", "sliding_attention"}}},
     "there is no sliding_window"},
};

std::vector<BadConfig> unknown_scalings() {
  std::vector<BadConfig> cases;
  for (const char* type : {"su", "mrope", "proportional", "axial", "ntk"}) {
    const std::string message = std::string("the scaling '") + type + "' is not supported";
    cases.push_back({"llama", {{"rope_scaling", {{"type", type}, {"factor", 2.0}}}}, message});
    cases.push_back(
        {"qwen2", {{"rope_parameters", {{"rope_type", type}, {"factor", 2.0}}}}, message});
  }
  const auto bad = [&](json rope, const std::string& message) {
    cases.push_back({"llama", {{"rope_scaling", std::move(rope)}}, message});
  };
  const json ones = std::vector<double>(4, 1.0), twos = std::vector<double>(8, 2.0);
  bad({{"type", "yarn"}}, "factor is missing");
  bad({{"type", "yarn"}, {"factor", 2.0}, {"beta_fast", "32"}}, "beta_fast is '32'");
  bad({{"type", "yarn"}, {"factor", 2.0}, {"truncate", 1}}, "truncate is 1");
  bad({{"type", "yarn"}, {"factor", 2.0}, {"attention_factor", 0}}, "attention_factor is 0");
  bad({{"type", "yarn"}, {"factor", 2.0}, {"low_freq_factor", 1}}, "does not have");
  bad({{"type", "longrope"}}, "short_factor is missing");
  bad({{"type", "longrope"}, {"short_factor", ones}}, "short_factor is not a list of 8");
  bad({{"type", "longrope"}, {"short_factor", twos}}, "long_factor is missing");
  bad({{"type", "longrope"}, {"short_factor", twos}, {"long_factor", {1, 1, 1, 1, 1, 1, 1, 0}}},
      "long_factor holds 0");
  bad({{"type", "longrope"}, {"short_factor", twos}, {"long_factor", {1, 1, 1, 1, 1, 1, 1, "2"}}},
      "long_factor holds '2'");
  bad({{"type", "dynamic"}, {"factor", 2.0}, {"beta_slow", 1}}, "does not have");
  bad({{"type", "default"}, {"partial_rotary_factor", 0.5}}, "rotates whole heads");
  return cases;
}

// What no size of a model may be.
std::vector<BadConfig> bad_sizes() {
  std::vector<BadConfig> cases;
  for (const char* key : {"num_hidden_layers", "hidden_size", "intermediate_size",
                          "num_attention_heads", "vocab_size", "max_position_embeddings"}) {
    const std::string name = key;
    cases.push_back({"llama", {{key, nullptr}}, name + " is missing"});
    cases.push_back({"llama", {{key, 0}}, name + " is 0, outside"});
    cases.push_back({"llama", {{key, -1}}, name + " is -1, outside"});
    cases.push_back(
        {"llama", {{key, std::uint64_t{1} << 63}}, name + " is 9223372036854775808, outside"});
    cases.push_back({"llama", {{key, 4294967297}}, name + " is 4294967297, outside"});
    cases.push_back({"llama", {{key, 2.5}}, name + " is 2.5, not an integer"});
    cases.push_back({"llama", {{key, "2"}}, name + " is '2', not an integer"});
    cases.push_back({"llama", {{key, {1, 2}}}, name + " is array, not an integer"});
    cases.push_back({"llama", {{key, true}}, name + " is true, not an integer"});
  }
  return cases;
}

TEST(HfConfigTest, RefusesByName) {
  for (const auto& cases :
       {kBadFamilies, kBadRotations, kBadNumbers, kBadLayerTypes, unknown_scalings(),
        other_architectures(), other_switches(), bad_sizes()}) {
    for (const BadConfig& bad : cases) {
      const std::string message = error_of([&] { hf(tiny(bad.architecture, bad.changes)); });
      EXPECT_TRUE(contains(message, "config.json: ")) << message;
      EXPECT_TRUE(contains(message, bad.message)) << message << " for " << bad.changes;
    }
  }
  EXPECT_TRUE(contains(error_of([] { hf(json::array()); }), "not a JSON object"));
}

// MistralConfig has 8 key-value heads where none are said, and as many as heads for null.
TEST(HfConfigTest, AbsentSizesAreThoseOfTheFamily) {
  json config = tiny("mistral", {{"num_attention_heads", 16}, {"head_dim", 4}});
  config["num_key_value_heads"] = nullptr;
  EXPECT_EQ(hf(config).shape.n_kv_heads, 16);
  config.erase("num_key_value_heads");
  EXPECT_EQ(hf(config).shape.n_kv_heads, 8);
}

// What is set and nothing reads is named to the user.
TEST(HfConfigTest, NamesTheKeysThatNothingReads) {
  const json changes = {
      {"quirk", 5},           {"sliding_window", 128}, {"unsloth_version", "2025.1"},
      {"_name_or_path", "x"}, {"pad_token_id", 3},     {"switched_off", false}};
  EXPECT_EQ(hf(tiny("llama", changes)).unknown_keys,
            (std::vector<std::string>{"quirk", "sliding_window"}));
  EXPECT_TRUE(hf(tiny("smollm3")).unknown_keys.empty());
}

}  // namespace
}  // namespace tovamill
