#include "tests/support/models/model_builder.h"

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "engine/model/rotary.h"
#include "tests/support/models/file_builders.h"

namespace tovamill::testing {

namespace {

void write_file(const std::filesystem::path& path, std::string_view content) {
  std::ofstream out(path, std::ios::binary);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  if (!out) throw std::runtime_error("cannot write " + path.string());
}

// llama.cpp's row order of Q and K in `llama` files: row 2i + half of a head is Hugging Face's row
// half * d/2 + i.
std::vector<float> interleaved(const TinyTensor& tensor, std::int32_t head_dim) {
  const std::int64_t n_rows = tensor.shape.front();
  const std::int64_t n_cols = tensor.shape.size() == 2 ? tensor.shape.back() : 1;
  std::vector<float> result(tensor.values.size());
  for (std::int64_t row = 0; row < n_rows; ++row) {
    const std::int64_t head = row / head_dim, within = row % head_dim;
    const std::int64_t from = head * head_dim + (within % 2) * (head_dim / 2) + within / 2;
    std::copy_n(tensor.values.begin() + from * n_cols, n_cols, result.begin() + row * n_cols);
  }
  return result;
}

bool is_q_or_k(const std::string& gguf_name) {
  for (const char* part : {".attn_q.", ".attn_k."}) {
    if (gguf_name.find(part) != std::string::npos) return true;
  }
  return false;
}

void add_rope_scaling(GgufBuilder& file, const TinyModel& m, const std::string& arch) {
  if (m.rope_scaling.is_null()) return;
  const nlohmann::json& s = m.rope_scaling;
  if (s.at("rope_type") == "linear") {
    file.text(arch + "rope.scaling.type", "linear");
    file.f32(arch + "rope.scaling.factor", s.at("factor").get<float>());
    return;
  }
  const RotaryScaling scaling = {.kind = RotaryScaling::Kind::llama3,
                                 .factor = s.at("factor"),
                                 .low_freq_factor = s.at("low_freq_factor"),
                                 .high_freq_factor = s.at("high_freq_factor"),
                                 .original_context = s.at("original_max_position_embeddings")};
  const auto plain = rotary_frequencies(m.rope_theta, m.head_dim, m.head_dim, {});
  const auto scaled = rotary_frequencies(m.rope_theta, m.head_dim, m.head_dim, scaling);
  std::vector<float> divisors;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    divisors.push_back(static_cast<float>(plain[i] / scaled[i]));
  }
  file.tensor({"rope_freqs.weight",
               StorageType::f32,
               {m.head_dim / 2},
               encode(divisors, StorageType::f32)});
}

void add_tokenizer(GgufBuilder& file, const TinyModel& m) {
  const TinyTokenizer tokenizer = tiny_tokenizer(m.vocab_size);
  constexpr std::int32_t kNormal = 1, kControl = 3, kUnused = 5;
  std::vector<std::int32_t> types;
  for (const std::string& token : tokenizer.tokens) {
    types.push_back(token.rfind("<unused", 0) == 0 ? kUnused : kNormal);
  }
  types.back() = kControl;
  file.text("tokenizer.ggml.model", "gpt2");
  file.text("tokenizer.ggml.pre", "gpt-2");
  file.texts("tokenizer.ggml.tokens", tokenizer.tokens);
  file.i32s("tokenizer.ggml.token_type", types);
  file.texts("tokenizer.ggml.merges", tokenizer.merges);
  file.u32("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(tokenizer.end_of_text));
  file.u32("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(tokenizer.end_of_text));
  file.boolean("tokenizer.ggml.add_bos_token", false);
}

std::string shard_name(int i, int n) {
  const auto five = [](int number) {
    const std::string digits = std::to_string(number);
    return std::string(5 - digits.size(), '0') + digits;
  };
  return "model-" + five(i) + "-of-" + five(n) + ".safetensors";
}

}  // namespace

TinyModel mixed_model(std::int32_t n_layers) {
  TinyModel model;
  model.architecture = "smollm3";
  model.n_layers = n_layers;
  model.changes = {{"sliding_window", 20}, {"use_sliding_window", true}};
  for (std::int32_t l = 0; l < n_layers; ++l) {
    model.changes["no_rope_layers"].push_back(l % 2 == 1 ? 0 : 1);
    model.changes["layer_types"].push_back(l % 3 == 2 ? "sliding_attention" : "full_attention");
  }
  return model;
}

nlohmann::json tiny_config(const TinyModel& m) {
  const std::string name = m.architecture == "llama"     ? "Llama"
                           : m.architecture == "mistral" ? "Mistral"
                           : m.architecture == "qwen2"   ? "Qwen2"
                           : m.architecture == "qwen3"   ? "Qwen3"
                                                         : "SmolLM3";
  const std::int32_t end_of_text = m.vocab_size - 1;
  nlohmann::json config = {{"architectures", {name + "ForCausalLM"}},
                           {"model_type", m.architecture},
                           {"num_hidden_layers", m.n_layers},
                           {"hidden_size", m.hidden_size},
                           {"intermediate_size", m.intermediate_size},
                           {"num_attention_heads", m.n_heads},
                           {"num_key_value_heads", m.n_kv_heads},
                           {"head_dim", m.head_dim},
                           {"vocab_size", m.vocab_size},
                           {"max_position_embeddings", m.context},
                           {"rms_norm_eps", 1e-5},
                           {"hidden_act", "silu"},
                           {"rope_theta", m.rope_theta},
                           {"rope_scaling", m.rope_scaling},
                           {"tie_word_embeddings", m.tied},
                           {"bos_token_id", end_of_text},
                           {"eos_token_id", end_of_text},
                           {"torch_dtype", m.dtype == StorageType::f32 ? "float32" : "bfloat16"}};
  if (m.architecture == "llama" || m.architecture == "qwen3" || m.architecture == "smollm3") {
    config["attention_bias"] = m.attention_bias;
  }
  if (m.architecture != "llama") {
    config["sliding_window"] =
        m.sliding_window > 0 ? nlohmann::json(m.sliding_window) : nlohmann::json();
  }
  if (m.architecture == "qwen2" || m.architecture == "qwen3") {
    config["use_sliding_window"] = m.sliding_window > 0;
    config["max_window_layers"] = m.sliding_window > 0 ? 0 : m.n_layers;
  }
  config.merge_patch(m.changes);
  return config;
}

void write_hf_model(const TinyModel& m, const std::filesystem::path& directory, int n_shards) {
  std::filesystem::create_directories(directory);
  const std::int32_t end_of_text = m.vocab_size - 1;
  write_file(directory / "config.json", tiny_config(m).dump(2));
  write_file(directory / "tokenizer.json", tiny_tokenizer_json(m.vocab_size).dump());
  write_file(directory / "tokenizer_config.json",
             nlohmann::json({{"tokenizer_class", "PreTrainedTokenizerFast"},
                             {"bos_token", "<|endoftext|>"},
                             {"eos_token", "<|endoftext|>"},
                             {"clean_up_tokenization_spaces", false}})
                 .dump(2));
  write_file(
      directory / "generation_config.json",
      nlohmann::json({{"bos_token_id", end_of_text}, {"eos_token_id", end_of_text}}).dump(2));

  std::vector<std::vector<FileTensor>> shards(static_cast<std::size_t>(n_shards));
  nlohmann::json weight_map;
  const auto tensors = tiny_tensors(m);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const int shard = static_cast<int>(i * static_cast<std::size_t>(n_shards) / tensors.size());
    const TinyTensor& t = tensors[i];
    shards[static_cast<std::size_t>(shard)].push_back(
        {t.hf_name, m.dtype, t.shape, encode(t.values, m.dtype)});
    weight_map[t.hf_name] = shard_name(shard + 1, n_shards);
  }
  if (n_shards == 1) {
    write_file(directory / "model.safetensors", safetensors_file(shards[0]));
    return;
  }
  for (int i = 0; i < n_shards; ++i) {
    write_file(directory / shard_name(i + 1, n_shards),
               safetensors_file(shards[static_cast<std::size_t>(i)]));
  }
  write_file(
      directory / "model.safetensors.index.json",
      nlohmann::json({{"metadata", {{"total_size", 0}}}, {"weight_map", weight_map}}).dump());
}

void write_gguf_model(const TinyModel& m, const std::filesystem::path& path) {
  GgufBuilder file;
  const std::string name = m.architecture == "mistral" ? "llama" : m.architecture;
  const bool is_interleaved = name == "llama" || name == "smollm3";
  const std::string arch = name + ".";
  const auto u32 = [&](const char* key, std::int32_t value) {
    file.u32(arch + key, static_cast<std::uint32_t>(value));
  };
  file.text("general.architecture", name);
  file.text("general.name", "tiny");
  u32("block_count", m.n_layers);
  u32("context_length", m.context);
  u32("embedding_length", m.hidden_size);
  u32("feed_forward_length", m.intermediate_size);
  u32("attention.head_count", m.n_heads);
  u32("attention.head_count_kv", m.n_kv_heads);
  u32("attention.key_length", m.head_dim);
  u32("attention.value_length", m.head_dim);
  u32("rope.dimension_count", m.head_dim);
  u32("vocab_size", m.vocab_size);
  if (m.sliding_window > 0) u32("attention.sliding_window", m.sliding_window);
  file.f32(arch + "attention.layer_norm_rms_epsilon", 1e-5f);
  file.f32(arch + "rope.freq_base", static_cast<float>(m.rope_theta));
  add_rope_scaling(file, m, arch);
  if (m.attention_factor != 0)
    file.f32(arch + "rope.scaling.attn_factor", static_cast<float>(m.attention_factor));
  add_tokenizer(file, m);
  for (const TinyTensor& t : tiny_tensors(m)) {
    const StorageType dtype = t.shape.size() == 1 ? StorageType::f32 : m.dtype;
    const auto values =
        is_interleaved && is_q_or_k(t.gguf_name) ? interleaved(t, m.head_dim) : t.values;
    file.tensor({t.gguf_name, dtype, t.shape, encode(values, dtype)});
  }
  write_file(path, file.bytes());
}

}  // namespace tovamill::testing
