// Rotary frequencies by config.json, with the meaning that transformers gives its keys.
#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/model/rotary_config.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

struct RotaryHf {
  double theta = 0;
  RotaryScaling scaling;

  bool operator==(const RotaryHf&) const = default;
};

void refuse_partial_rotation(const ConfigReader& config) {
  const auto part = config.optional_number("partial_rotary_factor", {0, 1});
  if (part.value_or(1) != 1) {
    config.fail(config.name("partial_rotary_factor") + " is not 1, which is not supported");
  }
}

[[noreturn]] void contradiction(const ConfigReader& config, const char* key, const char* object) {
  config.fail(std::string(key) + " is " + shown(*config.find(key)) + " and " + object + " has " +
              shown(config.find(object)->at(key)) + ": the two contradict each other");
}

std::string type_of(const ConfigReader& rope) {
  const auto newer = rope.optional_text("rope_type"), older = rope.optional_text("type");
  if (newer && older && *newer != *older) {
    rope.fail("rope_type is " + printable(*newer) + " and type is " + printable(*older) +
              ": the two contradict each other");
  }
  return newer ? *newer : older.value_or("default");
}

constexpr std::string_view kScalingKeys[] = {"factor", "low_freq_factor", "high_freq_factor"};

// The keys that a kind of scaling has, beside those that all may have.
std::span<const std::string_view> keys_of(RotaryScaling::Kind kind) {
  const std::span<const std::string_view> all = kScalingKeys;
  return kind == RotaryScaling::Kind::llama3   ? all
         : kind == RotaryScaling::Kind::linear ? all.first(1)
                                               : all.first(0);
}

// Keys that another kind of scaling would have, or none that is supported.
void refuse_other_keys(const ConfigReader& rope, RotaryScaling::Kind kind,
                       const std::string& type) {
  constexpr std::string_view kOfAll[] = {"rope_theta",
                                         "rope_type",
                                         "type",
                                         "original_max_position_embeddings",
                                         "partial_rotary_factor",
                                         "finetuned"};
  const auto own = keys_of(kind);
  for (const auto& [key, value] : rope.object().items()) {
    if (value.is_null() ||
        std::find(std::begin(kOfAll), std::end(kOfAll), key) != std::end(kOfAll) ||
        std::find(own.begin(), own.end(), key) != own.end()) {
      continue;
    }
    const bool is_factor = key == "factor" || key == "attention_factor";
    if (is_factor && value == 1) continue;
    if (value.is_object()) rope.fail("differs between kinds of layers, which is not supported");
    rope.fail(shown_key(key) + " is " + shown(value) + ", which the scaling " + printable(type) +
              " does not have");
  }
}

// The context of the pretraining, which stands in the object, beside it, or nowhere.
double original_context_of(const ConfigReader& config, const ConfigReader& rope,
                           const char* object) {
  constexpr const char* kKey = "original_max_position_embeddings";
  const auto inner = rope.optional_number(kKey, kContextLimits);
  const auto outer = config.optional_number(kKey, kContextLimits);
  if (inner && outer && *inner != *outer) contradiction(config, kKey, object);
  if (inner) return *inner;
  return outer ? *outer : config.integer("max_position_embeddings", kContextLimits);
}

RotaryScaling scaling_of_hf(const ConfigReader& config, const ConfigReader& rope,
                            const char* object) {
  const std::string type = type_of(rope);
  RotaryScaling scaling;
  if (type == "linear") {
    scaling.kind = RotaryScaling::Kind::linear;
  } else if (type == "llama3") {
    scaling.kind = RotaryScaling::Kind::llama3;
  } else if (type != "default") {
    rope.fail("the scaling " + printable(type) +
              " is not supported: only default, linear and llama3 are");
  }
  refuse_other_keys(rope, scaling.kind, type);
  const auto number = [&](const char* field) {
    const auto value = rope.optional_number(field, kFactorLimits);
    if (!value) rope.fail(std::string(field) + " is missing");
    return *value;
  };
  if (scaling.kind == RotaryScaling::Kind::none) return scaling;
  scaling.factor = number("factor");
  if (scaling.kind == RotaryScaling::Kind::linear) return scaling;
  scaling.low_freq_factor = number("low_freq_factor");
  scaling.high_freq_factor = number("high_freq_factor");
  scaling.original_context = original_context_of(config, rope, object);
  if (scaling.high_freq_factor <= scaling.low_freq_factor)
    rope.fail("high_freq_factor is not above low_freq_factor");
  return scaling;
}

// What one of the two objects says; nullopt where it says nothing.
std::optional<RotaryHf> rotary_by(const ConfigReader& config, const char* object,
                                  double default_theta) {
  const nlohmann::json* value = config.find(object);
  if (value == nullptr) return std::nullopt;
  const ConfigReader rope(*value, config.where() + ": " + object);
  if (value->empty()) return std::nullopt;
  refuse_partial_rotation(rope);
  const auto outer = config.optional_number("rope_theta", kThetaLimits);
  const auto inner = rope.optional_number("rope_theta", kThetaLimits);
  if (inner && outer && *inner != *outer) contradiction(config, "rope_theta", object);
  RotaryHf result{.theta = inner ? *inner : outer.value_or(default_theta), .scaling = {}};
  result.scaling = scaling_of_hf(config, rope, object);
  return result;
}

}  // namespace

std::vector<double> rotary_of_hf(const ConfigReader& config, double default_theta, int head_dim) {
  refuse_partial_rotation(config);
  const double theta = config.optional_number("rope_theta", kThetaLimits).value_or(default_theta);
  const auto older = rotary_by(config, "rope_scaling", default_theta);
  const auto newer = rotary_by(config, "rope_parameters", default_theta);
  // transformers takes only rope_scaling then, without the rope_theta of rope_parameters.
  if (older && newer && *older != *newer) {
    config.fail("rope_scaling and rope_parameters contradict each other: remove one of them");
  }
  const RotaryHf rotary = older ? *older : newer.value_or(RotaryHf{.theta = theta, .scaling = {}});
  return rotary_frequencies(rotary.theta, head_dim, rotary.scaling);
}

}  // namespace tovamill
