// Two runs or settings over the same documents: the difference of their likelihoods, document by
// document, which varies far less than each of them does.
//
// r = sum nll / sum n (nats per scored token) of each, over the D documents that both have scored;
// the difference is r - r_0, 0 the baseline. Its residual in document i is
//   e_i = (nll_i - r n_i) / sum n - (nll_0i - r_0 n_0i) / sum n_0,
// its standard error sqrt(D/(D-1) sum e_i^2) (as summary.h of each, the document the unit). The
// ratio of the perplexities is exp(r - r_0), its error by the delta method. Macro: the mean over
// documents of the difference of each one's own mean, with the standard error of a mean. NaN as in
// summary.h.
#pragma once

#include <cstdint>
#include <vector>

#include "pipeline/results/summary.h"

namespace tovamill {

class PairedDifference {
 public:
  // Nats of a document that both have scored, and tokens that these are the sum of, of the baseline
  // and of the other. Returns the difference of the means, in nats per token.
  double add(double baseline_nll, std::uint64_t baseline_n, double nll, std::uint64_t n);
  PairedSummary finish() const;

 private:
  struct Pair {
    double baseline_nll, nll;
    double baseline_n, n;
  };
  std::vector<Pair> pairs_;
};

// One sentence for the attribute `definition`.
extern const char* const kPairedDefinition;

}  // namespace tovamill
