// Rotary frequencies by config.json, with the meaning that transformers gives its keys.
#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/model/config_keys.h"
#include "engine/model/rotary_config.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

using Kind = RotaryScaling::Kind;

// What one of the objects says.
struct RotaryHf {
  RotaryTable table;
  double part = 1;  // of the head's dimensions

  bool operator==(const RotaryHf&) const = default;
};

constexpr const char* kOriginalContext = "original_max_position_embeddings";
constexpr Limits kAlphaLimits{0, kFactorLimits.max};
constexpr const char* kPart = "partial_rotary_factor";

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

// The keys that a kind of scaling has, beside those that all may have.
std::span<const std::string_view> keys_of(Kind kind) {
  static constexpr std::string_view kLinear[] = {"factor"};
  static constexpr std::string_view kLlama3[] = {"factor", "low_freq_factor", "high_freq_factor"};
  static constexpr std::string_view kYarn[] = {"factor",    "attention_factor", "beta_fast",
                                               "beta_slow", "mscale",           "mscale_all_dim",
                                               "truncate"};
  static constexpr std::string_view kLongRope[] = {"factor", "attention_factor", "short_factor",
                                                   "long_factor"};
  static constexpr std::string_view kAlpha[] = {"alpha",     "factor", "beta_fast",
                                                "beta_slow", "mscale", "mscale_all_dim"};
  static constexpr std::string_view kProportional[] = {"factor"};
  switch (kind) {
    case Kind::proportional:
      return kProportional;
    case Kind::ntk_alpha:
      return kAlpha;
    case Kind::linear:
      return kLinear;
    case Kind::llama3:
      return kLlama3;
    case Kind::yarn:
      return kYarn;
    case Kind::longrope:
      return kLongRope;
    case Kind::none:
      break;
  }
  return {};
}

// Keys that another kind of scaling would have, or none that is supported.
void refuse_other_keys(const ConfigReader& rope, Kind kind, const std::string& type,
                       const char* reads) {
  constexpr std::string_view kOfAll[] = {"rope_theta",     "rope_type", "type",
                                         kOriginalContext, kPart,       "finetuned"};
  const auto own = keys_of(kind);
  for (const auto& [key, value] : rope.object().items()) {
    if (value.is_null() ||
        std::find(std::begin(kOfAll), std::end(kOfAll), key) != std::end(kOfAll) ||
        std::find(own.begin(), own.end(), key) != own.end() || is_listed(reads, key)) {
      continue;
    }
    const bool is_factor = key == "factor" || key == "attention_factor";
    if (is_factor && (value == 1 || type == "dynamic")) continue;
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

double needed(const ConfigReader& rope, const char* field) {
  const auto value = rope.optional_number(field, kFactorLimits);
  if (!value) rope.fail(std::string(field) + " is missing");
  return *value;
}

void read_llama3(const ConfigReader& rope, RotaryScaling& scaling) {
  scaling.low_freq_factor = needed(rope, "low_freq_factor");
  scaling.high_freq_factor = needed(rope, "high_freq_factor");
  if (scaling.high_freq_factor <= scaling.low_freq_factor)
    rope.fail("high_freq_factor is not above low_freq_factor");
}

void read_yarn(const ConfigReader& rope, RotaryScaling& scaling) {
  const Limits shares{0, kFactorLimits.max};
  const auto given = rope.optional_number("attention_factor", kFactorLimits);
  const double mscale = rope.optional_number("mscale", shares).value_or(0),
               all = rope.optional_number("mscale_all_dim", shares).value_or(0);
  const bool has_both = mscale > 0 && all > 0;
  scaling.attention_factor =
      given      ? *given
      : has_both ? yarn_mscale(scaling.factor, mscale) / yarn_mscale(scaling.factor, all)
                 : yarn_mscale(scaling.factor, 1);
  // 0 is as good as absent.
  const auto turns = [&](const char* field, double absent) {
    const double value = rope.optional_number(field, shares).value_or(0);
    return value > 0 ? value : absent;
  };
  scaling.beta_fast = turns("beta_fast", 32);
  scaling.beta_slow = turns("beta_slow", 1);
  scaling.truncates = rope.flag("truncate", true);
}

std::vector<double> divisors_of(const ConfigReader& rope, const char* field, std::int32_t n) {
  const nlohmann::json* list = rope.find(field);
  if (list == nullptr) rope.fail(std::string(field) + " is missing");
  if (!list->is_array() || list->size() != static_cast<std::size_t>(n))
    rope.fail(std::string(field) + " is not a list of " + std::to_string(n) +
              " numbers, one for each rotated pair of a head");
  std::vector<double> divisors;
  for (const nlohmann::json& value : *list) {
    const double number = value.is_number() ? value.get<double>() : 0;
    if (!(number >= kFactorLimits.min && number <= kFactorLimits.max))
      rope.fail(std::string(field) + " holds " + shown(value) + ", not a divisor");
    divisors.push_back(number);
  }
  return divisors;
}

// The short divisors hold for streams within the original context. How long one becomes is not
// known at its begin, and keys once rotated stay: the long ones hold for all streams unless none
// can become longer.
void read_longrope(const ConfigReader& config, const ConfigReader& rope, std::int32_t n_pairs,
                   RotaryScaling& scaling) {
  const double most = config.integer("max_position_embeddings", kContextLimits);
  const auto factor = rope.optional_number("factor", kFactorLimits);
  scaling.factor = factor.value_or(most / scaling.original_context);
  const auto given = rope.optional_number("attention_factor", kFactorLimits);
  scaling.attention_factor =
      given ? *given
      : scaling.factor <= 1
          ? 1
          : std::sqrt(1 + std::log(scaling.factor) / std::log(scaling.original_context));
  scaling.short_divisors = divisors_of(rope, "short_factor", n_pairs);
  scaling.divisors = divisors_of(rope, "long_factor", n_pairs);
}

Kind kind_of(const ConfigReader& rope, const Family& family, const std::string& type) {
  const bool is_hunyuan = std::string_view(family.name) == "hunyuan_v1_dense";
  if (is_hunyuan && type == "dynamic" &&
      rope.optional_number("alpha", kAlphaLimits).value_or(0) > 0)
    return Kind::ntk_alpha;
  const bool is_phi3 = std::string_view(family.name) == "phi3";
  if (type == "longrope" || (is_phi3 && (type == "su" || type == "yarn"))) return Kind::longrope;
  if (type == "proportional" && family.layers_may_differ) return Kind::proportional;
  if (type == "linear") return Kind::linear;
  if (type == "llama3") return Kind::llama3;
  if (type == "yarn") return Kind::yarn;
  // Its base grows with positions beyond the trained context alone, which rotary positions of
  // streams do not reach (kernels/README.md, "Positions").
  if (type == "dynamic" || type == "default") return Kind::none;
  rope.fail("the scaling " + printable(type) +
            " is not supported: only default, linear, dynamic, llama3, yarn and longrope are");
}

RotaryScaling scaling_of_hf(const ConfigReader& config, const ConfigReader& rope,
                            const char* object, const Family& family, std::int32_t n_pairs) {
  const std::string type = type_of(rope);
  RotaryScaling scaling{.kind = kind_of(rope, family, type)};
  refuse_other_keys(rope, scaling.kind, type, family.rope_reads);
  if (scaling.kind == Kind::none) return scaling;
  if (scaling.kind == Kind::proportional) {
    scaling.factor = rope.optional_number("factor", kFactorLimits).value_or(1);
    scaling.share = rope.optional_number(kPart, {0, 1}).value_or(1);
    return scaling;
  }
  if (scaling.kind == Kind::ntk_alpha) {
    scaling.factor = needed(rope, "alpha");
    if (n_pairs < 2) rope.fail("alpha is there, and one pair of a head is rotated");
    return scaling;
  }
  if (scaling.kind != Kind::linear)
    scaling.original_context = original_context_of(config, rope, object);
  if (scaling.kind == Kind::longrope) {
    read_longrope(config, rope, n_pairs, scaling);
    return scaling;
  }
  scaling.factor = needed(rope, "factor");
  if (scaling.kind == Kind::llama3) read_llama3(rope, scaling);
  if (scaling.kind == Kind::yarn) read_yarn(rope, scaling);
  return scaling;
}

class Reader {
 public:
  Reader(const ConfigReader& config, const Family& family, std::int32_t head_dim)
      : config_(config), family_(family), head_dim_(head_dim) {}

  // What one of the two objects says; nullopt where it says nothing.
  std::optional<RotaryHf> by(const char* object) const {
    const nlohmann::json* value = config_.find(object);
    if (value == nullptr || (value->is_object() && value->empty())) return std::nullopt;
    return of(ConfigReader(*value, config_.where() + ": " + object), object, theta());
  }

  // `theta` where the object has none.
  RotaryHf of(const ConfigReader& rope, const char* object, double theta) const {
    const auto inner = rope.optional_number("rope_theta", kThetaLimits);
    const auto outer = config_.optional_number("rope_theta", kThetaLimits);
    if (inner && outer && *inner != *outer && !family_.ropes_by_layer_type)
      contradiction(config_, "rope_theta", object);
    RotaryHf result;
    result.table.theta = inner.value_or(theta);
    result.part = part_of(rope, object);
    result.table.scaling =
        scaling_of_hf(config_, rope, object, family_, rotary_dim(result.part) / 2);
    return result;
  }

  // What is meant where neither is there.
  RotaryHf absent() const {
    if (family_.rope_parameters == nullptr) return plain(theta());
    const nlohmann::json meant = nlohmann::json::parse(family_.rope_parameters);
    if (config_.find("rope_theta") != nullptr &&
        *config_.find("rope_theta") != meant.at("rope_theta"))
      config_.fail("rope_theta is there and rope_parameters is not, which are " + meant.dump() +
                   " then: the two contradict each other");
    return of(ConfigReader(meant, config_.where() + ": rope_parameters"), "rope_parameters",
              theta());
  }
  RotaryHf plain(double theta) const {
    return {.table = {.theta = theta, .scaling = {}}, .part = part()};
  }
  double theta() const {
    return config_.optional_number("rope_theta", kThetaLimits).value_or(family_.rope_theta);
  }
  std::int32_t rotary_dim(double part) const {
    const auto n = static_cast<std::int32_t>(head_dim_ * part);
    if (n < 2 || n % 2 != 0)
      config_.fail(std::string(kPart) + " " + std::to_string(part) + " of heads of " +
                   std::to_string(head_dim_) + " is not an even number of dimensions");
    return n;
  }

 private:
  double part() const { return checked(config_, config_.optional_number(kPart, {0, 1})); }
  double part_of(const ConfigReader& rope, const char* object) const {
    if (type_of(rope) == "proportional") return 1;  // of the pairs, not of the dimensions
    const auto inner = rope.optional_number(kPart, {0, 1});
    const auto outer = config_.optional_number(kPart, {0, 1});
    if (inner && outer && *inner != *outer) contradiction(config_, kPart, object);
    return checked(rope, inner ? inner : outer);
  }
  double checked(const ConfigReader& config, std::optional<double> part) const {
    if (part.value_or(1) != 1 && !family_.may_be_partial)
      config.fail(config.name(kPart) + " is not 1, which is not supported: a " + family_.name +
                  " rotates whole heads");
    return part.value_or(family_.rotary_part);
  }

  const ConfigReader& config_;
  const Family& family_;
  std::int32_t head_dim_;
};

// Of layers of full attention and of those with a window.
std::vector<RotaryHf> ropes_by_layer_type(const Reader& reader, const ConfigReader& config,
                                          const Family& family) {
  const double local = config.optional_number("rope_local_base_freq", kThetaLimits)
                           .value_or(family.local_rope_theta);
  const nlohmann::json* older = config.find("rope_scaling");
  const nlohmann::json* newer = config.find("rope_parameters");
  std::vector<RotaryHf> ropes{reader.plain(reader.theta()), reader.plain(local)};
  if (older != nullptr && newer != nullptr)
    config.fail("rope_scaling and rope_parameters contradict each other: remove one of them");
  nlohmann::json meant;
  if (family.rope_parameters != nullptr) {
    for (const char* key : {"rope_theta", "rope_scaling", "rope_local_base_freq", kPart}) {
      if (config.find(key) != nullptr)
        config.fail(std::string(key) + " is there, which is not supported: a " + family.name +
                    " has rope_parameters");
    }
    meant = nlohmann::json::parse(family.rope_parameters);
    if (newer == nullptr) newer = &meant;
    for (const auto& [key, value] : meant.items()) {
      if (!newer->is_object() || !newer->contains(key) || newer->at(key).is_null())
        config.fail("rope_parameters." + key + " is missing");
    }
  }
  if (older != nullptr && !older->empty())
    ropes[0] = reader.of(ConfigReader(*older, config.where() + ": rope_scaling"), "rope_scaling",
                         reader.theta());
  if (newer == nullptr) return ropes;
  if (!newer->is_object()) config.fail("rope_parameters is not an object");
  for (const auto& [key, value] : newer->items()) {
    if (key != "full_attention" && key != "sliding_attention")
      config.fail("rope_parameters has " + shown_key(key) +
                  ", not full_attention and sliding_attention alone");
    if (value.is_null()) continue;
    const std::string name = "rope_parameters." + key;
    const bool is_full = key == "full_attention";
    ropes[is_full ? 0 : 1] = reader.of(ConfigReader(value, config.where() + ": " + name),
                                       "rope_parameters", is_full ? reader.theta() : local);
  }
  return ropes;
}

}  // namespace

void set_ropes_of_hf(const ConfigReader& config, const Family& family, ModelConfig& model) {
  const Reader reader(config, family, model.shape.head_dim);
  if (family.ropes_by_layer_type) {
    const std::vector<RotaryHf> ropes = ropes_by_layer_type(reader, config, family);
    if (ropes[0].part != ropes[1].part)
      config.fail(std::string(kPart) + " differs between kinds of layers, which is not supported");
    for (LayerShape& layer : model.shape.layers) {
      if (layer.rope != kNoRope) layer.rope = layer.sliding_window > 0 ? 1 : 0;
    }
    return set_ropes({ropes[0].table, ropes[1].table}, reader.rotary_dim(ropes[0].part), model);
  }
  const auto older = reader.by("rope_scaling"), newer = reader.by("rope_parameters");
  // transformers takes only rope_scaling then, without the rope_theta of rope_parameters.
  if (older && newer && *older != *newer) {
    config.fail("rope_scaling and rope_parameters contradict each other: remove one of them");
  }
  const RotaryHf rotary = older ? *older : newer ? *newer : reader.absent();
  set_ropes({rotary.table}, reader.rotary_dim(rotary.part), model);
}

}  // namespace tovamill
