#include "pipeline/analysis/ratio_sums.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tovamill {

void RatioSums::add(double y, double n) {
  if (!(n > 0.0)) return;
  if (n_documents_++ == 0) centre_ = y / n;
  const double e = y - centre_ * n;
  y_ += y, n_ += n;
  e_ += e, ee_ += e * e, en_ += e * n, nn_ += n * n;
}

Estimate RatioSums::estimate() const {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  if (n_documents_ == 0) return {kNone, kNone};
  if (n_documents_ < 2) return {y_ / n_, kNone};
  const double d = e_ / n_, count = static_cast<double>(n_documents_);
  const double squares = std::max(0.0, ee_ - 2.0 * d * en_ + d * d * nn_);
  return {y_ / n_, std::sqrt(count / (count - 1.0) * squares) / n_};
}

}  // namespace tovamill
