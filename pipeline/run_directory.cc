#include "pipeline/run_directory.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <numeric>
#include <optional>
#include <tuple>
#include <unordered_map>

#include "io/durable.h"
#include "io/journal.h"
#include "kernels/error.h"

namespace fs = std::filesystem;

namespace tovamill {
namespace {

// "3-12.log" is rank 3 of launch 12; other names are none of ours.
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
    throw Error(ExitCode::no_input,
                "cannot list '" + journal_directory(run_directory) + "': " + error.message());
  std::sort(journals.begin(), journals.end(), [](const JournalFile& a, const JournalFile& b) {
    return std::tie(a.launch, a.rank, a.path) < std::tie(b.launch, b.rank, b.path);
  });
  return journals;
}

std::string as_text(std::span<const std::byte> bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

class Scan {
 public:
  void add(JournalFile& journal, std::uint32_t number) {
    JournalReader reader(journal.path);
    while (reader.next()) {
      if (reader.kind() == JournalEntry::header) journal.header = as_text(reader.payload());
      if (reader.kind() == JournalEntry::footer) journal.footer = as_text(reader.payload());
      if (reader.kind() == JournalEntry::document) add_document(journal, number, reader);
    }
    journal.n_ignored = reader.n_ignored();
  }

  // Sorts, drops doubles, counts.
  JournalIndex take(std::vector<JournalFile> journals) {
    JournalIndex index;
    index.journals = std::move(journals);
    const std::vector<std::uint32_t> new_number = sort_files();
    index.files = std::move(files_);
    for (Entry& e : entries_) e.location.file = new_number[e.location.file];
    const auto key = [](const Entry& e) { return std::tie(e.location.file, e.location.offset); };
    std::stable_sort(entries_.begin(), entries_.end(),
                     [&](const Entry& a, const Entry& b) { return key(a) < key(b); });
    entries_.erase(std::unique(entries_.begin(), entries_.end(),
                               [&](const Entry& a, const Entry& b) { return key(a) == key(b); }),
                   entries_.end());
    index.documents.reserve(entries_.size());
    for (const Entry& e : entries_) {
      index.documents.push_back(e.location);
      index.n_failed += e.failed;
      index.n_tokens += e.n_tokens;
    }
    for (const std::string& file : index.files)
      index.longest_file = std::max(index.longest_file, file.size());
    index.longest_id = longest_id_;
    index.longest_failure = longest_failure_;
    return index;
  }

 private:
  struct Entry {
    DocumentLocation location;
    std::uint64_t n_tokens : 63;
    std::uint64_t failed : 1;
  };

  void add_document(JournalFile& journal, std::uint32_t number, const JournalReader& reader) {
    const RecordKey key = decode_key(
        reader.payload(), "'" + journal.path + "' at byte " + std::to_string(reader.position()));
    const auto [at, is_new] =
        file_numbers_.try_emplace(key.file, static_cast<std::uint32_t>(files_.size()));
    if (is_new) files_.push_back(key.file);
    const bool failed = key.status == DocumentRecord::Status::failed;
    entries_.push_back({{at->second, number, key.offset, reader.position()}, key.n_tokens, failed});
    ++journal.n_documents;
    journal.n_tokens += key.n_tokens;
    longest_id_ = std::max(longest_id_, key.id.size());
    longest_failure_ = std::max(longest_failure_, key.failure_text.size());
  }

  // Brings files_ into order; returns the new number of each old one.
  std::vector<std::uint32_t> sort_files() {
    std::vector<std::uint32_t> order(files_.size()), new_number(files_.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(),
              [&](std::uint32_t a, std::uint32_t b) { return files_[a] < files_[b]; });
    std::vector<std::string> sorted(files_.size());
    for (std::uint32_t i = 0; i < order.size(); ++i) {
      new_number[order[i]] = i;
      sorted[i] = std::move(files_[order[i]]);
    }
    files_ = std::move(sorted);
    return new_number;
  }

  std::vector<std::string> files_;
  std::unordered_map<std::string, std::uint32_t> file_numbers_;
  std::vector<Entry> entries_;
  std::size_t longest_id_ = 0, longest_failure_ = 0;
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
    throw Error(ExitCode::cannot_create, "cannot create the run directory '" + run_directory +
                                             "': " + error.message() + ": choose another --out");
  sync_directory(run_directory);
  sync_directory(fs::absolute(run_directory).lexically_normal().parent_path().string());
}

int next_launch(const std::string& run_directory) {
  int last = 0;
  for (const JournalFile& journal : list_journals(run_directory))
    last = std::max(last, journal.launch);
  return last + 1;
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

JournalIndex scan_journals(const std::string& run_directory) {
  std::error_code ignored;
  if (!fs::is_directory(run_directory, ignored))
    throw Error(ExitCode::no_input, "the run directory '" + run_directory + "' does not exist");
  std::vector<JournalFile> journals = list_journals(run_directory);
  Scan scan;
  for (std::uint32_t i = 0; i < journals.size(); ++i) scan.add(journals[i], i);
  return scan.take(std::move(journals));
}

}  // namespace tovamill
