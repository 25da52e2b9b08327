// A feed-forward of experts, token by token (kernels/types/experts_shape.h).
#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/reference/backend.h"
#include "kernels/reference/feed_forward.h"

namespace tovamill::reference {
namespace {

struct Choice {
  std::int32_t expert;
  double weight;
};

// In the order of experts; of equal logits the first is chosen.
std::vector<Choice> choose(const std::vector<double>& logits, const ExpertsShape& shape) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto logit = [&](std::int32_t e) { return logits[static_cast<std::size_t>(e)]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int32_t a, std::int32_t b) { return logit(a) > logit(b); });
  const double highest = logit(order.front());
  double of_all = 0.0, of_used = 0.0;
  for (const double l : logits) of_all += std::exp(l - highest);
  order.resize(static_cast<std::size_t>(shape.n_used));
  for (const std::int32_t e : order) of_used += std::exp(logit(e) - highest);
  std::sort(order.begin(), order.end());
  std::vector<Choice> choices;
  for (const std::int32_t e : order)
    choices.push_back({e, std::exp(logit(e) - highest) / (shape.normalized ? of_used : of_all)});
  return choices;
}

}  // namespace

std::unique_ptr<Experts> ReferenceDevice::pack_experts(std::span<const ExpertTensors> experts) {
  auto packed = std::make_unique<ReferenceExperts>();
  for (const ExpertTensors& e : experts) {
    packed->gate_up.push_back(pack_gated({e.gate, e.up, e.gate_bias, e.up_bias}));
    packed->down.push_back(pack({.parts = {e.down}, .biases = {e.down_bias}}));
  }
  return packed;
}

std::uint64_t ReferenceExperts::n_bytes() const {
  std::uint64_t sum = 0;
  for (const auto* matrices : {&gate_up, &down})
    for (const auto& matrix : *matrices) sum += matrix->n_bytes();
  return sum;
}

void ReferenceBackend::add_experts(const Buffer& x, const Matrix& router, const Experts& experts,
                                   const LayerShape& layer, Buffer& hidden) {
  const auto& all = static_cast<const ReferenceExperts&>(experts);
  const auto matrix = [](const std::unique_ptr<Matrix>& m) -> const ReferenceMatrix& {
    return static_cast<const ReferenceMatrix&>(*m);
  };
  const std::int32_t n = layer.experts.intermediate_size;
  std::vector<double> logits(static_cast<std::size_t>(router.n_out())),
      inner(static_cast<std::size_t>(n));
  for (std::int32_t r = 0; r < n_rows_; ++r) {
    const double* row = static_cast<const ReferenceBuffer&>(x).row(r);
    double* out = static_cast<ReferenceBuffer&>(hidden).row(r);
    for (std::int32_t e = 0; e < router.n_out(); ++e)
      logits[static_cast<std::size_t>(e)] =
          dot_row(static_cast<const ReferenceMatrix&>(router), e, row);
    for (const Choice& choice : choose(logits, layer.experts)) {
      const auto e = static_cast<std::size_t>(choice.expert);
      const ReferenceMatrix &gate_up = matrix(all.gate_up[e]), &down = matrix(all.down[e]);
      for (std::int32_t i = 0; i < n; ++i)
        inner[static_cast<std::size_t>(i)] =
            gated(layer.activation, dot_row(gate_up, i, row), dot_row(gate_up, n + i, row));
      for (std::int32_t o = 0; o < down.rows; ++o)
        out[o] += choice.weight * dot_row(down, o, inner.data());
    }
  }
}

void ReferenceBackend::add_weighted(const Buffer& y, const Buffer& x, std::span<const float> gate,
                                    Buffer& hidden) {
  for (std::int32_t r = 0; r < n_rows_; ++r) {
    const double* row = static_cast<const ReferenceBuffer&>(x).row(r);
    double sum = 0.0;
    for (std::size_t i = 0; i < gate.size(); ++i) sum += row[i] * static_cast<double>(gate[i]);
    const double weight = 1.0 / (1.0 + std::exp(-sum));
    for (std::size_t i = 0; i < gate.size(); ++i)
      static_cast<ReferenceBuffer&>(hidden).row(r)[i] +=
          weight * static_cast<const ReferenceBuffer&>(y).row(r)[i];
  }
}

}  // namespace tovamill::reference
