// results.h5 from its documents in order (io/README.md, "Results file").
// Every group opens in h5py, pandas and
// xarray: each dataset has `long_name`, `units` and dimension scales, and only built-in filters are
// used.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/results/cache_statistics.h"
#include "pipeline/results/generation_datasets.h"
#include "pipeline/results/summary.h"
#include "pipeline/run_directory/document_record.h"
#include "pipeline/run_directory/run_directory.h"

namespace tovamill {

inline constexpr std::int64_t kResultsSchema = 1;

// The root attributes that stand in the headers of the journals.
struct ResultsHeader {
  // The same for every run with these options over this corpus:
  std::string fingerprint;
  std::string model, tokenizer;
  std::string policy, positions;
  std::int64_t cache_size = 0;  // tokens
  std::string config;           // all options, as JSON or INI text
  std::string program_version, git_hash;
  std::string left_out = {};  // files of the corpus that are not read; empty: none
  bool complete = false;      // every record of the corpus is in
  std::string job = "score";  // or "summarize", "generate"
  bool stems = false;         // words of ROUGE were stemmed
  // Values of this run alone; named in the root attribute `run_dependent_attributes`:
  std::string created;  // ISO 8601
  std::string command;
  std::string host;
  std::string slurm_job;  // empty outside Slurm
  std::string history;    // one line per run or resume
};

// One incarnation of a worker, a row of /run. NaN: it died before it reported.
struct RunRow {
  int rank = 0, launch = 0;
  std::string host, device;
  std::uint64_t n_documents = 0, n_tokens = 0;
  double seconds_computing = 0.0, seconds_waiting = 0.0, seconds_writing = 0.0;
};

// What must be known before the first document is written.
struct ResultsSizes {
  std::uint64_t n_documents = 0, n_failed = 0, n_tokens = 0;
  std::size_t longest_id = 0, longest_file = 0, longest_failure = 0;  // bytes
  // The job writes texts and scores nothing: there is /generations, but no perplexity.
  bool generates = false;
};

// Replaces the attributes of /summary about generated texts.
void write_text_summary(Hdf5File& file, const CorpusSummary& summary);

class ResultsWriter {
 public:
  ResultsWriter(const std::string& path, const ResultsSizes& sizes);
  ~ResultsWriter();

  // In (file, offset) order. Throws BadData if the record does not fit those before (layers,
  // per-token arrays).
  void add(const DocumentRecord& record);
  // Writes what is left and closes the file.
  CorpusSummary finish(const ResultsHeader& header, const std::vector<RunRow>& runs);

 private:
  struct Documents;
  struct Failures;
  struct Tokens;
  void write_summary(const CorpusSummary& summary);
  void write_perplexities(const CorpusSummary& summary);
  void write_runs(const std::vector<RunRow>& runs);
  void write_root(const ResultsHeader& header, const CorpusSummary& summary);

  bool generates_;
  Hdf5File file_;
  std::uint64_t n_added_ = 0;  // documents
  std::unique_ptr<Documents> documents_;
  std::unique_ptr<Failures> failures_;
  std::unique_ptr<Tokens> tokens_;
  GenerationDatasets generations_;
  CacheStatistics cache_;
  SummaryBuilder summary_;
};

}  // namespace tovamill
