#include "engine/model/rotary.h"

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

}  // namespace

std::vector<double> rotary_frequencies(double theta, int head_dim, const RotaryScaling& scaling) {
  std::vector<double> frequencies;
  for (int i = 0; i < head_dim; i += 2) {
    double frequency = std::pow(theta, -static_cast<double>(i) / head_dim);
    if (scaling.kind == RotaryScaling::Kind::linear) frequency /= scaling.factor;
    if (scaling.kind == RotaryScaling::Kind::llama3) frequency = llama3_scaled(frequency, scaling);
    frequencies.push_back(frequency);
  }
  return frequencies;
}

}  // namespace tovamill
