// A mean over the things of all documents, and its standard error over documents, in constant
// memory.
#pragma once

#include <cstdint>

namespace tovamill {

// A number and its standard error over documents.
struct Estimate {
  double value = 0.0;
  double standard_error = 0.0;
};

// r = sum y / sum n of D documents with sums y_i over n_i things. The documents are the sample:
//   se(r) = sqrt( D/(D-1) * sum (y_i - r n_i)^2 ) / sum n_i
// as in pipeline/results/summary.h. The squares are summed about the first document's own ratio, so
// that nothing cancels.
class RatioSums {
 public:
  void add(double y, double n);  // a document without things adds nothing
  std::uint64_t n_documents() const { return n_documents_; }
  double y() const { return y_; }
  double n() const { return n_; }
  // NaN: the ratio of none, the error of fewer than two documents.
  Estimate estimate() const;

 private:
  std::uint64_t n_documents_ = 0;
  double y_ = 0.0, n_ = 0.0;
  double centre_ = 0.0;
  double e_ = 0.0, ee_ = 0.0, en_ = 0.0, nn_ = 0.0;  // e_i = y_i - centre n_i
};

}  // namespace tovamill
