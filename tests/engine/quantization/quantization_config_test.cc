// quantization_config of Hugging Face directories: what is understood, and what is refused by name.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/quantization/quantization.h"
#include "tests/support/error_of.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::contains;
using testing::error_of;

const json kFp8 = json::parse(R"({
    "activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128],
    "modules_to_not_convert": ["lm_head"]})");
// As llm-compressor writes it (RedHatAI's w4a16).
const json kCompressed = json::parse(R"({
    "config_groups": {"group_0": {"input_activations": null, "output_activations": null, "targets": ["Linear"],
      "weights": {"actorder": "weight", "block_structure": null, "dynamic": false, "group_size": 128,
                  "num_bits": 4, "observer": "minmax", "observer_kwargs": {}, "strategy": "group",
                  "symmetric": true, "type": "int"}}},
    "format": "pack-quantized", "global_compression_ratio": 1.8, "ignore": ["lm_head"], "kv_cache_scheme": null,
    "quant_method": "compressed-tensors", "quantization_status": "compressed"})");
const json kGptq = json::parse(R"({
    "bits": 4, "group_size": 128, "damp_percent": 0.01, "desc_act": true, "static_groups": false, "sym": true,
    "true_sequential": true, "model_name_or_path": null, "model_file_base_name": "model", "quant_method": "gptq"})");
const json kAwq = json::parse(R"({
    "bits": 4, "group_size": 64, "modules_to_not_convert": null, "quant_method": "awq", "version": "gemm",
    "zero_point": true})");

Quantization read(const json& config) { return quantization_from_hf(config, "config.json"); }

json changed(json config, const json& changes) {
  config.merge_patch(changes);  // null removes
  return config;
}

// Of the one group's weights.
json with_weights(const json& changes) {
  return changed(kCompressed, {{"config_groups", {{"group_0", {{"weights", changes}}}}}});
}

TEST(QuantizationConfig, ReadsFp8) {
  const Quantization q = read(kFp8);
  EXPECT_EQ(q.method, QuantizationMethod::fp8);
  EXPECT_EQ(q.scale_of, ScaleOf::block);
  EXPECT_EQ(q.block_rows, 128);
  EXPECT_EQ(q.block_columns, 128);
  EXPECT_EQ(q.description,
            "FP8 in blocks of 128 x 128 (its quantisation of activations is not applied)");
  json whole = kFp8;
  whole["weight_block_size"] = nullptr;
  EXPECT_EQ(read(whole).scale_of, ScaleOf::tensor);
}

TEST(QuantizationConfig, ReadsCompressedTensors) {
  const Quantization q = read(kCompressed);
  EXPECT_EQ(q.method, QuantizationMethod::packed);
  EXPECT_EQ(q.bits, 4);
  EXPECT_EQ(q.group_size, 128);
  EXPECT_FALSE(q.has_zeros);
  EXPECT_EQ(q.description, "compressed-tensors pack-quantized of 4 bits in groups of 128");
  EXPECT_FALSE(q.needs_groups_of_columns);
  EXPECT_TRUE(read(with_weights({{"actorder", "group"}})).needs_groups_of_columns);
  const Quantization rows = read(with_weights({{"strategy", "channel"}, {"group_size", nullptr}}));
  EXPECT_EQ(rows.scale_of, ScaleOf::row);
  json activations = changed(kCompressed, {{"format", "int-quantized"}});
  activations["config_groups"]["group_0"]["input_activations"] = {{"num_bits", 8}};
  EXPECT_EQ(read(activations).method, QuantizationMethod::integers);
  EXPECT_TRUE(contains(read(activations).description, "activations is not applied"));
}

TEST(QuantizationConfig, ReadsGptqAndAwq) {
  const Quantization q = read(kGptq);
  EXPECT_EQ(q.method, QuantizationMethod::gptq);
  EXPECT_TRUE(q.zeros_are_less_by_one);
  EXPECT_TRUE(q.needs_groups_of_columns);
  EXPECT_EQ(q.description, "GPTQ of 4 bits in groups of 128");
  EXPECT_FALSE(read(changed(kGptq, {{"checkpoint_format", "gptq_v2"}})).zeros_are_less_by_one);
  EXPECT_EQ(read(changed(kGptq, {{"group_size", -1}})).scale_of, ScaleOf::row);
  EXPECT_EQ(read(kAwq).description, "AWQ of 4 bits in groups of 64");
}

struct BadQuantization {
  json config;
  std::string message;
};

TEST(QuantizationConfig, WhatIsNotUnderstoodIsRefusedByName) {
  json two = kCompressed, targets = kCompressed;
  two["config_groups"]["group_1"] = two["config_groups"]["group_0"];
  targets["config_groups"]["group_0"]["targets"] = {"re:.*mlp.*"};
  const std::vector<BadQuantization> kBad{
      {json::object(), "quantised with quantization_config"},
      {json::array(), "quantised with quantization_config"},
      {{{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}}, "quantised with 'bitsandbytes'"},
      {{{"quant_method", 5}}, "quant_method is 5"},
      {{{"quant_method", "mxfp4"}, {"block", 16}}, "'block' is not understood"},
      {changed(kFp8, {{"fmt", "e5m2"}}), "fmt is 'e5m2'"},
      {changed(kFp8, {{"weight_block_size", {128}}}), "weight_block_size is array"},
      {changed(kFp8, {{"weight_block_size", {128, 0}}}), "weight_block_size is array"},
      {changed(kFp8, {{"weight_block_size", {128, 1e30}}}), "weight_block_size is array"},
      {changed(kFp8, {{"activation_scheme", "none"}}), "activation_scheme is 'none'"},
      {changed(kFp8, {{"modules_to_convert", {"embed"}}}), "modules_to_convert is array"},
      {changed(kFp8, {{"modules_to_not_convert", {1}}}), "modules_to_not_convert is array"},
      {changed(kFp8, {{"expert_dtype", "fp4"}}), "expert_dtype is 'fp4'"},
      {changed(kFp8, {{"scale_fmt", "e5m2"}}), "scale_fmt is 'e5m2'"},
      {changed(kFp8, {{"rotate", true}}), "'rotate' is not understood"},
      {changed(kCompressed, {{"format", "nvfp4-pack-quantized"}}), "format is 'nvfp4-pack-quanti"},
      {changed(kCompressed, {{"format", "mixed-precision"}}), "format is 'mixed-precision'"},
      {changed(kCompressed, {{"format", nullptr}}), "format is missing"},
      {changed(kCompressed, {{"quantization_status", "initialized"}}),
       "quantization_status is 'initialized'"},
      {changed(kCompressed, {{"kv_cache_scheme", {{"num_bits", 8}}}}), "kv_cache_scheme is object"},
      {changed(kCompressed, {{"sparsity_config", {{"format", "sparse-24-bitmask"}}}}),
       "sparsity_config is object"},
      {changed(kCompressed, {{"transform_config", {{"config_groups", 1}}}}), "transform_config"},
      {changed(kCompressed, {{"config_groups", nullptr}}), "config_groups is not one group"},
      {changed(kCompressed, {{"ignore", "lm_head"}}), "ignore is 'lm_head'"},
      {changed(kCompressed, {{"secret", 1}}), "'secret' is not understood"},
      {two, "config_groups is not one group"},
      {targets, "targets is not [\"Linear\"]"},
      {with_weights({{"num_bits", 3}}), "num_bits is 3"},
      {with_weights({{"type", "float"}}), "type is 'float'"},
      {with_weights({{"strategy", "token"}}), "strategy is 'token'"},
      {with_weights({{"strategy", "channel"}}), "group_size is 128"},
      {with_weights({{"group_size", nullptr}}), "group_size is missing"},
      {with_weights({{"group_size", 0}}), "group_size is 0"},
      {with_weights({{"dynamic", true}}), "dynamic is true"},
      {with_weights({{"actorder", "random"}}), "actorder is 'random'"},
      {with_weights({{"actorder", true}}), "actorder is true"},
      {changed(with_weights({{"actorder", "group"}}), {{"format", "int-quantized"}}),
       "actorder is 'group'"},
      {with_weights({{"global", 1}}), "'global' is not understood"},
      {changed(kGptq, {{"bits", nullptr}}), "bits is missing"},
      {changed(kGptq, {{"bits", 3}}), "bits is 3"},
      {changed(kGptq, {{"group_size", -2}}), "group_size is -2"},
      {changed(kGptq, {{"checkpoint_format", "marlin"}}), "checkpoint_format is 'marlin'"},
      {changed(kGptq, {{"format", "gptq"}, {"checkpoint_format", "gptq_v2"}}),
       "checkpoint_format is 'gptq_v2'"},
      {changed(kGptq, {{"is_marlin_format", true}}), "is_marlin_format is true"},
      {changed(kGptq, {{"dynamic", {{"-:.*mlp", json::object()}}}}), "dynamic is object"},
      {changed(kGptq, {{"desc_act", "yes"}}), "desc_act is 'yes'"},
      {changed(kGptq, {{"unheard_of", 1}}), "'unheard_of' is not understood"},
      {changed(kAwq, {{"bits", 8}}), "bits is 8"},
      {changed(kAwq, {{"version", "gemv"}}), "version is 'gemv'"},
      {changed(kAwq, {{"format", "gemv_fast"}}), "format is 'gemv_fast'"},
      {changed(kAwq, {{"backend", "llm-awq"}}), "backend is 'llm-awq'"},
      {changed(kAwq, {{"zero_point", false}}), "zero_point is false"},
  };
  for (const BadQuantization& bad : kBad) {
    const std::string message = error_of([&] { read(bad.config); });
    EXPECT_TRUE(contains(message, bad.message)) << bad.message << "\n" << message;
    EXPECT_TRUE(message.starts_with("config.json: ")) << message;
  }
}

}  // namespace
}  // namespace tovamill
