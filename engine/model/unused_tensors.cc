// Tensors that a file holds and no layer computes with.
#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/interleaved_experts.h"
#include "engine/model/model_config.h"
#include "engine/model/tensor_names.h"
#include "engine/quantization/quantized_tensors.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

// The number of the layer that `name` belongs to, and the rest of the name behind it; -1 where it
// belongs to none.
std::pair<std::int64_t, std::string_view> layer_of(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return {-1, name};
  const std::string_view rest = name.substr(prefix.size());
  std::int64_t layer = -1;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
  const auto n = static_cast<std::size_t>(end - rest.data());
  const bool plain = error == std::errc() && n < rest.size() && rest[n] == '.' && layer >= 0 &&
                     (rest[0] != '0' || n == 1);
  return plain ? std::pair{layer, rest.substr(n + 1)} : std::pair{std::int64_t{-1}, name};
}

// Of multimodal models: the name without what stands before those of the part for texts.
std::string plain_name(std::string_view name) {
  constexpr std::string_view kNewer = "model.language_model.", kOlder = "language_model.";
  if (name.starts_with(kNewer)) return "model." + std::string(name.substr(kNewer.size()));
  if (name.starts_with(kOlder)) return std::string(name.substr(kOlder.size()));
  return std::string(name);
}

bool is_of_other_part(std::string_view name) {
  for (const std::string_view part : {"vision_tower.", "vision_model.", "multi_modal_projector.",
                                      "audio_tower.", "embed_vision.", "embed_audio."}) {
    if (name.starts_with(part) || name.starts_with("model." + std::string(part))) return true;
  }
  return false;
}

// "mlp.experts.", a number below n_experts, ".up_proj.weight".
bool is_of_expert(std::string_view name, const ExpertTensor& tensor, std::int64_t n_experts) {
  if (tensor.after == nullptr) return name == tensor.before;
  const auto [expert, rest] = layer_of(name, tensor.before);
  return expert >= 0 && expert < n_experts && rest == std::string_view(tensor.after).substr(1);
}

bool is_used(std::string_view name_in_file, const ModelConfig& config) {
  const std::string of_matrix = matrix_of_part(config.quantization, name_in_file);
  if (!of_matrix.empty()) name_in_file = of_matrix;
  const std::string name =
      config.is_multimodal ? plain_name(name_in_file) : std::string(name_in_file);
  if (config.is_multimodal && is_of_other_part(name)) return true;
  const TensorNames& names = *config.tensors;
  const std::int64_t n_layers = config.shape.n_layers;
  if (name == names.embedding || name == names.final_norm || name == names.head) return true;
  for (const char* of_layers :
       {names.per_layer_embedding, names.per_layer_projection, names.per_layer_norm}) {
    if (config.shape.per_layer_size > 0 && of_layers != nullptr && name == of_layers) return true;
  }
  if (config.shape.norm_bias && name == names.final_norm_bias) return true;
  if (std::find(names.with_configuration.begin(), names.with_configuration.end(), name) !=
      names.with_configuration.end())
    return true;
  const auto place = layer_of(std::string_view(name), names.layer);
  if (place.first < 0 || place.first >= n_layers) return false;
  if (names.has_interleaved_experts) {
    const std::vector<std::string> experts = interleaved_expert_names();
    if (std::find(experts.begin(), experts.end(), place.second) != experts.end()) return true;
  }
  const ExpertsShape& experts = config.shape.layers[static_cast<std::size_t>(place.first)].experts;
  return std::any_of(names.of_layer.begin(), names.of_layer.end(),
                     [&](const LayerTensor& tensor) { return place.second == tensor.name; }) ||
         (experts.n_experts > 0 && std::any_of(names.of_expert.begin(), names.of_expert.end(),
                                               [&](const ExpertTensor& tensor) {
                                                 return is_of_expert(place.second, tensor,
                                                                     experts.n_experts);
                                               }));
}

bool is_harmless(std::string_view name, const TensorNames& names) {
  return std::any_of(names.harmless.begin(), names.harmless.end(),
                     [&](const char* ending) { return name.ends_with(ending); });
}

}  // namespace

void refuse_unused_tensors(const ModelConfig& config, const std::vector<std::string>& names,
                           const std::string& where) {
  const std::int64_t n_layers = config.shape.n_layers;
  const std::string* first = nullptr;
  std::int64_t n_unused = 0;
  for (const std::string& name : names) {
    if (is_used(name, config) || is_harmless(name, *config.tensors)) continue;
    if (first == nullptr) first = &name;
    ++n_unused;
  }
  if (first == nullptr) return;
  const std::string others =
      n_unused == 1 ? "" : " and " + counted(n_unused - 1, "other") + " have";
  throw BadData(where + ": tensor " + printable(*first) + (n_unused == 1 ? " has" : others) +
                " no place in a " + config.architecture + " of " + counted(n_layers, "layer") +
                ": what the file computes with it is not supported; if it is left over, remove it");
}

}  // namespace tovamill
