// What the documents of a run come to, in one group of results.h5: /documents, /failures, /tokens,
// /trace, /generations, /probe, /cache, /nll_by_position, /analysis and /summary (io/README.md,
// "Results file"). Of a sweep each setting has such a group.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "io/results/hdf5_file.h"
#include "pipeline/analysis/class_datasets.h"
#include "pipeline/analysis/position_datasets.h"
#include "pipeline/probe/probe_datasets.h"
#include "pipeline/results/cache_statistics.h"
#include "pipeline/results/generation_datasets.h"
#include "pipeline/results/summary.h"
#include "pipeline/run_directory/document_record.h"

namespace tovamill {

// What must be known before the first document is written.
struct ResultsSizes {
  std::uint64_t n_documents = 0;
  std::uint64_t n_failed = 0, n_tokens = 0;                           // at most
  std::size_t longest_id = 0, longest_file = 0, longest_failure = 0;  // bytes
  // The job writes texts and scores nothing: there is /generations, but no perplexity.
  bool generates = false;
};

// Replaces the attributes of /summary about generated texts.
void write_text_summary(Hdf5File& file, const CorpusSummary& summary);

class ResultsGroup {
 public:
  // `group` is there: "" or "/sweep/tova". The file outlives the object.
  ResultsGroup(const Hdf5File& file, const std::string& group, const ResultsSizes& sizes);
  ~ResultsGroup();

  // As ResultsWriter::add.
  void add(const DocumentRecord& record);
  // Writes what is left.
  CorpusSummary finish();

 private:
  struct Documents;
  struct Failures;
  struct Tokens;
  void write_summary(const CorpusSummary& summary);
  void write_perplexities(const CorpusSummary& summary);

  bool generates_;
  Hdf5File file_;              // its paths begin at the group
  std::uint64_t n_added_ = 0;  // documents
  std::unique_ptr<Documents> documents_;
  std::unique_ptr<Failures> failures_;
  std::unique_ptr<Tokens> tokens_;
  GenerationDatasets generations_;
  ProbeDatasets probe_;
  std::uint64_t n_generations_ = 0;  // so far
  CacheStatistics cache_;
  PositionDatasets positions_;  // /nll_by_position
  ClassDatasets classes_;       // /analysis
  SummaryBuilder summary_;
};

}  // namespace tovamill
