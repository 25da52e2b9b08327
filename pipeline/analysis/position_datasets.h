// /nll_by_position of results.h5 (io/README.md, "/nll_by_position"): NLL by position over all
// documents and of each, in memory that does not grow with their number.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "io/results/hdf5_file.h"
#include "pipeline/analysis/ratio_sums.h"
#include "pipeline/run_directory/document_record.h"

namespace tovamill {

class PositionDatasets {
 public:
  // The file outlives the object.
  PositionDatasets(Hdf5File& file, std::uint64_t n_documents)
      : file_(file), n_expected_(n_documents) {}

  // In (file, offset) order. The group is made with the first document that has positions; throws
  // BadData where another one lacks them, or has other bins.
  void add(const DocumentRecord& record);
  void finish();

 private:
  void create(const DocumentRecord& record);

  Hdf5File& file_;
  std::uint64_t n_expected_;
  std::uint64_t n_before_ = 0;  // documents before the group was made
  bool lacks_ = false;          // one of these should have had positions
  PositionBins bins_;
  std::vector<RatioSums> sums_;  // by bin
  std::uint64_t n_values_ = 0;
  std::optional<Hdf5Appender<std::uint64_t>> offsets_, n_tokens_;
  std::optional<Hdf5Appender<double>> nll_;
};

}  // namespace tovamill
