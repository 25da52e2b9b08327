#include "tests/support/runs/near_results.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "io/results/hdf5_file.h"
#include "kernels/types/error.h"

namespace tovamill::testing {
namespace {

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

struct Tokens {
  explicit Tokens(const std::string& path) {
    const Hdf5File file(path, Hdf5File::Mode::read);
    nll = file.read_all<double>("/tokens/nll");
    for (const double x : file.read_all<double>("/tokens/offsets"))
      offsets.push_back(static_cast<std::size_t>(x));
    eviction_step = file.read_all<double>("/trace/death");
  }
  std::vector<double> nll;
  std::vector<std::size_t> offsets;
  std::vector<double> eviction_step;  // (n_layers, all tokens)
};

std::int64_t step(double eviction_step) {
  return eviction_step < 0.0 ? kNever : static_cast<std::int64_t>(eviction_step);
}

}  // namespace

NearResults near_results(const std::string& path_a, const std::string& path_b) {
  const Tokens a(path_a), b(path_b);
  if (a.offsets != b.offsets || a.nll.size() != b.nll.size() ||
      a.eviction_step.size() != b.eviction_step.size())
    throw Error(ExitCode::bad_data, path_a + " and " + path_b + " are of other documents");
  NearResults r;
  const std::size_t n = a.nll.size(), n_layers = n > 0 ? a.eviction_step.size() / n : 0;
  std::uint64_t n_differing = 0;
  for (std::size_t d = 0; d + 1 < a.offsets.size(); ++d) {
    const std::size_t begin = a.offsets[d], end = a.offsets[d + 1];
    std::int64_t first = kNever;  // step after which a state differs
    for (std::size_t l = 0; l < n_layers; ++l) {
      for (std::size_t i = l * n + begin; i < l * n + end; ++i) {
        if (a.eviction_step[i] == b.eviction_step[i]) continue;
        ++n_differing;
        first = std::min({first, step(a.eviction_step[i]), step(b.eviction_step[i])});
      }
    }
    for (std::size_t i = begin; i < end; ++i) {
      if (!std::isfinite(a.nll[i]) && !std::isfinite(b.nll[i])) continue;
      const double difference = a.nll[i] - b.nll[i];
      ++r.n_tokens;
      r.mean_difference += difference;
      // The token behind the query of the step after it is the first that sees another state.
      if (first != kNever && static_cast<std::int64_t>(i - begin) > first + 1) continue;
      ++r.n_before;
      if (!(std::abs(difference) <= r.worst_before)) r.worst_before = std::abs(difference);
    }
  }
  if (r.n_tokens > 0) r.mean_difference /= static_cast<double>(r.n_tokens);
  if (!a.eviction_step.empty())
    r.deaths_differing =
        static_cast<double>(n_differing) / static_cast<double>(a.eviction_step.size());
  return r;
}

}  // namespace tovamill::testing
