// Rotary frequencies: inv_freq[i] = theta^(-2i / head_dim), i < head_dim / 2 (Su et al. 2021), and
// their scalings.
#pragma once

#include <vector>

#include "kernels/types/tensor.h"

namespace tovamill {

struct RotaryScaling {
  enum class Kind { none, linear, llama3 };
  Kind kind = Kind::none;
  double factor = 1;  // linear and llama3: every frequency, or every low one, is divided by it
  // llama3 only: wavelengths over original_context / low_freq_factor are scaled, those under
  // original_context / high_freq_factor are kept, between them the two are blended.
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  double original_context = 8192;  // tokens

  bool operator==(const RotaryScaling&) const = default;
};

// (head_dim / 2) frequencies in radians per token. Source of llama3: transformers,
// modeling_rope_utils.py.
std::vector<double> rotary_frequencies(double theta, int head_dim, const RotaryScaling& scaling);

}  // namespace tovamill
