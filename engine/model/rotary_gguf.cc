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

RotaryScaling scaling_of(const ConfigReader& config) {
  // Without a type a factor means linear, as it does for the older key.
  const double older = config.optional_number("rope.scale_linear", {0, 1e6}).value_or(0);
  const double factor = config.optional_number("rope.scaling.factor", {0, 1e6}).value_or(older);
  if (older != 0 && older != factor) {
    config.fail(config.name("rope.scale_linear") + " and " + config.name("rope.scaling.factor") +
                " contradict each other");
  }
  const std::string type = config.optional_text("rope.scaling.type").value_or("linear");
  if (type == "none") return {};
  if (type != "linear") {
    config.fail("the " + config.name("rope.scaling.type") + " " + printable(type) +
                " is not supported: only none and linear are");
  }
  if (factor == 0) return {};
  if (factor < kFactorLimits.min) config.fail(config.name("rope.scaling.factor") + " is too small");
  return {.kind = RotaryScaling::Kind::linear, .factor = factor};
}

// Llama 3: the file holds what each frequency is to be divided by.
void divide_by(std::vector<double>& frequencies, const TensorView& divisors,
               const ConfigReader& config) {
  if (divisors.shape != std::vector<std::int64_t>{static_cast<std::int64_t>(frequencies.size())}) {
    config.fail("tensor 'rope_freqs.weight' does not have " + std::to_string(frequencies.size()) +
                " elements, half the head size");
  }
  std::vector<float> values(frequencies.size());
  dequantize_row(divisors, 0, values.data());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!(values[i] > 0) || !std::isfinite(values[i])) {
      config.fail("tensor 'rope_freqs.weight' holds a divisor that is not a positive number");
    }
    frequencies[i] /= static_cast<double>(values[i]);
  }
}

}  // namespace

std::vector<double> rotary_of_gguf(const ConfigReader& config, const Family& family, int head_dim,
                                   const std::optional<TensorView>& rope_freqs) {
  constexpr double kDefaultTheta = 10'000;
  const auto rotated = config.optional_integer("rope.dimension_count", {0, 1 << 20});
  if (rotated.value_or(head_dim) != head_dim) {
    config.fail(config.name("rope.dimension_count") + " is " + std::to_string(*rotated) +
                ", not the head size " + std::to_string(head_dim) + ", which is not supported");
  }
  const double theta =
      config.optional_number("rope.freq_base", kThetaLimits).value_or(kDefaultTheta);
  auto frequencies = rotary_frequencies(theta, head_dim, scaling_of(config));
  if (!rope_freqs) return frequencies;
  const auto plain = frequencies;
  divide_by(frequencies, *rope_freqs, config);
  if (!family.has_rope_freqs && frequencies != plain) {
    config.fail("tensor 'rope_freqs.weight' is there, which is not supported: a " +
                std::string(family.name) + " has none");
  }
  return frequencies;
}

double attention_factor_of_gguf(const ConfigReader& config) {
  return config.optional_number("rope.scaling.attn_factor", kFactorLimits).value_or(1);
}

}  // namespace tovamill
