#include "pipeline/run_directory/run_directory.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "io/corpus/corpus.h"
#include "io/files/durable.h"
#include "io/files/file_descriptor.h"
#include "kernels/types/error.h"
#include "pipeline/run_directory/journal_review.h"

namespace fs = std::filesystem;

namespace tovamill {
namespace {

// "3-12.log" is rank 3 of launch 12; other names are ignored.
std::optional<std::pair<int, int>> parse_name(std::string_view name) {
  if (!name.ends_with(".log")) return std::nullopt;
  name.remove_suffix(4);
  const std::size_t dash = name.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto number = [](std::string_view digits) -> std::optional<int> {
    int value = 0;
    const auto r = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (r.ec != std::errc() || r.ptr != digits.data() + digits.size() || value < 0)
      return std::nullopt;
    return value;
  };
  const auto rank = number(name.substr(0, dash)), launch = number(name.substr(dash + 1));
  if (!rank || !launch) return std::nullopt;
  return std::pair(*rank, *launch);
}

// An empty file that reserves the number of a launch.
std::string reservation_path(const std::string& run_directory, int launch) {
  return (fs::path(journal_directory(run_directory)) /
          ("launch-" + std::to_string(launch) + ".log"))
      .string();
}

std::vector<JournalFile> list_journals(const std::string& run_directory) {
  std::vector<JournalFile> journals;
  std::error_code error;
  for (fs::directory_iterator at(journal_directory(run_directory), error), end; !error && at != end;
       at.increment(error)) {
    if (const auto name = parse_name(at->path().filename().string())) {
      JournalFile& journal = journals.emplace_back();
      journal.path = at->path().string();
      std::tie(journal.rank, journal.launch) = *name;
    }
  }
  if (error && error != std::errc::no_such_file_or_directory)
    throw Error(
        code_of_failure(error.value(), ExitCode::no_input),
        "cannot list '" + journal_directory(run_directory) + "': " + why_io_failed(error.value()));
  return journals;
}

void sort_journals(std::vector<JournalFile>& journals) {
  std::sort(journals.begin(), journals.end(), [](const JournalFile& a, const JournalFile& b) {
    return std::tie(a.launch, a.rank, a.path) < std::tie(b.launch, b.rank, b.path);
  });
}

bool breaks_off(const RecordKey& key) {
  return key.status == DocumentRecord::Status::failed && key.n_lines > 0 &&
         key.span_end == kToTheEnd;
}

class Scan {
 public:
  void add(JournalFile& journal, std::uint32_t number) {
    JournalReview review = review_journal(
        journal.path,
        [&](const RecordKey& key, std::uint64_t position) { add_document(key, number, position); });
    journal.header = std::move(review.header);
    journal.footer = std::move(review.footer);
    journal.crash = std::move(review.crash);
    journal.n_begun = review.n_begun;
    journal.n_documents = review.n_documents;
    journal.n_tokens = review.n_tokens;
    journal.n_ignored = review.n_ignored;
    for (std::size_t i = 0; i < review.files.size(); ++i)
      done_[number_of(review.files[i])].add(review.done[i]);
    for (const SpanEntry& s : review.spans)
      line_spans_.push_back({number_of(s.file), s.begin, s.end, s.n_lines});
    if (!journal.footer.empty() && journal.crash.empty()) return;
    for (const BegunEntry& b : review.unfinished) {
      Suspect& suspect = suspects_[{number_of(b.file), b.offset}];
      ++(journal.crash.empty() ? suspect.n_deaths : suspect.n_crashes);
    }
  }

  // Sorts, drops duplicates, counts.
  JournalIndex take() {
    JournalIndex index;
    sort_files(index);
    const auto key = [](const Entry& e) { return std::tie(e.location.file, e.location.offset); };
    std::sort(entries_.begin(), entries_.end(), [&](const Entry& a, const Entry& b) {
      return std::tuple(key(a), a.location.journal, a.location.position) <
             std::tuple(key(b), b.location.journal, b.location.position);
    });
    constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
    std::uint32_t broken_file = none;
    const Entry* last = nullptr;
    for (const Entry& e : entries_) {
      if (last && key(*last) == key(e)) {
        add_difference(last->location, e.location);
        continue;
      }
      last = &e;
      if (e.breaks_off && std::exchange(broken_file, e.location.file) == e.location.file) continue;
      count(index, e);
    }
    entries_ = {};
    index.line_spans = std::move(line_spans_);
    std::sort(index.line_spans.begin(), index.line_spans.end(), [](auto& a, auto& b) {
      return std::tie(a.file, a.begin, a.end) < std::tie(b.file, b.begin, b.end);
    });
    for (const auto& [at, suspect] : suspects_) add_suspect(index, at.first, at.second, suspect);
    std::sort(index.suspects.begin(), index.suspects.end(), [](auto& a, auto& b) {
      return std::tie(a.file, a.offset) < std::tie(b.file, b.offset);
    });
    return index;
  }

 private:
  struct Entry {
    DocumentLocation location;
    std::uint64_t n_tokens : 62;
    std::uint64_t failed : 1;
    std::uint64_t breaks_off : 1;
    std::uint32_t id_bytes, failure_bytes;
  };

  std::uint32_t number_of(const std::string& file) {
    const auto [at, is_new] =
        file_numbers_.try_emplace(file, static_cast<std::uint32_t>(files_.size()));
    if (is_new) {
      files_.push_back(file);
      done_.emplace_back();
    }
    return at->second;
  }

  void add_document(const RecordKey& key, std::uint32_t journal, std::uint64_t position) {
    entries_.push_back({.location = {.file = number_of(key.file),
                                     .journal = journal,
                                     .offset = key.offset,
                                     .position = position,
                                     .span_begin = key.span_begin,
                                     .span_end = key.span_end,
                                     .n_lines = key.n_lines,
                                     .has_id = !key.id.empty()},
                        .n_tokens = key.n_tokens,
                        .failed = key.status == DocumentRecord::Status::failed,
                        .breaks_off = breaks_off(key),
                        .id_bytes = static_cast<std::uint32_t>(key.id.size()),
                        .failure_bytes = static_cast<std::uint32_t>(key.failure_text.size())});
  }

  // A worker whose range began later counted fewer of the blank lines before the same record.
  void add_difference(const DocumentLocation& a, const DocumentLocation& b) {
    const DocumentLocation &longer = a.span_begin < b.span_begin ? a : b,
                           &shorter = a.span_begin < b.span_begin ? b : a;
    if (longer.span_begin == shorter.span_begin || shorter.n_lines == 0 ||
        longer.n_lines < shorter.n_lines)
      return;
    line_spans_.push_back({longer.file, longer.span_begin, shorter.span_begin,
                           std::uint64_t{longer.n_lines} - shorter.n_lines});
  }

  void count(JournalIndex& index, const Entry& e) const {
    index.documents.push_back(e.location);
    index.n_failed += e.failed;
    index.n_tokens += e.n_tokens;
    index.longest_id = std::max<std::size_t>(index.longest_id, e.id_bytes);
    index.longest_failure = std::max<std::size_t>(index.longest_failure, e.failure_bytes);
    index.longest_file = std::max(index.longest_file, index.files[e.location.file].size());
  }

  void add_suspect(JournalIndex& index, std::uint32_t old_file, std::uint64_t offset,
                   Suspect suspect) const {
    suspect.file = new_number_[old_file];
    suspect.offset = offset;
    if (!index.contains(index.files[suspect.file], offset)) index.suspects.push_back(suspect);
  }

  // Sorts the files and renumbers everything that refers to them.
  void sort_files(JournalIndex& index) {
    std::vector<std::uint32_t> order(files_.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(),
              [&](std::uint32_t a, std::uint32_t b) { return files_[a] < files_[b]; });
    new_number_.resize(files_.size());
    for (std::uint32_t i = 0; i < order.size(); ++i) {
      new_number_[order[i]] = i;
      index.files.push_back(std::move(files_[order[i]]));
      index.done.push_back(std::move(done_[order[i]]));
    }
    for (Entry& e : entries_) e.location.file = new_number_[e.location.file];
    for (LineSpan& s : line_spans_) s.file = new_number_[s.file];
  }

  std::vector<std::string> files_;
  std::unordered_map<std::string, std::uint32_t> file_numbers_;
  std::vector<std::uint32_t> new_number_;  // (files_) once sorted
  std::vector<SpanSet> done_;              // (files_)
  std::vector<LineSpan> line_spans_;
  std::map<std::pair<std::uint32_t, std::uint64_t>, Suspect> suspects_;  // by file and offset
  std::vector<Entry> entries_;
};

}  // namespace

std::string journal_directory(const std::string& run_directory) {
  return (fs::path(run_directory) / "journal").string();
}
std::string results_path(const std::string& run_directory) {
  return (fs::path(run_directory) / "results.h5").string();
}

std::string journal_path(const std::string& run_directory, int rank, int launch) {
  return (fs::path(journal_directory(run_directory)) /
          (std::to_string(rank) + "-" + std::to_string(launch) + ".log"))
      .string();
}

void create_run_directory(const std::string& run_directory) {
  std::error_code error;
  fs::create_directories(journal_directory(run_directory), error);
  if (error)
    throw Error(code_of_failure(error.value(), ExitCode::cannot_create),
                "cannot create the run directory '" + run_directory +
                    "': " + why_io_failed(error.value()) + ": choose another --out");
  sync_directory(run_directory);
  sync_directory(fs::absolute(run_directory).lexically_normal().parent_path().string());
}

int next_launch(const std::string& run_directory) {
  int last = 0;
  for (const JournalFile& journal : list_journals(run_directory))
    last = std::max(last, journal.launch);
  while (fs::exists(reservation_path(run_directory, last + 1))) ++last;
  return last + 1;
}

int reserve_launch(const std::string& run_directory) {
  for (int launch = next_launch(run_directory);; ++launch) {
    const std::string path = reservation_path(run_directory, launch);
    const FileDescriptor fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (fd.get() >= 0) {
      sync_directory(journal_directory(run_directory));
      return launch;
    }
    if (errno == EEXIST || errno == EINTR) continue;
    throw Error(code_of_failure(errno, ExitCode::cannot_create),
                "cannot create '" + path + "': " + why_io_failed(errno));
  }
}

bool JournalIndex::contains(std::string_view file, std::uint64_t offset) const {
  const auto at = std::lower_bound(files.begin(), files.end(), file);
  if (at == files.end() || *at != file) return false;
  const auto key = std::pair(static_cast<std::uint32_t>(at - files.begin()), offset);
  const auto found = std::lower_bound(
      documents.begin(), documents.end(), key,
      [](const DocumentLocation& d, const auto& k) { return std::pair(d.file, d.offset) < k; });
  return found != documents.end() && std::pair(found->file, found->offset) == key;
}

const SpanSet& JournalIndex::done_of(std::string_view file) const {
  static const SpanSet nothing;
  const auto at = std::lower_bound(files.begin(), files.end(), file);
  return at != files.end() && *at == file ? done[static_cast<std::size_t>(at - files.begin())]
                                          : nothing;
}

JournalIndex scan_journals(const std::string& run_directory) {
  return scan_journals(std::vector<std::string>{run_directory});
}

JournalIndex scan_journals(const std::vector<std::string>& run_directories) {
  std::map<std::string, std::string> by_real_path;  // a directory counts once under all its names
  for (const std::string& directory : run_directories) {
    std::error_code error;
    if (!fs::is_directory(directory, error))
      throw Error(ExitCode::no_input,
                  "the run directory '" + directory + "' does not exist: give what --out named");
    by_real_path.try_emplace(fs::canonical(directory, error).string(), directory);
  }
  std::vector<JournalFile> journals;
  std::vector<std::string> directories;
  for (const auto& [real, directory] : by_real_path) {
    for (JournalFile& journal : list_journals(directory)) {
      journal.run_directory = static_cast<std::uint32_t>(directories.size());
      journals.push_back(std::move(journal));
    }
    directories.push_back(directory);
  }
  sort_journals(journals);
  Scan scan;
  for (std::uint32_t i = 0; i < journals.size(); ++i) scan.add(journals[i], i);
  JournalIndex index = scan.take();
  index.journals = std::move(journals);
  index.run_directories = std::move(directories);
  return index;
}

}  // namespace tovamill
