// compare_nll A B WITHIN SHARE PERPLEXITY: one line on how far the tokens' NLL in results.h5 B is
// from that in A. Exit code 0: at least SHARE of the tokens are within WITHIN nats, and the
// perplexities within a factor of 1 + PERPLEXITY; 1: they are not; 2: something cannot be read.
//
// Two devices that add up in other orders choose differently where two tokens of a state weigh
// nearly the same, and what is read after that differs a little: so a share, not all, under a
// bounded policy.
#include <cmath>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>

#include "tests/support/runs/nll_difference.h"

int main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "usage: compare_nll A B WITHIN SHARE PERPLEXITY\n";
    return 2;
  }
  try {
    const double within = std::stod(argv[3]), share = std::stod(argv[4]),
                 perplexity = std::stod(argv[5]);
    const auto d = tovamill::testing::nll_difference_of_files(argv[1], argv[2], within);
    std::printf(
        "%lld tokens: %.3f %% within %g; median %.2g, 95 %% %.2g, greatest %.2g; perplexity times "
        "%.6f\n",
        static_cast<long long>(d.n_tokens), 100.0 * d.share_within, within, d.median, d.p95,
        d.highest, d.perplexity_ratio);
    const bool is_near = d.n_tokens > 0 && d.share_within >= share &&
                         std::abs(std::log(d.perplexity_ratio)) <= std::log1p(perplexity);
    return is_near ? 0 : 1;
  } catch (const std::exception& e) {
    std::cerr << "compare_nll: " << e.what() << "\n";
    return 2;
  }
}
