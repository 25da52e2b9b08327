// Whole runs of scoring within the test's own process, and what their results.h5 holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "workers/options/run_options.h"
#include "workers/run/corpus_run.h"

namespace tovamill::testing {

// A text of exactly `n` tokens of the tiny tokenizer, which merges no digits.
std::string digits(std::size_t n, std::uint64_t seed);
// A text of `n` words, some of which the tiny tokenizer merges.
std::string words(std::size_t n, std::uint64_t seed);
// The tiny tokenizer's ids.
std::vector<std::int32_t> tiny_ids(const std::string& text);

// --device cpu, --dtype f32, --cache-size 16, two threads.
RunOptions tiny_options(const std::string& model, const std::string& corpus,
                        const std::string& out);

// Shows nothing; sends SIGTERM to this process once `stop_after` documents are finished (0: at the
// first call of `progress`).
class QuietObserver : public RunObserver {
 public:
  explicit QuietObserver(int stop_after = -1) : stop_after_(stop_after) {}
  void started(const RunInfo& info) override { this->info = info; }
  void progress(const RunProgress& progress) override;

  RunInfo info;
  int n_progress = 0;

 private:
  int stop_after_;
};

RunSummary score(const RunOptions& options);

// The columns of results.h5 that the tests look at; empty where they are not there.
struct Results {
  explicit Results(const std::string& run_directory);

  std::vector<std::string> id, status, positions;
  std::vector<std::uint64_t> offset, line, n_tokens, n_scored;
  std::vector<double> nll_sum, nll_sum_sq;
  std::vector<std::uint64_t> offsets;       // (n_documents + 1), of the tokens
  std::vector<float> nll;                   // (n_tokens)
  std::vector<std::int32_t> ids;            // (n_tokens)
  std::vector<std::int32_t> eviction_step;  // (n_layers, n_tokens)
  std::vector<std::string> failure_reason, failure_file;
  std::vector<std::uint64_t> failure_line, failure_offset;
};

}  // namespace tovamill::testing
