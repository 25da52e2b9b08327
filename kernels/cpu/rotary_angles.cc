#include "kernels/cpu/rotary_angles.h"

#include <cmath>

namespace tovamill::cpu {
namespace {

std::vector<double> table(const std::vector<double>& inv_freq, std::int64_t n,
                          std::int64_t stride) {
  const std::size_t half = inv_freq.size();
  std::vector<double> t(static_cast<std::size_t>(n) * 2 * half);
  for (std::int64_t p = 0; p < n; ++p) {
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(p * stride) * inv_freq[i];
      t[(static_cast<std::size_t>(p) * 2) * half + i] = std::cos(angle);
      t[(static_cast<std::size_t>(p) * 2 + 1) * half + i] = std::sin(angle);
    }
  }
  return t;
}

}  // namespace

RotaryAngles::RotaryAngles(const std::vector<double>& inv_freq, std::int64_t n_table)
    : inv_freq_(inv_freq), n_coarse_((n_table + kFine - 1) / kFine) {
  fine_ = table(inv_freq, kFine, 1);
  coarse_ = table(inv_freq, n_coarse_, kFine);
}

void RotaryAngles::fill(std::int64_t position, float* cosines, float* sines) const {
  const std::size_t n = inv_freq_.size();
  const std::int64_t high = position / kFine;
  if (high >= n_coarse_) {
    for (std::size_t i = 0; i < n; ++i) {
      const double angle = static_cast<double>(position) * inv_freq_[i];
      cosines[i] = static_cast<float>(std::cos(angle));
      sines[i] = static_cast<float>(std::sin(angle));
    }
    return;
  }
  const double* a = coarse_.data() + static_cast<std::size_t>(high) * 2 * n;
  const double* b = fine_.data() + static_cast<std::size_t>(position % kFine) * 2 * n;
  for (std::size_t i = 0; i < n; ++i) {
    cosines[i] = static_cast<float>(a[i] * b[i] - a[n + i] * b[n + i]);
    sines[i] = static_cast<float>(a[n + i] * b[i] + a[i] * b[n + i]);
  }
}

std::uint64_t RotaryAngles::n_bytes() const {
  return (fine_.size() + coarse_.size()) * sizeof(double);
}

}  // namespace tovamill::cpu
