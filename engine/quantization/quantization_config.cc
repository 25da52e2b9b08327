// The keys of quantization_config, with the defaults of transformers 5.24 and compressed-tensors.
#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/quantization/quantization.h"
#include "kernels/types/error.h"
#include "kernels/types/printable.h"

namespace tovamill {
namespace {

using nlohmann::json;
using Names = std::initializer_list<std::string_view>;

constexpr std::int64_t kMaxGroup = 1 << 20;  // columns or rows

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// An object whose keys are each read once, or refused by name.
class Keys {
 public:
  Keys(const json& object, std::string name, const std::string& where)
      : object_(object), name_(std::move(name)), where_(where) {
    if (!object.is_object()) throw BadData(where + ": " + name_ + " is not an object");
  }

  [[noreturn]] void fail(const std::string& problem) const {
    throw BadData(where_ + ": " + name_ + ": " + problem);
  }
  [[noreturn]] void refuse(const std::string& key) const {
    if (!object_.contains(key)) fail(key + " is missing");
    const json& value = object_.at(key);
    const std::string shown = value.is_string()       ? printable(value.get<std::string>())
                              : value.is_structured() ? value.type_name()
                                                      : value.dump();
    fail(key + " is " + shown + ", which is not supported");
  }

  // Whether it is there, be it null.
  bool has(const std::string& key) const { return object_.contains(key); }
  // Null where it is absent.
  const json* find(const std::string& key) {
    read_.insert(key);
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  std::string text(const std::string& key, const std::string& absent) {
    const json* value = find(key);
    if (value == nullptr) return absent;
    if (!value->is_string()) refuse(key);
    return value->get<std::string>();
  }
  bool flag(const std::string& key, bool absent) {
    const json* value = find(key);
    if (value == nullptr) return absent;
    if (!value->is_boolean()) refuse(key);
    return value->get<bool>();
  }
  std::int32_t integer(const std::string& key, std::int64_t min, std::int64_t max) {
    const json* value = find(key);
    if (value == nullptr) fail(key + " is missing");
    return checked(key, *value, min, max);
  }
  std::int32_t checked(const std::string& key, const json& value, std::int64_t min,
                       std::int64_t max) const {
    if (!value.is_number_integer() ||
        (value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t(max)) ||
        value.get<std::int64_t>() < min || value.get<std::int64_t>() > max)
      refuse(key);
    return static_cast<std::int32_t>(value.get<std::int64_t>());
  }
  // Two sides of blocks.
  void sides(const std::string& key, Quantization& result) {
    const json* value = find(key);
    if (value == nullptr) fail(key + " is missing");
    if (!value->is_array() || value->size() != 2) refuse(key);
    result.block_rows = checked(key, (*value)[0], 1, kMaxGroup);
    result.block_columns = checked(key, (*value)[1], 1, kMaxGroup);
  }
  // Which matrices are not quantised: their tensors say it, too.
  void names(const std::string& key) {
    const json* value = find(key);
    if (value == nullptr) return;
    const bool are_names =
        value->is_array() &&
        std::all_of(value->begin(), value->end(), [](const json& v) { return v.is_string(); });
    if (!are_names) refuse(key);
  }
  // One of `values`, or absent.
  std::string one_of(const std::string& key, Names values, const std::string& absent) {
    const std::string value = lower(text(key, absent));
    if (value != absent && std::find(values.begin(), values.end(), value) == values.end())
      refuse(key);
    return value;
  }
  // What has no effect on what weights are.
  void pass_over(Names keys) {
    for (const std::string_view key : keys) read_.insert(std::string(key));
  }
  // What would have one.
  void only_empty(Names keys) {
    for (const std::string_view name : keys) {
      const std::string key(name);
      const json* value = find(key);
      if (value == nullptr || *value == false) continue;
      if (value->is_string() && value->get_ref<const std::string&>().empty()) continue;
      if (value->is_structured() && value->empty()) continue;
      refuse(key);
    }
  }
  void refuse_others() const {
    for (const auto& [key, value] : object_.items()) {
      if (!read_.contains(key) && !value.is_null()) fail(printable(key) + " is not understood");
    }
  }

 private:
  const json& object_;
  std::string name_;
  const std::string& where_;
  std::set<std::string> read_;
};

std::string groups_text(const Quantization& q) {
  switch (q.scale_of) {
    case ScaleOf::tensor:
      return "with a scale a matrix";
    case ScaleOf::row:
      return "with a scale a row";
    case ScaleOf::group:
      return "in groups of " + std::to_string(q.group_size);
    case ScaleOf::block:
      break;
  }
  return "in blocks of " + std::to_string(q.block_rows) + " x " + std::to_string(q.block_columns);
}

void describe(const std::string& name, Quantization& q) {
  q.description = name + " " + groups_text(q);
  if (q.quantizes_activations) q.description += " (its quantisation of activations is not applied)";
}

void read_mxfp4(Keys& keys, Quantization& q) {
  q.method = QuantizationMethod::mxfp4;
  keys.names("modules_to_not_convert");
  keys.pass_over({"dequantize"});
  q.description = "MXFP4 in groups of 32";
}

void read_fp8(Keys& keys, Quantization& q) {
  q.method = QuantizationMethod::fp8;
  keys.one_of("fmt", {"e4m3", "float8_e4m3fn"}, "e4m3");
  keys.one_of("activation_scheme", {"dynamic", "static"}, "dynamic");
  q.quantizes_activations = true;
  q.scales_are_exponents = keys.one_of("scale_fmt", {"float", "ue8m0"}, "float") == "ue8m0";
  keys.one_of("expert_dtype", {"fp8"}, "fp8");
  keys.names("modules_to_not_convert");
  keys.names("ignored_layers");
  keys.only_empty({"modules_to_convert"});
  keys.pass_over({"dequantize"});
  q.scale_of = ScaleOf::block;
  q.block_rows = q.block_columns = 128;
  if (!keys.has("weight_block_size")) return describe("FP8", q);
  if (keys.find("weight_block_size") == nullptr) {
    q.scale_of = ScaleOf::tensor;
  } else {
    keys.sides("weight_block_size", q);
  }
  describe("FP8", q);
}

void set_groups(Keys& keys, Quantization& q) {
  const json* size = keys.find("group_size");
  q.group_size = size == nullptr ? 0 : keys.checked("group_size", *size, -1, kMaxGroup);
  if (size != nullptr && q.group_size == 0) keys.refuse("group_size");
}

void read_strategy(Keys& weights, Quantization& q) {
  set_groups(weights, q);
  const std::string inferred = q.group_size > 0 ? "group" : q.group_size < 0 ? "channel" : "tensor";
  const std::string strategy =
      weights.one_of("strategy", {"tensor", "channel", "group", "block"}, inferred);
  q.scale_of = strategy == "tensor"    ? ScaleOf::tensor
               : strategy == "channel" ? ScaleOf::row
               : strategy == "group"   ? ScaleOf::group
                                       : ScaleOf::block;
  if ((q.scale_of == ScaleOf::group) != (q.group_size > 0)) weights.refuse("group_size");
  if (q.scale_of == ScaleOf::block) {
    weights.sides("block_structure", q);
  } else {
    weights.only_empty({"block_structure"});
  }
}

void read_weights(Keys& weights, const std::string& format, Quantization& q) {
  q.bits = weights.integer("num_bits", 1, 64);
  const std::string type = weights.one_of("type", {"int", "float"}, "int");
  q.has_zeros = !weights.flag("symmetric", true);
  weights.only_empty({"dynamic"});
  if (const json* order = weights.find("actorder"); order != nullptr && *order != false) {
    const std::string name =
        weights.one_of("actorder", {"weight", "static", "group", "dynamic"}, "");
    q.needs_groups_of_columns = name == "group" || name == "dynamic";
  }
  weights.pass_over({"observer", "observer_kwargs", "scale_dtype", "zp_dtype"});
  read_strategy(weights, q);
  const bool is_packed = format == "pack-quantized", is_float = type == "float";
  if (is_packed && is_float) weights.refuse("type");
  if (!is_packed && q.needs_groups_of_columns) weights.refuse("actorder");
  if (q.bits != 8 && (q.bits != 4 || is_float)) weights.refuse("num_bits");
  if (format == "int-quantized" && is_float) weights.refuse("type");
  if (format == "float-quantized" && !is_float) weights.fail("type is not float");
  if (is_packed && q.scale_of == ScaleOf::block) weights.refuse("strategy");
  if (is_packed && q.has_zeros && q.scale_of == ScaleOf::tensor) weights.refuse("symmetric");
  q.method = is_packed  ? QuantizationMethod::packed
             : is_float ? QuantizationMethod::floats
                        : QuantizationMethod::integers;
  weights.refuse_others();
}

const Names kFormats{"pack-quantized", "int-quantized", "float-quantized", "naive-quantized"};

void read_compressed_tensors(Keys& keys, const std::string& where, Quantization& q) {
  const std::string format = keys.one_of("format", kFormats, "");
  if (format.empty()) keys.fail("format is missing");
  if (keys.one_of("quantization_status", {"compressed", "frozen"}, "").empty())
    keys.fail("quantization_status is missing");
  keys.names("ignore");
  keys.only_empty({"kv_cache_scheme", "transform_config", "moe_sparsity_config"});
  if (const json* sparsity = keys.find("sparsity_config");
      sparsity != nullptr && !sparsity->empty() &&
      !(sparsity->is_object() && sparsity->value("format", json()) == "dense"))
    keys.refuse("sparsity_config");
  keys.pass_over({"version", "global_compression_ratio", "run_compressed", "dequantize",
                  "use_optimized_inference"});
  const json* groups = keys.find("config_groups");
  if (groups == nullptr || !groups->is_object() || groups->size() != 1)
    keys.fail("config_groups is not one group, and others are not supported");
  const std::string name = groups->begin().key();
  Keys group(groups->front(), "quantization_config: config_groups: " + printable(name), where);
  const json* targets = group.find("targets");
  if (targets == nullptr || *targets != json::array({"Linear"}))
    group.fail("targets is not [\"Linear\"], and others are not supported");
  if (const std::string own = group.one_of("format", kFormats, format); own != format)
    group.refuse("format");
  q.quantizes_activations = group.find("input_activations") != nullptr;
  group.only_empty({"output_activations"});
  const json* weights = group.find("weights");
  if (weights == nullptr) group.fail("weights is missing");
  group.refuse_others();
  Keys of_weights(*weights, "quantization_config: weights", where);
  read_weights(of_weights, format, q);
  describe("compressed-tensors " + format + " of " + std::to_string(q.bits) + " bits", q);
}

// What the tools of GPTQ and AWQ write beside what matters.
const Names kOfTools{"act_group_aware",
                     "backend",
                     "batch_size",
                     "block_name_to_quantize",
                     "cache_block_outputs",
                     "damp_auto_increment",
                     "damp_percent",
                     "dataset",
                     "desc_act",
                     "disable_exllama",
                     "do_fuse",
                     "exllama_config",
                     "fuse_max_seq_len",
                     "hyb_act",
                     "max_input_length",
                     "meta",
                     "model_file_base_name",
                     "model_name_or_path",
                     "model_seqlen",
                     "modules_in_block_to_quantize",
                     "modules_to_fuse",
                     "module_name_preceding_first_block",
                     "mse",
                     "pad_token_id",
                     "parallel_packing",
                     "static_groups",
                     "sym",
                     "tokenizer",
                     "true_sequential",
                     "use_cuda_fp16",
                     "use_exllama",
                     "lm_head"};

void set_rows_or_groups(Keys& keys, Quantization& q) {
  set_groups(keys, q);
  if (q.group_size == 0) q.group_size = 128;  // absent
  q.scale_of = q.group_size > 0 ? ScaleOf::group : ScaleOf::row;
}

void read_gptq(Keys& keys, Quantization& q) {
  q.method = QuantizationMethod::gptq;
  q.bits = keys.integer("bits", 1, 64);
  if (q.bits != 4 && q.bits != 8) keys.refuse("bits");
  set_rows_or_groups(keys, q);
  const std::string format = keys.one_of("format", {"gptq", "gptq_v2"}, "");
  const std::string older = keys.one_of("checkpoint_format", {"gptq", "gptq_v2"}, "");
  if (!format.empty() && !older.empty() && format != older) keys.refuse("checkpoint_format");
  q.zeros_are_less_by_one = format != "gptq_v2" && older != "gptq_v2";
  keys.one_of("method", {"gptq"}, "gptq");
  keys.one_of("pack_dtype", {"int32", "torch.int32"}, "int32");
  q.needs_groups_of_columns = keys.flag("desc_act", false) && q.scale_of == ScaleOf::group;
  keys.names("modules_to_not_convert");
  keys.only_empty({"is_marlin_format", "dynamic", "adapter", "rotation"});
  keys.pass_over(kOfTools);
  describe("GPTQ of " + std::to_string(q.bits) + " bits", q);
}

void read_awq(Keys& keys, Quantization& q) {
  q.method = QuantizationMethod::awq;
  q.bits = keys.find("bits") == nullptr ? 4 : keys.integer("bits", 1, 64);
  if (q.bits != 4) keys.refuse("bits");
  set_rows_or_groups(keys, q);
  const std::string version = keys.one_of("version", {"gemm"}, "");
  const std::string format = keys.one_of("format", {"gemm"}, "");
  keys.one_of("checkpoint_format", {"gemm"}, version.empty() ? format : version);
  keys.one_of("method", {"awq"}, "awq");
  keys.one_of("pack_dtype", {"int32", "torch.int32"}, "int32");
  if (!keys.flag("zero_point", true)) keys.refuse("zero_point");
  if (keys.text("backend", "") == "llm-awq") keys.refuse("backend");
  keys.names("modules_to_not_convert");
  keys.only_empty({"dynamic", "adapter", "rotation"});
  keys.pass_over(kOfTools);
  describe("AWQ of 4 bits", q);
}

}  // namespace

Quantization quantization_from_hf(const nlohmann::json& config, const std::string& where) {
  const json none = json::object();
  Keys keys(config.is_object() ? config : none, "quantization_config", where);
  const std::string method = keys.text("quant_method", "");
  Quantization result;
  if (method == "mxfp4") {
    read_mxfp4(keys, result);
  } else if (method == "fp8") {
    read_fp8(keys, result);
  } else if (method == "compressed-tensors") {
    read_compressed_tensors(keys, where, result);
  } else if (method == "gptq") {
    read_gptq(keys, result);
  } else if (method == "awq") {
    read_awq(keys, result);
  } else {
    throw BadData(
        where + ": the weights are quantised with " +
        (method.empty() ? "quantization_config" : printable(method) + " (quantization_config)") +
        ", which is not supported: use the unquantised model or a GGUF file");
  }
  keys.refuse_others();
  return result;
}

}  // namespace tovamill
