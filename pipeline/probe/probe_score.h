// Whether an answer is right, and how sure a share of right ones is.
//
// A key is found where it stands in the text, whatever the case of ASCII letters and whatever
// stands beside it (RULER's string_match_all). An answer is right where all of its keys are found;
// what RULER reports is the share of its keys that are. The interval of a share of n answers is
// Wilson's, 95 %:
//   (p + z^2/2n +- z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n),  z = 1.96;
// its standard error sqrt(p (1 - p)/n), that of the mean share of keys found the one of a mean.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "pipeline/probe/probe_key.h"

namespace tovamill {

// How many of the keys the text holds; an empty key is in none.
std::uint32_t n_keys_found(std::string_view text, std::span<const std::string> keys);

struct Interval {
  double low = 0.0, high = 0.0;
};
// NaN where n is 0.
Interval wilson_interval(std::uint64_t n_right, std::uint64_t n);

// The answers of one task, length and depth.
struct ProbeCell {
  ProbeTask task = ProbeTask::passkey;
  std::uint64_t length = 0;
  std::optional<double> depth;
  std::uint64_t n = 0, n_right = 0;
  double found_sum = 0.0, found_sum_sq = 0.0;  // of the shares of keys found

  void add(std::uint32_t n_found, std::uint32_t n_keys);
  void add(const ProbeCell& other);  // its answers
  double accuracy() const;
  double accuracy_se() const;
  Interval interval() const { return wilson_interval(n_right, n); }
  double found() const;     // mean share of keys found
  double found_se() const;  // NaN for fewer than two answers
};

// One sentence for the attribute `definition`.
extern const char* const kProbeDefinition;

// The cells of many answers, by task, length and depth.
class ProbeCells {
 public:
  void add(const ProbeKey& key, std::uint32_t n_found, std::uint32_t n_keys);
  std::vector<ProbeCell> cells() const;
  bool is_empty() const { return cells_.empty(); }

 private:
  std::map<std::tuple<ProbeTask, std::uint64_t, double>, ProbeCell> cells_;
};

}  // namespace tovamill
