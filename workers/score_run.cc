#include "workers/score_run.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <list>

#include "kernels/cpu_info.h"
#include "kernels/error.h"
#include "kernels/version.h"
#include "pipeline/merge.h"
#include "pipeline/run_directory.h"
#include "pipeline/run_set.h"
#include "workers/fingerprint.h"
#include "workers/loaded_model.h"
#include "workers/option_text.h"
#include "workers/record_source.h"
#include "workers/run_guard.h"
#include "workers/run_journal.h"
#include "workers/run_status.h"
#include "workers/score_loop.h"

namespace tovamill {
namespace {

using nlohmann::json;

constexpr int kRank = 0;

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

std::string iso_time(std::time_t t) {
  char text[32];
  std::tm utc{};
  gmtime_r(&t, &utc);
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

std::uint64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

// Paths and the command line need not be UTF-8; what is not is shown as U+FFFD.
std::string journal_header(const RunOptions& options, const LoadedModel& model, const json& print) {
  const json header{{"fingerprint", print},
                    {"config", config_lines(options, [](std::string_view) { return true; })},
                    {"model", model.files->path() + " (" + model.description + ")"},
                    {"tokenizer", model.tokenizer->description()},
                    {"host", host_name()},
                    {"device", model.backend->description() + ", " + model.backend->dtype_name()},
                    {"command", options.command},
                    {"slurm_job", options.slurm_job},
                    {"program_version", program_version()},
                    {"git_hash", git_hash()},
                    {"started", iso_time(std::time(nullptr))}};
  return header.dump(-1, ' ', false, json::error_handler_t::replace);
}

RunSummary summary_of(const CorpusSummary& c) {
  return {.n_documents = c.n_documents,
          .n_failed = c.n_failed,
          .n_tokens = c.n_tokens,
          .n_scored = c.n_scored,
          .n_words = c.n_words,
          .n_bytes = c.n_bytes,
          .perplexity_token = c.perplexity_token.value,
          .perplexity_token_se = c.perplexity_token.standard_error,
          .perplexity_word = c.perplexity_word.value,
          .perplexity_word_se = c.perplexity_word.standard_error,
          .bits_per_byte = c.bits_per_byte.value,
          .bits_per_byte_se = c.bits_per_byte.standard_error,
          .mean_attended = c.mean_attended,
          .peak_rss_bytes = peak_rss_bytes(),
          .results_path = c.results_path};
}

// Journals of earlier starts must be of the same options.
void check_journals(const JournalIndex& index, const json& print,
                    const std::string& run_directory) {
  for (const JournalFile& journal : index.journals) {
    const json header = json::parse(journal.header, nullptr, false);
    if (header.is_object() && header.contains("fingerprint"))
      check_same(header["fingerprint"], print, run_directory);
  }
}

RunInfo run_info(const LoadedModel& model, const JournalIndex& index,
                 const std::vector<CorpusFile>& files) {
  RunInfo info{.model_description = model.files->path() + ": " + model.description,
               .tokenizer_description = model.tokenizer->description(),
               .device = model.backend->description(),
               .dtype = model.backend->dtype_name(),
               .threads = model.backend->n_threads(),
               .streams = model.plan.n_streams,
               .weight_bytes = model.model.weight_bytes(),
               .state_bytes =
                   model.backend->state_bytes() * static_cast<std::uint64_t>(model.plan.n_streams),
               .workspace_bytes = model.backend->workspace_bytes() + model.forward->buffer_bytes(),
               .n_files = files.size(),
               .n_documents_done = index.documents.size()};
  for (const CorpusFile& f : files) info.n_bytes += f.n_bytes;
  return info;
}

void check_bad_fraction(const RunOptions& options, const CorpusSummary& summary) {
  const double fraction = summary.n_documents == 0 ? 0.0
                                                   : static_cast<double>(summary.n_failed) /
                                                         static_cast<double>(summary.n_documents);
  if (fraction <= options.max_bad_fraction) return;
  throw BadData(std::to_string(summary.n_failed) + " of " + std::to_string(summary.n_documents) +
                " records are bad, more than --max-bad-fraction " +
                text_of(options.max_bad_fraction) + ": see /failures in " + summary.results_path);
}

// What earlier starts without --strict let pass.
void check_strict(const RunOptions& options, const JournalIndex& earlier) {
  if (!options.strict || earlier.n_failed == 0) return;
  throw BadData(options.out + ": earlier starts met bad records, " +
                std::to_string(earlier.n_failed) +
                " of them (--strict ends a run at the first): see /failures after tovamill merge");
}

// Everything between the loading of the model and the end.
RunSummary score_and_merge(const RunOptions& options, LoadedModel& model,
                           std::vector<CorpusFile> files, const json& print, RunStatus& status,
                           RunObserver& observer) {
  const JournalIndex earlier = scan_journals(options.out);
  check_journals(earlier, print, options.out);
  check_strict(options, earlier);
  RunJournal journal(journal_path(options.out, kRank, next_launch(options.out)),
                     journal_header(options, model, print), options.sync_seconds);
  observer.started(run_info(model, earlier, files));

  RecordSource source(std::move(files), options.corpus, options.skip, options.limit,
                      [&](const CorpusRecord& r) { return earlier.contains(r.file, r.offset); });
  ScoreLoop loop(model, options, source, journal, [] { return !StopSignals::requested(); });
  const bool complete = loop.run([&](RunProgress p) {
    p.n_documents += earlier.documents.size() - earlier.n_failed;
    p.n_failed += earlier.n_failed;
    status.update(p);
    observer.progress(p);
  });
  const double other = loop.seconds() - loop.seconds_computing() - journal.seconds_writing();
  journal.close(json{
      {"seconds_computing", loop.seconds_computing()},
      {"seconds_waiting", other > 0.0 ? other : 0.0},
      {"seconds_writing", journal.seconds_writing()},
      {"complete",
       complete}}.dump());
  if (!complete) {
    throw Error(ExitCode::stopped, "stopped by a signal: what is finished is saved in " +
                                       options.out + "; run the same command again to continue");
  }
  const JournalIndex index = scan_journals(options.out);
  const CorpusSummary corpus = merge_journals(options.out, index, results_header(index));
  RunSummary summary = summary_of(corpus);
  const bool nothing_left = loop.n_documents() + loop.n_failed() == 0 && !earlier.documents.empty();
  summary.seconds = nothing_left ? 0.0 : loop.seconds();
  summary.tokens_per_second =
      loop.seconds() > 0.0 ? static_cast<double>(loop.n_tokens()) / loop.seconds() : 0.0;
  check_bad_fraction(options, corpus);
  return summary;
}

// A directory for results.h5 alone.
void prepare_merged_directory(const std::string& out) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::create_directories(out, error);
  fs::directory_iterator entries(out, error);
  if (error)
    throw Error(ExitCode::cannot_create, "cannot create the directory '" + out +
                                             "': " + error.message() + ": choose another --out");
  const bool holds_others = std::any_of(entries, fs::directory_iterator(), [](const auto& entry) {
    return !entry.path().filename().string().starts_with("results.h5");
  });
  if (holds_others)
    throw Error(ExitCode::cannot_create,
                "--out " + out + " holds other things than results.h5: choose another directory");
}

// The disk may be what failed: then the first error is the one to tell.
void note_failure(RunStatus& status, const char* state, ExitCode code, const char* message) {
  try {
    status.finish(state, static_cast<int>(code), message);
  } catch (const Error&) {
  }
}

}  // namespace

RunSummary run_score(const RunOptions& options, RunObserver& observer) {
  validate(options);
  const StopSignals signals;  // a stop asked for while the model loads holds before the first step
  std::vector<CorpusFile> files = list_corpus(options.corpus);
  ModelHead head = open_model(options.model);
  prepare_run_directory(options.out);
  const RunLock lock(options.out);
  const CpuInfo cpu = cpu_info();
  LoadedModel model = load_model(std::move(head), options,
                                 options.threads > 0 ? options.threads : cpu.n_cores_usable(),
                                 cpu.memory_available_bytes);
  const json print = fingerprint(options, model);
  if (options.overwrite) clear_run_directory(options.out);
  RunStatus status(options.out);
  try {
    const RunSummary summary =
        score_and_merge(options, model, std::move(files), print, status, observer);
    status.finish("done", 0, "");
    return summary;
  } catch (const Error& e) {
    note_failure(status, e.code() == ExitCode::stopped ? "stopped" : "failed", e.code(), e.what());
    throw;
  } catch (const std::exception& e) {
    note_failure(status, "failed", ExitCode::internal, e.what());
    throw;
  }
}

RunSummary merge_run(const std::vector<std::string>& run_directories, const std::string& out) {
  for (const std::string& directory : run_directories) {
    if (scan_journals(directory).journals.empty())
      throw Error(ExitCode::no_input, directory + ": holds no journals: is it a run directory?");
  }
  if (!out.empty()) prepare_merged_directory(out);
  const JournalIndex names = scan_journals(run_directories);
  std::list<RunLock> locks;
  for (const std::string& directory : names.run_directories) locks.emplace_back(directory);
  const JournalIndex index = scan_journals(run_directories);
  check_mergeable(index);
  const ResultsHeader header = results_header(index);
  RunSummary summary =
      summary_of(merge_journals(out.empty() ? run_directories.front() : out, index, header));
  summary.complete = header.complete;
  return summary;
}

}  // namespace tovamill
