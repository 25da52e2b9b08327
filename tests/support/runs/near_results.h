// How near two results.h5 with --token-nll and --trace-state are, of runs that reckon the same in
// another order. Rounding alone makes another token leave a state now and then, where two are
// nearly equal, and what follows in that document differs by more than rounding.
#pragma once

#include <cstdint>
#include <string>

namespace tovamill::testing {

struct NearResults {
  std::uint64_t n_tokens = 0;     // that are scored
  std::uint64_t n_before = 0;     // of them, before the first other death in their document
  double worst_before = 0.0;      // the largest difference of NLL of these
  double mean_difference = 0.0;   // of the NLL of all, signed
  double deaths_differing = 0.0;  // share
};

// Throws Error where one cannot be read or they have other documents.
NearResults near_results(const std::string& path_a, const std::string& path_b);

}  // namespace tovamill::testing
