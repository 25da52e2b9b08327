#include "pipeline/probe/probe_score.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tovamill {
namespace {

constexpr double kNoAnswer = std::numeric_limits<double>::quiet_NaN();
constexpr double kZ = 1.959963984540054;  // of 95 %

char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

const char* const kProbeDefinition =
    "a key is found where it stands in the text, whatever the case of ASCII letters (RULER's "
    "string_match_all); an answer is right where all of its keys are found; accuracy: the share of "
    "right answers, its standard error sqrt(p (1 - p)/n), low and high Wilson's interval of 95 %; "
    "found: the mean share of keys found, with the standard error of a mean, NaN for fewer than "
    "two "
    "answers; documents that failed are in no number";

std::uint32_t n_keys_found(std::string_view text, std::span<const std::string> keys) {
  std::uint32_t n = 0;
  for (const std::string& key : keys) {
    const auto at = std::search(text.begin(), text.end(), key.begin(), key.end(),
                                [](char a, char b) { return ascii_lower(a) == ascii_lower(b); });
    n += !key.empty() && at != text.end();
  }
  return n;
}

Interval wilson_interval(std::uint64_t n_right, std::uint64_t n_answers) {
  if (n_answers == 0) return {kNoAnswer, kNoAnswer};
  const auto n = static_cast<double>(n_answers);
  const double p = static_cast<double>(n_right) / n, z2 = kZ * kZ;
  const double middle = p + z2 / (2.0 * n),
               half = kZ * std::sqrt(p * (1.0 - p) / n + z2 / (4.0 * n * n)), all = 1.0 + z2 / n;
  return {n_right == 0 ? 0.0 : (middle - half) / all,
          n_right == n_answers ? 1.0 : (middle + half) / all};
}

void ProbeCell::add(std::uint32_t n_found, std::uint32_t n_keys) {
  const double share =
      n_keys == 0 ? 0.0 : static_cast<double>(n_found) / static_cast<double>(n_keys);
  ++n;
  n_right += n_keys > 0 && n_found == n_keys;
  found_sum += share;
  found_sum_sq += share * share;
}

void ProbeCell::add(const ProbeCell& other) {
  n += other.n;
  n_right += other.n_right;
  found_sum += other.found_sum;
  found_sum_sq += other.found_sum_sq;
}

double ProbeCell::accuracy() const {
  return n == 0 ? kNoAnswer : static_cast<double>(n_right) / static_cast<double>(n);
}

double ProbeCell::accuracy_se() const {
  const double p = accuracy();
  return std::sqrt(p * (1.0 - p) / static_cast<double>(n));
}

double ProbeCell::found() const { return n == 0 ? kNoAnswer : found_sum / static_cast<double>(n); }

double ProbeCell::found_se() const {
  if (n < 2) return kNoAnswer;
  const auto count = static_cast<double>(n);
  const double squares = std::max(0.0, found_sum_sq - found_sum * found_sum / count);
  return std::sqrt(squares / (count - 1.0) / count);
}

void ProbeCells::add(const ProbeKey& key, std::uint32_t n_found, std::uint32_t n_keys) {
  ProbeCell& cell = cells_[{key.task, key.length, key.depth.value_or(-1.0)}];
  cell.task = key.task;
  cell.length = key.length;
  cell.depth = key.depth;
  cell.add(n_found, n_keys);
}

std::vector<ProbeCell> ProbeCells::cells() const {
  std::vector<ProbeCell> all;
  for (const auto& [key, cell] : cells_) all.push_back(cell);
  return all;
}

}  // namespace tovamill
