// /probe of results.h5: how the answers to a corpus of `tovamill probe` are judged, a row for each,
// and what they come to, in /probe/cells. Written wherever documents have ids of such a corpus.
#pragma once

#include <cstdint>
#include <memory>

#include "io/results/hdf5_file.h"
#include "pipeline/probe/probe_score.h"
#include "pipeline/run_directory/document_record.h"

namespace tovamill {

class ProbeDatasets {
 public:
  explicit ProbeDatasets(Hdf5File& file);
  ~ProbeDatasets();

  // The texts of the record, the first of which is in row `first` of /generations.
  void add(const DocumentRecord& record, std::uint64_t first);
  // Writes what is left; nothing where no document was of a probe.
  void finish();

 private:
  struct Rows;
  void write_cells();

  Hdf5File& file_;
  std::unique_ptr<Rows> rows_;
  ProbeCells cells_;
};

}  // namespace tovamill
