// Rotary frequencies by the metadata of a GGUF file, with the meaning that llama.cpp gives its
// keys.
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/rotary_config.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

constexpr const char* kRopeFreqs = "rope_freqs.weight";
constexpr const char* kLongFactors = "rope_factors_long.weight";
constexpr const char* kShortFactors = "rope_factors_short.weight";

// llama.cpp works the factor of queries and keys out itself, as if mscale were 1; a file that says
// another is one that it does not compute.
RotaryScaling yarn_of(const ConfigReader& config, double factor) {
  RotaryScaling scaling{.kind = RotaryScaling::Kind::yarn, .factor = factor > 0 ? factor : 1};
  const double all =
      config.optional_number("rope.scaling.yarn_log_multiplier", {0, kFactorLimits.max})
          .value_or(0);
  scaling.attention_factor = yarn_mscale(scaling.factor, 1);
  if (all != 0) scaling.attention_factor /= yarn_mscale(scaling.factor, all);
  const auto same = [&](const char* key, double meant) {
    const double given = config.optional_number(key, {-1, kFactorLimits.max}).value_or(meant);
    if (given != 1 && given != meant && std::abs(given - meant) > 1e-4 * meant)
      config.fail(config.name(key) + " is " + std::to_string(given) + " where YaRN gives " +
                  std::to_string(meant) + ", which is not supported");
  };
  same("rope.scaling.yarn_attn_factor", scaling.attention_factor);
  same("rope.scaling.yarn_ext_factor", 1);
  const auto turns = [&](const char* key, double absent) {
    return config.optional_number(key, kFactorLimits).value_or(absent);
  };
  scaling.beta_fast = turns("rope.scaling.yarn_beta_fast", 32);
  scaling.beta_slow = turns("rope.scaling.yarn_beta_slow", 1);
  scaling.original_context =
      config.optional_integer("rope.scaling.original_context_length", kContextLimits)
          .value_or(config.integer("context_length", kContextLimits));
  return scaling;
}

RotaryScaling scaling_of(const ConfigReader& config, const Family& family) {
  // Without a type a factor means linear, as it does for the older key.
  const double older = config.optional_number("rope.scale_linear", {0, 1e6}).value_or(0);
  const double factor = config.optional_number("rope.scaling.factor", {0, 1e6}).value_or(older);
  if (older != 0 && older != factor) {
    config.fail(config.name("rope.scale_linear") + " and " + config.name("rope.scaling.factor") +
                " contradict each other");
  }
  const std::string type = config.optional_text("rope.scaling.type").value_or("linear");
  if (type == "none") return {};
  if (type == "longrope" && family.has_rope_factors) return {};  // its divisors are tensors
  if (type == "yarn") return yarn_of(config, factor);
  if (type != "linear") {
    config.fail("the " + config.name("rope.scaling.type") + " " + printable(type) +
                " is not supported: only none, linear and yarn are");
  }
  if (factor == 0) return {};
  if (factor < kFactorLimits.min) config.fail(config.name("rope.scaling.factor") + " is too small");
  return {.kind = RotaryScaling::Kind::linear, .factor = factor};
}

// What each frequency is to be divided by.
std::vector<double> divisors_in(const TensorView& tensor, std::int32_t n_pairs,
                                const ConfigReader& config) {
  const std::string name = "tensor '" + tensor.name + "'";
  if (tensor.shape != std::vector<std::int64_t>{n_pairs}) {
    config.fail(name + " does not have " + std::to_string(n_pairs) +
                " elements, half of the rotated dimensions of a head");
  }
  std::vector<float> values(static_cast<std::size_t>(n_pairs));
  dequantize_row(tensor, 0, values.data());
  for (const float value : values) {
    if (!(value > 0) || !std::isfinite(value))
      config.fail(name + " holds a divisor that is not a positive number");
  }
  return {values.begin(), values.end()};
}

// llama.cpp multiplies rotated queries and keys with it, each.
double attention_factor_of(const ConfigReader& config) {
  return config.optional_number("rope.scaling.attn_factor", kFactorLimits).value_or(1);
}

std::int32_t rotary_dim_of(const ConfigReader& config, const Family& family,
                           std::int32_t head_dim) {
  const auto rotated = config.optional_integer("rope.dimension_count", {0, 1 << 20});
  const std::int32_t n = rotated.value_or(head_dim);
  if (n == head_dim) return n;
  if (!family.may_be_partial || n < 2 || n > head_dim || n % 2 != 0)
    config.fail(config.name("rope.dimension_count") + " is " + std::to_string(n) +
                ", not the head size " + std::to_string(head_dim) + ", which is not supported");
  return n;
}

// LongRoPE: both tensors, and the context within which the short divisors hold.
void read_longrope(const ConfigReader& config, const TensorView& longer, const TensorView& shorter,
                   std::int32_t n_pairs, RotaryScaling& scaling) {
  if (scaling.kind != RotaryScaling::Kind::none)
    config.fail(std::string("tensor '") + kLongFactors + "' and " +
                config.name("rope.scaling.factor") + " contradict each other");
  scaling.kind = RotaryScaling::Kind::longrope;
  scaling.divisors = divisors_in(longer, n_pairs, config);
  scaling.short_divisors = divisors_in(shorter, n_pairs, config);
  scaling.original_context = config.integer("rope.scaling.original_context_length", kContextLimits);
}

}  // namespace

void set_ropes_of_gguf(const ConfigReader& config, const Family& family, const FindTensor& find,
                       ModelConfig& model) {
  const std::int32_t rotary_dim = rotary_dim_of(config, family, model.shape.head_dim);
  const auto theta = config.optional_number("rope.freq_base", kThetaLimits);
  RotaryTable table{.theta = theta.value_or(10'000), .scaling = scaling_of(config, family)};
  table.scaling.attention_factor *= attention_factor_of(config);
  const auto longer = find(kLongFactors), shorter = find(kShortFactors);
  if (longer || shorter) {
    if (!family.has_rope_factors || !longer || !shorter)
      config.fail(std::string("tensor '") + (longer ? kLongFactors : kShortFactors) +
                  "' is there, which is not supported");
    read_longrope(config, *longer, *shorter, rotary_dim / 2, table.scaling);
  }
  std::vector<RotaryTable> tables{table};
  if (family.ropes_by_layer_type) {
    const auto local = config.optional_number("rope.freq_base_swa", kThetaLimits);
    const double absent = family.local_rope_theta > 0 ? family.local_rope_theta : table.theta;
    tables.push_back({.theta = local.value_or(absent)});
    for (LayerShape& layer : model.shape.layers) {
      if (layer.rope != kNoRope) layer.rope = layer.sliding_window > 0 ? 1 : 0;
    }
  }
  set_ropes(tables, rotary_dim, model);
  const auto rope_freqs = find(kRopeFreqs);
  if (!rope_freqs) return;
  std::vector<double>& frequencies = model.shape.ropes.front();
  const std::vector<double> divisors =
      divisors_in(*rope_freqs, static_cast<std::int32_t>(frequencies.size()), config);
  const auto plain = frequencies;
  for (std::size_t i = 0; i < divisors.size(); ++i) frequencies[i] /= divisors[i];
  if (!family.has_rope_freqs && frequencies != plain) {
    config.fail("tensor 'rope_freqs.weight' is there, which is not supported: a " +
                std::string(family.name) + " has none");
  }
}

}  // namespace tovamill
