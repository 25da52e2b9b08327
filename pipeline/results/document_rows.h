// The documents of a results.h5, some at a time.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <numbers>
#include <string>
#include <vector>

#include "io/results/hdf5_file.h"

namespace tovamill {

// A row of /documents; for a failed document joined with its row of /failures.
struct DocumentRow {
  std::string id, file, positions, status, failure_reason, failure_text;
  std::uint64_t line = 0, offset = 0, n_bytes = 0, n_words = 0, n_tokens = 0, n_scored = 0;
  std::int32_t clip_distance = 0;
  double nll_sum = 0.0, nll_sum_sq = 0.0;
  std::uint64_t first_token = 0, end_token = 0;

  bool failed() const { return status == "failed"; }
  // Of this document alone; NaN without a scored token, word or byte.
  double perplexity_token() const { return std::exp(per(n_scored)); }
  double perplexity_word() const { return std::exp(per(n_words)); }
  double bits_per_byte() const { return per(n_bytes) / std::numbers::ln2; }
  double per(std::uint64_t n) const {
    return n > 0 ? nll_sum / static_cast<double>(n) : std::nan("");
  }
};

// The rows of /documents joined with those of /failures, which stand in the same order.
class DocumentRows {
 public:
  // `tokens`: with the places of the documents in /tokens, which must be there.
  DocumentRows(const Hdf5File& file, bool tokens)
      : file_(file), tokens_(tokens), n_(file.shape("/documents/id").at(0)) {}

  // Calls visit for each in order. Throws BadData where columns differ in length.
  void each(const std::function<void(const DocumentRow&)>& visit);

 private:
  std::vector<DocumentRow> read(std::uint64_t first, std::uint64_t n) const;
  void add_failures(std::vector<DocumentRow>& rows);

  const Hdf5File& file_;
  bool tokens_;
  std::uint64_t n_;
  std::uint64_t n_failures_ = 0;
};

}  // namespace tovamill
