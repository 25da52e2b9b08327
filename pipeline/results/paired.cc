#include "pipeline/results/paired.h"

#include <cmath>
#include <limits>

namespace tovamill {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

Estimate exponential_of(Estimate e) {
  return {std::exp(e.value), std::exp(e.value) * e.standard_error};
}

}  // namespace

const char* const kPairedDefinition =
    "over the D documents that both have scored: r = sum nll / sum n of each, n the scored tokens; "
    "nll_difference = r - r_0, 0 the baseline, standard error sqrt(D/(D-1) * sum e_i^2), e_i = "
    "(nll_i - r n_i) / sum n - (nll_0i - r_0 n_0i) / sum n_0; perplexity_ratio = exp(r - r_0) "
    "(delta method); macro: mean over documents of the difference of each one's own mean; NaN for "
    "fewer than two documents";

double PairedDifference::add(double baseline_nll, std::uint64_t baseline_n, double nll,
                             std::uint64_t n) {
  const Pair p{.baseline_nll = baseline_nll,
               .nll = nll,
               .baseline_n = static_cast<double>(baseline_n),
               .n = static_cast<double>(n)};
  pairs_.push_back(p);
  return p.nll / p.n - p.baseline_nll / p.baseline_n;
}

PairedSummary PairedDifference::finish() const {
  PairedSummary s;
  s.n_documents = pairs_.size();
  const auto size = static_cast<double>(pairs_.size());
  double nll = 0.0, baseline_nll = 0.0, n = 0.0, baseline_n = 0.0, macro = 0.0;
  for (const Pair& p : pairs_) {
    nll += p.nll;
    baseline_nll += p.baseline_nll;
    n += p.n;
    baseline_n += p.baseline_n;
    macro += p.nll / p.n - p.baseline_nll / p.baseline_n;
  }
  const double r = nll / n, baseline_r = baseline_nll / baseline_n, mean = macro / size;
  double squares = 0.0, own = 0.0, of_baseline = 0.0, around_mean = 0.0;
  for (const Pair& p : pairs_) {
    const double e = (p.nll - r * p.n) / n,
                 e0 = (p.baseline_nll - baseline_r * p.baseline_n) / baseline_n,
                 d = p.nll / p.n - p.baseline_nll / p.baseline_n - mean;
    squares += (e - e0) * (e - e0);
    own += e * e;
    of_baseline += e0 * e0;
    around_mean += d * d;
  }
  const double each = size < 2.0 ? kUndefined : size / (size - 1.0);
  s.nll_difference = {r - baseline_r, std::sqrt(each * squares)};
  s.nll_difference_macro = {mean, std::sqrt(each * around_mean) / size};
  s.perplexity_ratio = exponential_of(s.nll_difference);
  s.value = {r, std::sqrt(each * own)};
  s.baseline_value = {baseline_r, std::sqrt(each * of_baseline)};
  s.perplexity = exponential_of(s.value);
  return s;
}

}  // namespace tovamill
