// Rotary frequencies: inv_freq[i] = theta^(-2i / n), i < n / 2, of the n dimensions of a head that
// are rotated (Su et al. 2021), and their scalings. Source: transformers, modeling_rope_utils.py.
#pragma once

#include <vector>

#include "kernels/types/tensor.h"

namespace tovamill {

struct RotaryScaling {
  // yarn: Peng et al. 2023, arXiv:2309.00071; longrope: Ding et al. 2024, arXiv:2402.13753.
  // ntk_alpha: a base of theta alpha^(n / (n - 2)), whatever the length (HunYuan).
  // proportional: the first `share` of the pairs alone are rotated.
  enum class Kind { none, linear, llama3, yarn, longrope, ntk_alpha, proportional };
  Kind kind = Kind::none;
  double factor = 1;  // linear and llama3: every frequency, or every low one, is divided by it;
                      // ntk_alpha: alpha
  // llama3 only: wavelengths over original_context / low_freq_factor are scaled, those under
  // original_context / high_freq_factor are kept, between them the two are blended.
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  double original_context = 8192;  // tokens; llama3 and yarn
  // yarn only: dimensions that turn more than beta_fast times in the original context are kept,
  // those that turn less than beta_slow times are scaled; `truncates`: between whole dimensions.
  double beta_fast = 32;
  double beta_slow = 1;
  bool truncates = true;
  std::vector<double> divisors = {};        // longrope only: (n / 2)
  std::vector<double> short_divisors = {};  // longrope only: for streams within original_context
  double share = 1;                         // proportional only
  double attention_factor = 1;              // rotated queries and keys are multiplied with it, each

  bool operator==(const RotaryScaling&) const = default;
};

// YaRN's factor of rotated queries and keys, each: 1 + 0.1 share ln(factor), 1 where nothing is
// stretched.
double yarn_mscale(double factor, double share);

// (head_dim / 2) frequencies in radians per token; those of the dimensions from `rotary_dim` on are
// 0.
std::vector<double> rotary_frequencies(double theta, int rotary_dim, int head_dim,
                                       const RotaryScaling& scaling);

}  // namespace tovamill
