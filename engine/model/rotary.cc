#include "engine/model/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tovamill {

namespace {

double llama3_scaled(double frequency, const RotaryScaling& s) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < s.original_context / s.high_freq_factor) return frequency;
  if (wavelength > s.original_context / s.low_freq_factor) return frequency / s.factor;
  const double kept = (s.original_context / wavelength - s.low_freq_factor) /
                      (s.high_freq_factor - s.low_freq_factor);
  return (1 - kept) * frequency / s.factor + kept * frequency;
}

// The dimension that turns `n_turns` times in the original context.
double yarn_dimension(double n_turns, double theta, int dim, const RotaryScaling& s) {
  return dim * std::log(s.original_context / (n_turns * 2 * std::numbers::pi)) /
         (2 * std::log(theta));
}

double yarn_scaled(double frequency, int pair, double theta, int dim, const RotaryScaling& s) {
  double low = yarn_dimension(s.beta_fast, theta, dim, s);
  double high = yarn_dimension(s.beta_slow, theta, dim, s);
  if (s.truncates) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1.0);
  if (low == high) high += 0.001;
  const double scaled = std::clamp((pair - low) / (high - low), 0.0, 1.0);
  return frequency / s.factor * scaled + frequency * (1 - scaled);
}

}  // namespace

double yarn_mscale(double factor, double share) {
  return factor <= 1 ? 1 : 0.1 * share * std::log(factor) + 1;
}

std::vector<double> rotary_frequencies(double theta, int rotary_dim, int head_dim,
                                       const RotaryScaling& scaling) {
  std::vector<double> frequencies;
  if (scaling.kind == RotaryScaling::Kind::ntk_alpha)
    theta *= std::pow(scaling.factor, rotary_dim / (rotary_dim - 2.0));
  for (int i = 0; i < head_dim; i += 2) {
    double f = i < rotary_dim ? std::pow(theta, -static_cast<double>(i) / rotary_dim) : 0.0;
    if (i < rotary_dim) {
      switch (scaling.kind) {
        case RotaryScaling::Kind::none:
        case RotaryScaling::Kind::ntk_alpha:
          break;
        case RotaryScaling::Kind::proportional:
          f = i / 2 < static_cast<int>(scaling.share * head_dim / 2) ? f / scaling.factor : 0.0;
          break;
        case RotaryScaling::Kind::linear:
          f /= scaling.factor;
          break;
        case RotaryScaling::Kind::llama3:
          f = llama3_scaled(f, scaling);
          break;
        case RotaryScaling::Kind::yarn:
          f = yarn_scaled(f, i / 2, theta, rotary_dim, scaling);
          break;
        case RotaryScaling::Kind::longrope:
          f /= scaling.divisors.at(static_cast<std::size_t>(i / 2));
          break;
      }
    }
    frequencies.push_back(f);
  }
  return frequencies;
}

}  // namespace tovamill
