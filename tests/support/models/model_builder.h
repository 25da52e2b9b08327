// Tiny but complete models with random weights: config, weights and a byte-level BPE tokenizer, as
// a Hugging Face directory and as a GGUF file. Both hold the same model: every weight is a multiple
// of 2^-14 with eight significant bits, so that F32, F16 and BF16 files agree exactly.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/types/tensor.h"

namespace tovamill::testing {

struct TinyModel {
  std::string architecture = "llama";  // "llama", "mistral", "qwen2", "qwen3", "smollm3"
  std::int32_t n_layers = 2;
  std::int32_t hidden_size = 64;
  std::int32_t intermediate_size = 96;
  std::int32_t n_heads = 4;
  std::int32_t n_kv_heads = 2;
  std::int32_t head_dim = 16;
  std::int32_t vocab_size =
      320;  // at least 300: 256 bytes, 40 merges, the rest unused but for the last, the end of text
  std::int32_t context = 512;  // max_position_embeddings
  std::int32_t sliding_window =
      0;  // tokens; not for llama; not said in GGUF files of Mistral by others, but here
  double rope_theta = 10'000;
  nlohmann::json rope_scaling =
      {};  // as in config.json; in GGUF only "linear" and "llama3" (as divisors)
  double attention_factor = 0;  // rope.scaling.attn_factor of GGUF files; 0 is not said
  bool tied = false;
  bool attention_bias = false;  // llama, qwen3 and smollm3: biases on q, k, v and o
  nlohmann::json changes = nlohmann::json::object();  // of config.json: a merge patch
  StorageType dtype =
      StorageType::bf16;  // of the matrices: F32, F16, BF16, in GGUF also Q8_0 (other values then)
  std::uint64_t seed = 1;
};

// Half as wide: for tests of many settings.
inline TinyModel narrow_model() {
  TinyModel model;
  model.hidden_size = 32;
  model.intermediate_size = 40;
  model.head_dim = 8;
  model.vocab_size = 300;
  return model;
}

// Layers that differ: every second is not rotated, every third has a sliding window of 20 tokens.
// As a Hugging Face directory only.
TinyModel mixed_model(std::int32_t n_layers);

// One tensor of the model by both of its names. Values in Hugging Face's row order.
struct TinyTensor {
  std::string hf_name, gguf_name;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

std::vector<TinyTensor> tiny_tensors(const TinyModel& model);
nlohmann::json tiny_config(const TinyModel& model);  // config.json

// Writes config.json, generation_config.json, tokenizer.json, tokenizer_config.json and the
// weights: model.safetensors, or with several shards model-0000i-of-0000n.safetensors and their
// index. Makes the directory.
void write_hf_model(const TinyModel& model, const std::filesystem::path& directory,
                    int n_shards = 1);
void write_gguf_model(const TinyModel& model, const std::filesystem::path& file);

// The tokenizer alone: GPT-2's byte-level BPE with 40 merges. The last id is the end of text,
// "<|endoftext|>".
struct TinyTokenizer {
  std::vector<std::string> tokens;  // by id
  std::vector<std::string> merges;  // "left right", by rank
  std::int32_t end_of_text = 0;
};
TinyTokenizer tiny_tokenizer(std::int32_t vocab_size);
nlohmann::json tiny_tokenizer_json(std::int32_t vocab_size);

}  // namespace tovamill::testing
