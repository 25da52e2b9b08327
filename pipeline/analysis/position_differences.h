// By how much the NLL of a setting of a sweep differs from that of the baseline, by position.
#pragma once

#include <string>
#include <vector>

#include "io/results/hdf5_file.h"
#include "pipeline/analysis/ratio_sums.h"
#include "pipeline/run_directory/document_analysis.h"

namespace tovamill {

class PositionDifferences {
 public:
  // Of a document that both have scored. Where they have scored different numbers of tokens in a
  // bin (chunks), the baseline's mean counts for as many as the setting's.
  void add(const DocumentAnalysis& baseline, const DocumentAnalysis& own);
  // The datasets nll_difference_by_position and ..._se in `group`; nothing where no document has
  // positions.
  void write(Hdf5File& file, const std::string& group) const;

 private:
  PositionBins bins_;
  std::vector<RatioSums> sums_;  // by bin
};

}  // namespace tovamill
