// compare_results A B: whether two results.h5 say the same to the bit, /run and the attributes that
// a file itself calls run-dependent aside.
// compare_results --near A B: whether the tokens of two runs on different devices are as near as
// float32 lets them be (near_results.h).
// Exit code 0: they are; 1: they are not, and standard output names what differs; 2: one cannot be
// read.
#include <cmath>
#include <exception>
#include <iostream>
#include <string>

#include "tests/support/runs/near_results.h"
#include "tests/support/runs/results_text.h"

namespace {

// Standard output names what differs.
bool compare(const std::string& path_a, const std::string& path_b) {
  const auto a = tovamill::testing::results_parts(path_a);
  const auto b = tovamill::testing::results_parts(path_b);
  for (const auto& [name, part] : a) {
    const auto other = b.find(name);
    if (other == b.end()) {
      std::cout << name << " is in the first file only\n";
    } else if (part != other->second) {
      std::cout << name << " differs\n";
    }
  }
  for (const auto& [name, part] : b) {
    if (!a.contains(name)) std::cout << name << " is in the second file only\n";
  }
  return a == b;
}

// Seen between two instruction sets of a CPU with SmolLM2-135M, k = 128, 15,000 tokens of source
// text: 0.6 % of the eviction steps, a mean difference of 1.5e-4, 5e-5 at most before the first
// eviction that differs.
constexpr double kMostBefore = 1e-3, kMostMean = 5e-3, kMostDeaths = 0.03, kLeastBefore = 0.05;

bool compare_nearly(const std::string& path_a, const std::string& path_b) {
  const tovamill::testing::NearResults r = tovamill::testing::near_results(path_a, path_b);
  const double before = static_cast<double>(r.n_before) / static_cast<double>(r.n_tokens);
  std::cout << r.n_before << " of " << r.n_tokens
            << " tokens stand before the first eviction that differs in their document: their NLL "
            << "differs by " << r.worst_before << " at most (bar " << kMostBefore << ")\nmean NLL "
            << "differs by " << r.mean_difference << " (bar " << kMostMean << ")\n"
            << 100.0 * r.deaths_differing << " % of the deaths differ (bar " << 100.0 * kMostDeaths
            << " %)\n";
  return r.n_tokens > 0 && before >= kLeastBefore && r.worst_before <= kMostBefore &&
         std::abs(r.mean_difference) <= kMostMean && r.deaths_differing <= kMostDeaths;
}

}  // namespace

int main(int argc, char** argv) {
  const bool is_near = argc == 4 && std::string(argv[1]) == "--near";
  if (argc != 3 && !is_near) {
    std::cerr << "usage: compare_results [--near] A B\n";
    return 2;
  }
  try {
    if (is_near) return compare_nearly(argv[2], argv[3]) ? 0 : 1;
    return compare(argv[1], argv[2]) ? 0 : 1;
  } catch (const std::exception& e) {
    std::cerr << "compare_results: " << e.what() << "\n";
    return 2;
  }
}
