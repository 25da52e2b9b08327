#include "workers/stages/stage_cut.h"

#include <algorithm>

#include "kernels/types/error.h"

namespace tovamill {
namespace {

// Size of part `index` of `n` in equal parts, the first ones longer by one where that leaves a
// rest.
std::int32_t part_size(std::int32_t n, std::int32_t parts, std::int32_t index) {
  return n / parts + (index < n % parts ? 1 : 0);
}

}  // namespace

std::vector<LayerRange> cut_layers(const ModelShape& shape, std::int32_t n_stages) {
  const std::int32_t n = shape.n_layers;
  if (n_stages > n)
    throw Error(ExitCode::usage, "--stages " + std::to_string(n_stages) + ": the model has " +
                                     std::to_string(n) + " layers: give at most so many stages");
  if (n_stages <= 1) return {{.first = 0, .n = n, .n_all = n}};
  const bool shares_kv =
      std::any_of(shape.layers.begin(), shape.layers.end(),
                  [](const LayerShape& layer) { return layer.kv_source != kOwnKv; });
  if (shares_kv || shape.per_layer_size > 0 || shape.heads_differ())
    throw Error(ExitCode::configuration,
                "--stages " + std::to_string(n_stages) +
                    ": layers of this model share keys and values, have embeddings of their own or "
                    "differ in their heads, which is not supported in stages: leave it out");
  const double of_layers = static_cast<double>(
      active_parameters(shape, {.first = 0, .n = n, .n_all = n}) - head_parameters(shape));
  const double head = static_cast<double>(head_parameters(shape)) / (of_layers / n);
  const auto cost = [&](std::int32_t n_last) {
    return std::max(static_cast<double>(part_size(n - n_last, n_stages - 1, 0)), n_last + head);
  };
  std::int32_t n_last = 1;
  for (std::int32_t l = 2; l <= n - (n_stages - 1); ++l) {
    if (cost(l) < cost(n_last)) n_last = l;
  }
  std::vector<LayerRange> stages;
  std::int32_t first = 0;
  for (std::int32_t s = 0; s < n_stages; ++s) {
    const std::int32_t here = s + 1 == n_stages ? n_last : part_size(n - n_last, n_stages - 1, s);
    stages.push_back({.first = first, .n = here, .n_all = n});
    first += here;
  }
  return stages;
}

ModelShape shape_of(const ModelShape& whole, const LayerRange& range) {
  ModelShape shape = whole;
  shape.n_layers = range.n;
  shape.first_layer = range.first;
  return shape;
}

std::string text_of(const std::vector<LayerRange>& stages) {
  std::string text = "layers ";
  for (const LayerRange& s : stages) {
    if (s.first > 0) text += " | ";
    text += std::to_string(s.first);
    if (s.n > 1) text += "-" + std::to_string(s.first + s.n - 1);
  }
  return text + " + head";
}

void check_groups(int n_ranks, int first_worker, std::int32_t n_stages) {
  const int n = n_ranks - first_worker;
  if (n_stages <= 1 || (n > 0 && n % n_stages == 0)) return;
  const int n_more = n_stages - n % n_stages;
  throw Error(ExitCode::usage, "--stages " + std::to_string(n_stages) + ": " + std::to_string(n) +
                                   " rank" + (n == 1 ? "" : "s") + " cannot form groups of " +
                                   std::to_string(n_stages) + ": start " +
                                   std::to_string(n_ranks + n_more) + " ranks (mpirun -n " +
                                   std::to_string(n_ranks + n_more) + "), or give fewer stages");
}

}  // namespace tovamill
