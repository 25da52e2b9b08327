// The main job: every document of a corpus through a bounded state, journaled, merged into
// results.h5.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/corpus/left_out.h"
#include "pipeline/results/summary.h"
#include "workers/options/run_options.h"
#include "workers/run/run_launch.h"

namespace tovamill {

// Known before the first document is scored.
struct RunInfo {
  std::string model_description;  // "llama, 30 layers, 135 M parameters, Q4_1"
  std::string tokenizer_description;
  std::string device;  // "CPU, AVX-512, bf16 dot products"
  std::string dtype;   // as used: "bf16", "f32"
  std::int32_t threads = 0;
  std::int32_t streams = 0, wanted_streams = 0;  // fewer than wanted where memory is short
  std::uint64_t weight_bytes = 0;
  std::uint64_t state_bytes = 0;  // of all streams
  std::uint64_t workspace_bytes = 0;
  std::uint64_t n_files = 0;
  std::uint64_t n_bytes = 0;           // of the corpus files on disk
  LeftOut left_out;                    // of the corpus
  std::uint64_t n_documents_done = 0;  // found in the journals of earlier starts
  int n_ranks = 1, n_hosts = 1;
  std::string stages;        // "layers 0-15 | 16-29 + head" of a model that is cut, else empty
  std::string work;          // what is done with each document, where that is to be said
  std::string sharing_note;  // whose weights these are, where several ranks share a host
};

struct RunProgress {
  std::uint64_t n_documents = 0;  // finished, earlier starts included
  std::uint64_t n_failed = 0;
  std::uint64_t n_tokens = 0;      // scored in this start
  double seconds = 0.0;            // since the first document
  double tokens_per_second = 0.0;  // over the last seconds
  double fraction = 0.0;           // of the corpus bytes, 0 to 1
  double seconds_left = -1.0;      // estimated; negative: not yet known
  int n_ranks = 1;                 // that are at work
};

// Progress of a run for whoever shows it: on rank 0, on the thread that called run_corpus;
// `progress` several times a second.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void started(const RunInfo& info) = 0;
  virtual void progress(const RunProgress& progress) = 0;
  // Something that the user should know and need not act on: a rank was lost.
  virtual void note(const std::string&) {}
};

// What stands in /summary and at the end of the program's output.
struct RunSummary {
  std::uint64_t n_documents = 0;
  std::uint64_t n_failed = 0;
  std::uint64_t n_unscored = 0;  // documents without a scored token: in none of the numbers
  std::uint64_t n_tokens = 0;
  std::uint64_t n_scored = 0;
  std::uint64_t n_words = 0;
  std::uint64_t n_bytes = 0;
  double perplexity_token = 0.0, perplexity_token_se = 0.0;  // micro, standard error over documents
  double perplexity_word = 0.0, perplexity_word_se = 0.0;
  double bits_per_byte = 0.0, bits_per_byte_se = 0.0;
  double mean_attended = 0.0;                  // tokens attended per query and layer
  std::vector<FailedDocument> first_failures;  // as in CorpusSummary
  // Counts of a job that writes texts, as in CorpusSummary.
  bool generates = false;
  std::uint64_t n_generations = 0, n_new_tokens = 0;
  std::uint64_t n_stop = 0, n_length = 0, n_with_references = 0;
  std::uint64_t n_without_words = 0;
  std::array<Estimate, kTextScoreNames.size()> text_best{}, text_mean{};
  // Of a sweep, in whose place the perplexities above are NaN.
  std::vector<SettingSummary> settings;
  double tokens_per_second = 0.0;  // of this start
  double seconds = 0.0;  // of this start, model loading excluded; 0 where nothing was left to do
  std::uint64_t peak_rss_bytes = 0;  // of rank 0
  std::uint64_t n_quarantined = 0;   // documents that killed their ranks
  int n_ranks_lost = 0;
  bool complete = true;  // every record that the run was to read is in
  std::string results_path;
};

// Runs or continues the job as one of the launch's ranks. Rank 0 returns what the run came to; the
// others return nothing once they may end. Throws Error as jobs/README.md, "Exit codes", says; a
// stop by
// signal is Error(stopped). After either, `launch` says how MPI may end.
std::optional<RunSummary> run_corpus(const RunOptions& options, RunLaunch& launch,
                                     RunObserver& observer);
// The same as a run of this process alone.
RunSummary run_corpus(const RunOptions& options, RunObserver& observer);

// Merges what the journals of run directories hold into the results.h5 of `out`, a directory that
// holds nothing else; empty: of the only run directory. Complete or not: see RunSummary::complete.
RunSummary merge_run(const std::vector<std::string>& run_directories, const std::string& out = "");

RunSummary summary_of(const CorpusSummary& corpus);
// Throws BadData where more records are bad than the options allow.
void check_bad_fraction(const RunOptions& options, const CorpusSummary& summary);

}  // namespace tovamill
