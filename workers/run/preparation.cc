#include "workers/run/preparation.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <unordered_map>

#include "io/files/durable.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "pipeline/distributed/selection.h"
#include "pipeline/results/stream_file.h"
#include "pipeline/run_directory/journal_review.h"
#include "pipeline/run_directory/run_directory.h"
#include "workers/run/fingerprint.h"
#include "workers/run/run_contents.h"
#include "workers/run/run_inputs.h"
#include "workers/run/run_outputs.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using FileNumbers = std::unordered_map<std::string_view, std::uint32_t>;

FileNumbers number_files(const std::vector<CorpusFile>& files) {
  FileNumbers numbers;
  for (std::uint32_t i = 0; i < files.size(); ++i) numbers[files[i].path] = i;
  return numbers;
}

// Journals of earlier starts must be of the same options.
void check_journals(const JournalIndex& index, const json& run_fingerprint,
                    const std::string& run_directory) {
  for (const JournalFile& journal : index.journals) {
    const json header = json::parse(journal.header, nullptr, false);
    if (header.is_object() && header.contains("fingerprint"))
      check_same(header["fingerprint"], run_fingerprint, run_directory);
  }
}

// What earlier starts without --strict let pass.
void check_strict(const RunOptions& options, const JournalIndex& earlier) {
  if (!options.strict || earlier.n_failed == 0) return;
  throw BadData(options.out + ": earlier starts met bad records, " +
                with_thousands(earlier.n_failed) +
                " of them (--strict ends a run at the first): see /failures after tovamill merge");
}

void check_path(const CorpusFile& file) {
  constexpr std::size_t kMostBytes = 3000;  // of a path in a message between ranks
  if (file.path.size() <= kMostBytes) return;
  throw Error(ExitCode::usage, file.path.substr(0, 80) + "...: the path is longer than " +
                                   with_thousands(kMostBytes) + " bytes: move the file");
}

std::string overwritten_path(const std::string& run_directory) {
  return run_directory + "/overwritten";
}

// A job that is started again must not delete what its start before has done.
bool is_overwritten(const RunOptions& options) {
  if (!options.is_restart || options.job.empty()) return false;
  std::ifstream file(overwritten_path(options.out));
  std::string job;
  std::getline(file, job);
  return job == options.job;
}

// Lines of another run, or of something else, are not this run's to delete.
void check_overwrite(const std::string& run_directory, const std::string& stream) {
  check_run_contents(run_directory, stream);
  if (stream.empty() || !fs::exists(stream)) return;
  const StreamFile file(stream);  // looks at its last line
  check_stream(stream, scan_journals(run_directory));
}

std::vector<FileRange> ranges_left(const RunOptions& options, const RunWork& work,
                                   const JournalIndex& earlier) {
  std::vector<FileRange> ranges;
  for (const FileRange& range :
       select_ranges(work.files, options.corpus, options.skip, options.limit, options.part)) {
    const CorpusFile& file = work.files[range.file];
    const SpanSet& done = earlier.done_of(file.path);
    if (file.format.is_one_record()) {
      if (!earlier.contains(file.path, 0) && !done.contains(0))
        ranges.push_back({range.file, range.begin, range.end});
      continue;
    }
    for (const Span& s : done.missing(range.begin, range.end))
      ranges.push_back({range.file, s.begin, s.end});
  }
  return ranges;
}

std::vector<SuspectDocument> suspects_of(const JournalIndex& earlier,
                                         const std::vector<CorpusFile>& files) {
  std::vector<SuspectDocument> suspects;
  const FileNumbers numbers = number_files(files);
  for (const Suspect& s : earlier.suspects) {
    const auto found = numbers.find(earlier.files[s.file]);
    if (found == numbers.end()) continue;
    suspects.push_back({.file = found->second,
                        .offset = s.offset,
                        .n_crashes = static_cast<int>(s.n_crashes),
                        .n_deaths = static_cast<int>(s.n_deaths)});
  }
  return suspects;
}

}  // namespace

std::optional<Preparation> prepare_run(const RunOptions& options, const json& run_fingerprint,
                                       const PreparationEvents& events,
                                       std::unique_ptr<RunLock>& lock) {
  Preparation p;
  check_outputs(options, {});
  p.work.files = list_corpus(corpus_of(options), &p.left_out);
  for (const CorpusFile& f : p.work.files) {
    check_path(f);
    p.n_bytes += f.n_bytes;
    p.work.extents.push_back(extent_of(f));
  }
  p.n_files = p.work.files.size();
  check_outputs(options, p.work.files);
  const std::string stream = stream_of(options);
  prepare_run_directory(options.out, stream);
  lock = std::make_unique<RunLock>(options.out, events.lock_wait_s);
  remove_left_temporaries(options.out);
  if (options.overwrite && !is_overwritten(options)) {
    check_overwrite(options.out, stream);
    if (!events.may_overwrite()) return std::nullopt;
    if (!stream.empty()) StreamFile(stream).clear();
    clear_run_directory(options.out, stream);
    if (!options.job.empty()) write_file_durably(overwritten_path(options.out), options.job + "\n");
  }
  events.on_locked();
  const JournalIndex earlier = scan_journals(options.out);
  check_journals(earlier, run_fingerprint, options.out);
  check_strict(options, earlier);
  p.inputs = check_inputs(options, p.work.files, p.left_out.text(), earlier);
  if (streams_results(options)) reconcile_stream(options.generation.stream_jsonl, earlier);
  if (p.inputs != read_inputs(options.out)) write_inputs(options.out, p.inputs);
  p.work.ranges = ranges_left(options, p.work, earlier);
  p.work.suspects = suspects_of(earlier, p.work.files);
  p.work.launch = reserve_launch(options.out);
  p.work.fingerprint = fingerprint_digest(run_fingerprint);
  p.work.earlier.n_documents = earlier.documents.size() - earlier.n_failed;
  p.work.earlier.n_failed = earlier.n_failed;
  p.n_documents_done = earlier.documents.size();
  return p;
}

JournalFindings review_journal(const std::string& path, const std::vector<CorpusFile>& files,
                               const std::vector<FileRange>& ranges) {
  JournalFindings findings;
  if (!std::filesystem::exists(path)) {
    findings.left = ranges;
    return findings;
  }
  const JournalReview review = review_journal(path);
  findings.how = review.crash;
  for (const FileRange& range : ranges) {
    const auto named = std::find(review.files.begin(), review.files.end(), files[range.file].path);
    if (named == review.files.end()) {
      findings.left.push_back(range);
      continue;
    }
    const SpanSet& done = review.done[static_cast<std::size_t>(named - review.files.begin())];
    for (const Span& s : done.missing(range.begin, range.end))
      findings.left.push_back({range.file, s.begin, s.end});
  }
  // What was begun and is not finished is in a lease that is not finished.
  for (const BegunEntry& b : review.unfinished) {
    const auto found = std::find_if(ranges.begin(), ranges.end(), [&](const FileRange& p) {
      return files[p.file].path == b.file;
    });
    if (found == ranges.end()) continue;
    findings.suspects.push_back({.file = found->file,
                                 .offset = b.offset,
                                 .n_crashes = review.crash.empty() ? 0 : 1,
                                 .n_deaths = review.crash.empty() ? 1 : 0});
  }
  return findings;
}

}  // namespace tovamill
