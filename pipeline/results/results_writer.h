// results.h5 from its documents in order (io/README.md, "Results file").
// Every group opens in h5py, pandas and
// xarray: each dataset has `long_name`, `units` and dimension scales, and only built-in filters are
// used.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pipeline/results/results_group.h"
#include "pipeline/results/summary.h"
#include "pipeline/results/sweep_groups.h"
#include "pipeline/run_directory/document_record.h"
#include "pipeline/run_directory/run_directory.h"
#include "pipeline/run_directory/timeline.h"

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
  std::string left_out = {};                 // files of the corpus that are not read; empty: none
  bool complete = false;                     // every record of the corpus is in
  std::string job = "score";                 // or "summarize", "generate"
  bool stems = false;                        // words of ROUGE were stemmed
  std::vector<SettingHeader> settings = {};  // of a sweep, which has none of the four above
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
  Timeline timeline = {};  // since it began to work
};

class ResultsWriter {
 public:
  // `settings` of a sweep: everything but /run then lies in /sweep.
  ResultsWriter(const std::string& path, const ResultsSizes& sizes,
                std::span<const SettingHeader> settings = {});
  ~ResultsWriter();

  // In (file, offset) order. Throws BadData if the record does not fit those before (layers,
  // per-token arrays, settings).
  void add(const DocumentRecord& record);
  // Writes what is left and closes the file.
  CorpusSummary finish(const ResultsHeader& header, const std::vector<RunRow>& runs);

 private:
  void write_runs(const std::vector<RunRow>& runs);
  void write_timelines(const std::vector<RunRow>& runs);
  void write_root(const ResultsHeader& header, const CorpusSummary& summary);

  Hdf5File file_;
  std::unique_ptr<ResultsGroup> root_;  // or
  std::unique_ptr<SweepGroups> sweep_;
};

}  // namespace tovamill
