#include "pipeline/analysis/position_differences.h"

#include <algorithm>

namespace tovamill {

void PositionDifferences::add(const DocumentAnalysis& baseline, const DocumentAnalysis& own) {
  if (!baseline.has_positions || !own.has_positions) return;
  bins_ = own.bins;
  const std::size_t n = std::min(baseline.positions.size(), own.positions.size());
  if (n > sums_.size()) sums_.resize(n);
  for (std::size_t b = 0; b < n; ++b) {
    const PositionSum &theirs = baseline.positions[b], &ours = own.positions[b];
    if (theirs.n == 0) continue;
    const auto count = static_cast<double>(ours.n);
    const double expected =
        theirs.n == ours.n ? theirs.nll : theirs.nll / static_cast<double>(theirs.n) * count;
    sums_[b].add(ours.nll - expected, count);
  }
}

void PositionDifferences::write(Hdf5File& file, const std::string& group) const {
  if (sums_.empty()) return;
  std::vector<std::uint64_t> first;
  for (std::size_t b = 0; b < sums_.size(); ++b) first.push_back(bins_.first(b));
  const std::string scale = group + "/position", name = group + "/nll_difference_by_position";
  file.create_scale<std::uint64_t>(scale, first, "first position of the bin", "tokens");
  Hdf5Appender<double> values(
      file, name,
      {.long_name = "NLL per token at these positions less that of the baseline",
       .units = "nats",
       .scales = {scale},
       .expected = sums_.size()});
  Hdf5Appender<double> errors(file, name + "_se",
                              {.long_name = "its standard error over documents",
                               .units = "nats",
                               .scales = {scale},
                               .expected = sums_.size()});
  for (const RatioSums& s : sums_) {
    values.append(s.estimate().value);
    errors.append(s.estimate().standard_error);
  }
  values.finish();
  errors.finish();
}

}  // namespace tovamill
