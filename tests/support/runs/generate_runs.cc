#include "tests/support/runs/generate_runs.h"

#include "io/results/hdf5_file.h"
#include "pipeline/run_directory/run_directory.h"

namespace tovamill::testing {

RunOptions tiny_generation(const std::string& model, const std::string& corpus,
                           const std::string& out) {
  RunOptions o = tiny_options(model, corpus, out);
  o.job_kind = Job::generate;
  o.corpus.question_key = "question";
  o.generation.task = TaskChoice::continuation;
  o.generation.max_new_tokens = 24;
  return o;
}

std::vector<WrittenRow> written_rows(const std::string& run_directory) {
  const Hdf5File file(results_path(run_directory), Hdf5File::Mode::read);
  const std::uint64_t n = file.shape("/generations/text").at(0);
  std::vector<WrittenRow> rows(n);
  const auto texts = [&](const char* name, std::string WrittenRow::*field) {
    const auto values = file.read_strings(std::string("/generations/") + name, 0, n);
    for (std::size_t i = 0; i < n; ++i) rows[i].*field = values[i];
  };
  const auto numbers = [&]<class T>(const char* name, T WrittenRow::*field) {
    const auto values = file.read_all<double>(std::string("/generations/") + name);
    for (std::size_t i = 0; i < n; ++i) rows[i].*field = static_cast<T>(values[i]);
  };
  texts("id", &WrittenRow::id);
  texts("question_text", &WrittenRow::question);
  texts("text", &WrittenRow::text);
  texts("finish_reason", &WrittenRow::finish_reason);
  texts("prompt_hash", &WrittenRow::prompt_hash);
  numbers("document", &WrittenRow::document);
  numbers("question", &WrittenRow::question_index);
  numbers("sample", &WrittenRow::sample);
  numbers("n_prompt_tokens", &WrittenRow::n_prompt);
  numbers("n_new_tokens", &WrittenRow::n_new);
  numbers("rouge1", &WrittenRow::rouge1);
  numbers("rouge1_mean", &WrittenRow::rouge1_mean);
  numbers("token_f1", &WrittenRow::token_f1);
  numbers("exact_match", &WrittenRow::exact_match);
  const auto offsets = file.read_all<std::uint64_t>("/generations/token_offsets");
  for (std::size_t i = 0; i < n; ++i)
    rows[i].ids =
        file.read<std::int32_t>("/generations/token_id", offsets[i], offsets[i + 1] - offsets[i]);
  return rows;
}

}  // namespace tovamill::testing
