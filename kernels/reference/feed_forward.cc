#include "kernels/reference/feed_forward.h"

#include <algorithm>
#include <cmath>

namespace tovamill::reference {

double dot_row(const ReferenceMatrix& w, std::int32_t out, const double* x) {
  double sum = 0.0;
  const double* row = w.weights.data() + static_cast<std::int64_t>(out) * w.cols;
  for (std::int32_t i = 0; i < w.cols; ++i) sum += row[i] * x[i];
  return w.bias.empty() ? sum : sum + w.bias[static_cast<std::size_t>(out)];
}

double activated(Activation activation, double x) {
  switch (activation) {
    case Activation::silu:
      return x / (1.0 + std::exp(-x));
    case Activation::gelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::gelu_tanh:
      return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::relu2:
      return x > 0.0 ? x * x : 0.0;
    case Activation::xielu:           // has numbers of its own
    case Activation::clamped_swiglu:  // of gate and up: `gated`
      break;
  }
  return 0.0;
}

double activated(const Xielu& a, double x) {
  const auto alpha_p = static_cast<double>(a.alpha_p), alpha_n = static_cast<double>(a.alpha_n),
             beta = static_cast<double>(a.beta), eps = static_cast<double>(a.eps);
  if (x > 0) return alpha_p * x * x + beta * x;
  return (std::expm1(std::min(x, eps)) - x) * alpha_n + beta * x;
}

double gated(Activation activation, double gate, double up) {
  if (activation != Activation::clamped_swiglu) return activated(activation, gate) * up;
  const auto limit = static_cast<double>(kSwigluLimit), slope = static_cast<double>(kSwigluSlope);
  const double g = std::min(gate, limit), u = std::clamp(up, -limit, limit);
  return g / (1.0 + std::exp(-slope * g)) * (u + 1.0);
}

}  // namespace tovamill::reference
