#include "io/model/random_model.h"

#include <algorithm>
#include <new>
#include <utility>

#include "engine/model/model_config.h"
#include "io/model/digest.h"
#include "io/model/random_families.h"
#include "io/model/random_weights.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "kernels/types/printable.h"

namespace tovamill {
namespace {

// Is raised whenever the same name gives other numbers than before.
constexpr std::uint64_t kVersion = 1;

// The values of the config.json of the model of that name.
struct Spec {
  const char* name;
  const char* architecture;
  std::int64_t layers, hidden, intermediate, heads, kv_heads, vocabulary, context;
  double rope_theta, rms_norm_eps;
  bool tied_head, adds_bos;
};

constexpr Spec kSpecs[] = {
    {"llama-7b", "llama", 32, 4096, 11008, 32, 32, 32000, 4096, 1e4, 1e-5, false, true},
    {"llama-13b", "llama", 40, 5120, 13824, 40, 40, 32000, 4096, 1e4, 1e-5, false, true},
    {"llama-70b", "llama", 80, 8192, 28672, 64, 8, 32000, 4096, 1e4, 1e-5, false, true},
    {"llama-3-8b", "llama", 32, 4096, 14336, 32, 8, 128256, 8192, 5e5, 1e-5, false, true},
    {"mistral-7b", "mistral", 32, 4096, 14336, 32, 8, 32768, 32768, 1e6, 1e-5, false, true},
    {"qwen2-7b", "qwen2", 28, 3584, 18944, 28, 4, 152064, 131072, 1e6, 1e-6, false, false},
    {"smollm2-135m", "llama", 30, 576, 1536, 9, 3, 49152, 8192, 1e5, 1e-5, true, false},
    {"tiny", "llama", 2, 64, 160, 4, 2, 320, 2048, 1e4, 1e-5, false, true}};

constexpr char kBos[] = "<s>", kEos[] = "</s>";
constexpr std::int64_t kBosId = 256, kEosId = 257;  // behind the 256 bytes

// What the name says.
struct NamedModel {
  const Spec* spec = nullptr;            // of Llama and its copies, or
  const RandomFamily* family = nullptr;  // of another family
  bool adds_bos = false;
};

NamedModel named_model(const std::string& path) {
  const std::string_view name = std::string_view(path).substr(kRandomModelPrefix.size());
  for (const Spec& spec : kSpecs) {
    if (name == spec.name) return {.spec = &spec, .adds_bos = spec.adds_bos};
  }
  for (const RandomFamily& family : random_families()) {
    if (name == family.name) return {.family = &family, .adds_bos = family.adds_bos};
  }
  std::string names;
  for (const std::string& known : random_model_names())
    names += (names.empty() ? "" : ", ") + known;
  throw Error(ExitCode::usage, "--model " + printable(path) +
                                   ": there is no model of random weights of this name: choose "
                                   "one of " +
                                   names);
}

nlohmann::json config_json(const Spec& s) {
  std::string class_name = std::string(s.architecture) + "ForCausalLM";
  class_name[0] = static_cast<char>(class_name[0] - 'a' + 'A');
  nlohmann::json config{{"architectures", {class_name}},
                        {"model_type", s.architecture},
                        {"hidden_act", "silu"},
                        {"num_hidden_layers", s.layers},
                        {"hidden_size", s.hidden},
                        {"intermediate_size", s.intermediate},
                        {"num_attention_heads", s.heads},
                        {"num_key_value_heads", s.kv_heads},
                        {"vocab_size", s.vocabulary},
                        {"max_position_embeddings", s.context},
                        {"rms_norm_eps", s.rms_norm_eps},
                        {"rope_theta", s.rope_theta},
                        {"tie_word_embeddings", s.tied_head},
                        {"bos_token_id", kBosId},
                        {"eos_token_id", kEosId},
                        {"torch_dtype", "bfloat16"}};
  if (std::string_view(s.architecture) != "llama") config["sliding_window"] = nullptr;
  return config;
}

nlohmann::json config_json(const NamedModel& named) {
  if (named.spec != nullptr) return config_json(*named.spec);
  nlohmann::json config = nlohmann::json::parse(named.family->config);
  config["bos_token_id"] = kBosId;
  config["eos_token_id"] = kEosId;
  config["torch_dtype"] = "bfloat16";
  return config;
}

// ---- the tokenizer: a token for each byte, by GPT-2's letters for them

std::string utf8(std::uint32_t code) {  // below 0x800
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 63))};
}

// Printable bytes stand for themselves, the others are numbered from 256 on.
nlohmann::json vocabulary_json(std::int64_t size) {
  nlohmann::json vocabulary = nlohmann::json::object();
  std::uint32_t next = 256;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    const bool is_letter = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    vocabulary[utf8(is_letter ? byte : next++)] = byte;
  }
  vocabulary[kBos] = kBosId;
  vocabulary[kEos] = kEosId;
  for (std::int64_t id = kEosId + 1; id < size; ++id)
    vocabulary["<unused" + std::to_string(id) + ">"] = id;
  return vocabulary;
}

nlohmann::json special_token(const char* content, std::int64_t id) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

nlohmann::json leading_bos() {
  return {{"type", "TemplateProcessing"},
          {"single", {{{"SpecialToken", {{"id", kBos}}}}, {{"Sequence", {{"id", "A"}}}}}},
          {"special_tokens", {{kBos, {{"ids", {kBosId}}}}}}};
}

nlohmann::json tokenizer_json(bool adds_bos, std::int64_t vocabulary) {
  const nlohmann::json byte_level{{"type", "ByteLevel"},
                                  {"add_prefix_space", false},
                                  {"trim_offsets", true},
                                  {"use_regex", true}};
  return {{"version", "1.0"},
          {"added_tokens", {special_token(kBos, kBosId), special_token(kEos, kEosId)}},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level},
          {"post_processor", adds_bos ? leading_bos() : nlohmann::json()},
          {"decoder", byte_level},
          {"model",
           {{"type", "BPE"},
            {"vocab", vocabulary_json(vocabulary)},
            {"merges", nlohmann::json::array()}}}};
}

// ---- the weights

struct TensorSpec {
  std::string name;
  std::vector<std::int64_t> shape;
  bool is_norm = false;
  std::int64_t n_elements() const { return shape.size() == 1 ? shape[0] : shape[0] * shape[1]; }
};

std::vector<TensorSpec> tensor_specs(const Spec& s) {
  const std::int64_t kv_size = s.hidden / s.heads * s.kv_heads;
  std::vector<TensorSpec> specs{{"model.embed_tokens.weight", {s.vocabulary, s.hidden}}};
  for (std::int64_t l = 0; l < s.layers; ++l) {
    const std::string prefix = "model.layers." + std::to_string(l) + ".";
    const auto add = [&](const char* name, std::vector<std::int64_t> shape, bool is_norm = false) {
      specs.push_back({prefix + name, std::move(shape), is_norm});
    };
    add("input_layernorm.weight", {s.hidden}, true);
    add("self_attn.q_proj.weight", {s.hidden, s.hidden});
    add("self_attn.k_proj.weight", {kv_size, s.hidden});
    add("self_attn.v_proj.weight", {kv_size, s.hidden});
    if (std::string_view(s.architecture) == "qwen2") {
      add("self_attn.q_proj.bias", {s.hidden});
      add("self_attn.k_proj.bias", {kv_size});
      add("self_attn.v_proj.bias", {kv_size});
    }
    add("self_attn.o_proj.weight", {s.hidden, s.hidden});
    add("post_attention_layernorm.weight", {s.hidden}, true);
    add("mlp.gate_proj.weight", {s.intermediate, s.hidden});
    add("mlp.up_proj.weight", {s.intermediate, s.hidden});
    add("mlp.down_proj.weight", {s.hidden, s.intermediate});
  }
  specs.push_back({"model.norm.weight", {s.hidden}, true});
  if (!s.tied_head) specs.push_back({"lm_head.weight", {s.vocabulary, s.hidden}});
  return specs;
}

std::vector<TensorSpec> tensor_specs(const NamedModel& named, const nlohmann::json& config,
                                     const std::string& path) {
  if (named.spec != nullptr) return tensor_specs(*named.spec);
  std::vector<TensorSpec> specs;
  for (NeededTensor& tensor : needed_tensors(config_from_hf(config, path))) {
    const bool is_vector = tensor.shape.size() == 1;
    specs.push_back({std::move(tensor.name), std::move(tensor.shape), is_vector});
  }
  return specs;
}

// Larger than the largest tensor, so that tensors of its size begin at different offsets, too.
constexpr std::int64_t kPoolSlack = 1 << 20;

std::int64_t pool_elements(const std::vector<TensorSpec>& specs) {
  std::int64_t largest = 0;
  for (const TensorSpec& spec : specs) largest = std::max(largest, spec.n_elements());
  return largest + kPoolSlack;
}

}  // namespace

std::vector<std::string> random_model_names() {
  std::vector<std::string> names;
  for (const Spec& spec : kSpecs) names.emplace_back(spec.name);
  for (const RandomFamily& family : random_families()) names.emplace_back(family.name);
  return names;
}

RandomModel::RandomModel(const std::string& path, Parts parts) : path_(path) {
  const NamedModel named = named_model(path);
  config_ = config_json(named);
  generation_config_ = {{"bos_token_id", kBosId}, {"eos_token_id", kEosId}};
  tokenizer_config_ = {{"bos_token", kBos}, {"eos_token", kEos}, {"add_bos_token", named.adds_bos}};
  if (parts != Parts::weights_only)
    tokenizer_ = tokenizer_json(named.adds_bos, config_.at("vocab_size").get<std::int64_t>());
  if (parts == Parts::tokenizer_only) return;
  const std::vector<TensorSpec> specs = tensor_specs(named, config_, path_);
  const std::int64_t n = pool_elements(specs);
  try {
    pool_ = std::make_unique_for_overwrite<std::uint16_t[]>(static_cast<std::size_t>(n));
  } catch (const std::bad_alloc&) {
    throw OutOfMemory("--model " + path + ": " + with_thousands(2 * n) +
                      " bytes of memory for random weights could not be had: take a smaller one");
  }
  fill_with_random_weights({pool_.get(), static_cast<std::size_t>(n)});
  std::int64_t longest = 0;
  for (const TensorSpec& t : specs) longest = std::max(longest, t.is_norm ? t.n_elements() : 0);
  ones_.assign(static_cast<std::size_t>(longest), bf16_from_float(1.0f));
  std::uint64_t number = 0;
  for (const TensorSpec& t : specs) {
    const auto room = static_cast<std::uint64_t>(n - t.n_elements());
    // The counters lie beyond those of the pool.
    const std::uint64_t offset = random_bits(~std::uint64_t{0} - 1 - number++) % room;
    table_.add({.name = t.name,
                .storage = StorageType::bf16,
                .shape = t.shape,
                .data = reinterpret_cast<const std::byte*>(t.is_norm ? ones_.data()
                                                                     : pool_.get() + offset),
                .n_bytes = 2 * static_cast<std::size_t>(t.n_elements())},
               path_);
  }
}

std::string RandomModel::digest() const {
  Digest digest;
  digest.add(std::string_view(path_));
  digest.add(kVersion);
  return digest.hex();
}

}  // namespace tovamill
