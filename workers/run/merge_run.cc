// What a finished or unfinished run comes to, from its journals.
#include <sys/resource.h>

#include <filesystem>
#include <list>

#include "io/files/durable.h"
#include "io/files/temporary_file.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "pipeline/results/merge.h"
#include "pipeline/results/run_set.h"
#include "pipeline/run_directory/input_files.h"
#include "pipeline/run_directory/run_directory.h"
#include "workers/options/option_values.h"
#include "workers/run/corpus_run.h"
#include "workers/run/run_contents.h"
#include "workers/run/run_guard.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;

std::uint64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

// A directory for results.h5 alone.
void prepare_merged_directory(const std::string& out) {
  std::error_code error;
  fs::create_directories(out, error);
  fs::directory_iterator entries(out, error);
  if (error)
    throw Error(code_of_failure(error.value(), ExitCode::cannot_create),
                "cannot create the directory '" + out + "': " + why_io_failed(error.value()) +
                    ": choose another --out");
  for (const fs::directory_entry& entry : entries) {
    const std::string name = entry.path().filename().string();
    const bool is_ours = name == "results.h5" || is_temporary_name(name, "results.h5");
    if (is_ours && !fs::is_directory(entry.path(), error)) continue;
    throw Error(ExitCode::configuration, "--out " + out + " holds other things than results.h5 ('" +
                                             name + "'): choose another directory");
  }
}

}  // namespace

RunSummary summary_of(const CorpusSummary& c) {
  RunSummary s;
  s.n_documents = c.n_documents;
  s.n_failed = c.n_failed;
  s.n_unscored = c.n_unscored;
  s.first_failures = c.first_failures;
  s.n_tokens = c.n_tokens;
  s.n_scored = c.n_scored;
  s.n_words = c.n_words;
  s.n_bytes = c.n_bytes;
  s.perplexity_token = c.perplexity_token.value;
  s.perplexity_token_se = c.perplexity_token.standard_error;
  s.perplexity_word = c.perplexity_word.value;
  s.perplexity_word_se = c.perplexity_word.standard_error;
  s.bits_per_byte = c.bits_per_byte.value;
  s.bits_per_byte_se = c.bits_per_byte.standard_error;
  s.mean_attended = c.mean_attended;
  s.generates = c.generates;
  s.n_generations = c.n_generations;
  s.n_new_tokens = c.n_new_tokens;
  s.n_stop = c.n_stop;
  s.n_length = c.n_length;
  s.n_with_references = c.n_with_references;
  s.n_without_words = c.n_without_words;
  s.text_best = c.text_best;
  s.text_mean = c.text_mean;
  s.settings = c.settings;
  s.peak_rss_bytes = peak_rss_bytes();
  s.results_path = c.results_path;
  return s;
}

void check_bad_fraction(const RunOptions& options, const CorpusSummary& summary) {
  const double fraction = summary.n_documents == 0 ? 0.0
                                                   : static_cast<double>(summary.n_failed) /
                                                         static_cast<double>(summary.n_documents);
  if (fraction <= options.max_bad_fraction) return;
  throw BadData(with_thousands(summary.n_failed) + " of " + with_thousands(summary.n_documents) +
                " records are bad, more than --max-bad-fraction " +
                text_of(options.max_bad_fraction) + ": see /failures in " + summary.results_path);
}

RunSummary merge_run(const std::vector<std::string>& run_directories, const std::string& out) {
  for (const std::string& directory : run_directories) {
    if (scan_journals(directory).journals.empty())
      throw Error(ExitCode::no_input, directory + ": holds no journals: is it a run directory?");
  }
  if (!out.empty()) prepare_merged_directory(out);
  const JournalIndex names = scan_journals(run_directories);
  std::list<RunLock> locks;
  for (const std::string& directory : names.run_directories) {
    locks.emplace_back(directory);
    remove_left_temporaries(directory);
  }
  const JournalIndex index = scan_journals(run_directories);
  check_mergeable(index);
  check_same_inputs(names.run_directories);
  const ResultsHeader header = results_header(index);
  RunSummary summary =
      summary_of(merge_journals(out.empty() ? run_directories.front() : out, index, header));
  summary.complete = header.complete;
  return summary;
}

}  // namespace tovamill
