// What a rank did over time, in bins of equal width that double when they run out: in constant
// memory however long the rank works.
#pragma once

#include <array>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <vector>

namespace tovamill {

struct TimelineBin {
  double tokens = 0.0, computing_s = 0.0, waiting_s = 0.0;

  bool operator==(const TimelineBin&) const = default;
};

class Timeline {
 public:
  static constexpr std::size_t kMostBins = 64;

  // From `begin_s` to `end_s`, both counted from the start of the rank and not negative; spread
  // evenly over the bins between.
  void add(double begin_s, double end_s, TimelineBin what);

  double width_s() const { return width_s_; }
  const std::vector<TimelineBin>& bins() const { return bins_; }

  nlohmann::json to_json() const;
  // What is none, or damaged, comes back empty.
  static Timeline from_json(const nlohmann::json& json);

 private:
  void halve();

  double width_s_ = 0.125;
  std::vector<TimelineBin> bins_;
};

}  // namespace tovamill
