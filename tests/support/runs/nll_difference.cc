#include "tests/support/runs/nll_difference.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "io/results/hdf5_file.h"
#include "kernels/types/error.h"

namespace tovamill::testing {

NllDifference nll_difference(std::span<const float> a, std::span<const float> b, double within) {
  if (a.size() != b.size()) throw Error(ExitCode::usage, "the runs have other numbers of tokens");
  std::vector<double> differences;
  double sum = 0.0;
  std::int64_t n_within = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) != std::isnan(b[i]))
      throw Error(ExitCode::usage, "token " + std::to_string(i) + " is scored in one run only");
    if (std::isnan(a[i])) continue;
    const double d = static_cast<double>(b[i]) - static_cast<double>(a[i]);
    sum += d;
    differences.push_back(std::abs(d));
    n_within += differences.back() <= within ? 1 : 0;
  }
  NllDifference r;
  if (differences.empty()) return r;
  std::sort(differences.begin(), differences.end());
  const auto n = static_cast<double>(differences.size());
  r.n_tokens = static_cast<std::int64_t>(differences.size());
  r.share_within = static_cast<double>(n_within) / n;
  r.median = differences[differences.size() / 2];
  r.p95 = differences[static_cast<std::size_t>(0.95 * (n - 1.0))];
  r.highest = differences.back();
  r.perplexity_ratio = std::exp(sum / n);
  return r;
}

NllDifference nll_difference_of_files(const std::string& a, const std::string& b, double within) {
  const auto read = [](const std::string& path) {
    return Hdf5File(path, Hdf5File::Mode::read).read_all<float>("/tokens/nll");
  };
  return nll_difference(read(a), read(b), within);
}

}  // namespace tovamill::testing
