// Whole runs of generation within the test's own process, and what their results.h5 holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/runs/score_runs.h"

namespace tovamill::testing {

// tiny_options for `generate --task continue`, 24 new tokens.
RunOptions tiny_generation(const std::string& model, const std::string& corpus,
                           const std::string& out);

struct WrittenRow {
  std::string id, question, text, finish_reason, prompt_hash;
  std::uint64_t document = 0, question_index = 0, sample = 0, n_prompt = 0, n_new = 0;
  std::vector<std::int32_t> ids;
  double rouge1 = 0.0, rouge1_mean = 0.0, token_f1 = 0.0, exact_match = 0.0;
};
// The rows of /generations.
std::vector<WrittenRow> written_rows(const std::string& run_directory);

}  // namespace tovamill::testing
