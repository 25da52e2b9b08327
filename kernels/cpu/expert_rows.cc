#include "kernels/cpu/expert_rows.h"

#include <algorithm>
#include <cmath>

namespace tovamill::cpu {

void choose_experts(const float* logits, const ExpertsShape& shape,
                    std::span<ExpertChoice> chosen) {
  const auto is_chosen = [&](std::int32_t e, std::size_t n) {
    return std::any_of(chosen.begin(), chosen.begin() + static_cast<std::ptrdiff_t>(n),
                       [&](const ExpertChoice& c) { return c.expert == e; });
  };
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    std::int32_t best = -1;
    for (std::int32_t e = 0; e < shape.n_experts; ++e) {
      if (best >= 0 && !(logits[e] > logits[best])) continue;
      if (!is_chosen(e, i)) best = e;
    }
    chosen[i].expert = best;
  }
  const auto highest = static_cast<double>(logits[chosen.front().expert]);
  const auto term = [&](std::int32_t e) {
    return std::exp(static_cast<double>(logits[e]) - highest);
  };
  double sum = 0.0;
  if (shape.normalized) {
    for (const ExpertChoice& c : chosen) sum += term(c.expert);
  } else {
    for (std::int32_t e = 0; e < shape.n_experts; ++e) sum += term(e);
  }
  for (ExpertChoice& c : chosen) c.weight = static_cast<float>(term(c.expert) / sum);
  std::sort(chosen.begin(), chosen.end(),
            [](const ExpertChoice& a, const ExpertChoice& b) { return a.expert < b.expert; });
}

ExpertRows::ExpertRows(std::int32_t max_rows, std::int32_t most_used) {
  const std::size_t n = static_cast<std::size_t>(max_rows) * static_cast<std::size_t>(most_used);
  choices_.resize(n);
  rows_.reserve(n);
}

void ExpertRows::sort(std::int32_t n_rows, std::int32_t n_experts) {
  const std::size_t n = static_cast<std::size_t>(n_rows) * n_used_;
  begins_.assign(static_cast<std::size_t>(n_experts) + 1, 0);
  for (std::size_t i = 0; i < n; ++i) ++begins_[static_cast<std::size_t>(choices_[i].expert) + 1];
  for (std::size_t e = 1; e < begins_.size(); ++e) begins_[e] += begins_[e - 1];
  rows_.resize(n);
  std::vector<std::int32_t> next(begins_.begin(), begins_.end() - 1);
  for (std::size_t i = 0; i < n; ++i) {
    choices_[i].place = next[static_cast<std::size_t>(choices_[i].expert)]++;
    rows_[static_cast<std::size_t>(choices_[i].place)] = static_cast<std::int32_t>(i / n_used_);
  }
}

std::span<const ExpertTile> ExpertRows::tiles(TileSizes sizes) {
  tiles_.clear();
  for (std::size_t e = 0; e + 1 < begins_.size(); ++e) {
    const std::int32_t n = begins_[e + 1] - begins_[e];
    for (const RowTile& tile : cut_.cut(n, sizes)) {
      tiles_.push_back({.expert = static_cast<std::int32_t>(e),
                        .first = begins_[e] + tile.first,
                        .n_rows = std::min(tile.rows(), n - tile.first),
                        .size = tile.size});
    }
  }
  return tiles_;
}

std::uint64_t ExpertRows::n_bytes() const {
  return choices_.size() * sizeof(ExpertChoice) + rows_.capacity() * sizeof(std::int32_t);
}

}  // namespace tovamill::cpu
