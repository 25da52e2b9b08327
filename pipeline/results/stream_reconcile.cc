// Reconciles the file of --stream-jsonl with the journals.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "io/files/durable.h"
#include "kernels/types/error.h"
#include "pipeline/results/generation_json.h"
#include "pipeline/results/stream_file.h"
#include "pipeline/results/stream_line.h"
#include "pipeline/run_directory/indexed_documents.h"

namespace tovamill {
namespace {

constexpr std::size_t kBlockBytes = 1u << 20;  // read at a time
constexpr std::size_t kBatchBytes = 4u << 20;  // of lines written at a time

// A line that stands in the file.
struct Present {
  std::uint64_t document : 63 = 0;  // index into JournalIndex::documents
  std::uint64_t failed : 1 = 0;
  std::uint32_t question = 0, sample = 0;
  std::uint64_t prompt = 0;  // hash of the prompt's hash

  auto key() const { return std::tuple(std::uint64_t{document}, failed != 0, question, sample); }
};

std::uint64_t prompt_number(const std::string& prompt_hash) {
  return std::hash<std::string>()(prompt_hash);
}

// Calls visit(line, number from 1) for each line of the file that ends with \n.
void each_line(const std::string& path,
               const std::function<void(std::string_view, std::uint64_t)>& visit) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string held;  // the line that is being read
  std::string block(kBlockBytes, '\0');
  std::uint64_t number = 0;
  for (std::uint64_t at = 0;;) {
    const ssize_t n = file.get() < 0 ? -1 : read_at(file.get(), block.data(), block.size(), at);
    if (n < 0) throw Error(ExitCode::io, "reading '" + path + "' failed: " + why_io_failed(errno));
    if (n == 0) return;
    at += static_cast<std::uint64_t>(n);
    std::string_view rest(block.data(), static_cast<std::size_t>(n));
    for (std::size_t end; (end = rest.find('\n')) != std::string_view::npos;
         rest.remove_prefix(end + 1)) {
      held += rest.substr(0, end);
      visit(held, ++number);
      held.clear();
    }
    held += rest;
    // A large file of another kind is recognised at its front, not read whole.
    if (held.size() >= kStreamLineFront.size() && !held.starts_with(kStreamLineFront))
      throw_foreign_stream(path, "line " + std::to_string(number + 1));
  }
}

class Reconciliation {
 public:
  Reconciliation(const std::string& path, const JournalIndex& index) : path_(path), index_(index) {
    for (std::uint32_t i = 0; i < index.files.size(); ++i) {
      const auto name = nlohmann::json::parse(json_line(index.files[i])).get<std::string>();
      file_numbers_.try_emplace(name, i);
    }
  }

  // Finds out what stands in the file. Throws where something is not of this run.
  void read() {
    each_line(path_, [&](std::string_view line, std::uint64_t number) { add(line, number); });
    std::sort(present_.begin(), present_.end(),
              [](const Present& a, const Present& b) { return a.key() < b.key(); });
  }

  // Completes the file. Returns the number of lines that it lacked.
  std::uint64_t write() {
    file_.emplace(path_);
    read();
    IndexedDocuments documents(index_);
    for (std::uint64_t i = 0; i < index_.documents.size(); ++i)
      complete(i, documents.read(index_.documents[i]));
    file_->append_lines(lines_);
    return n_lines_;
  }

 private:
  // Records which text a line of the file holds.
  void add(std::string_view text, std::uint64_t number) {
    const auto foreign = [&] { throw_foreign_stream(path_, "line " + std::to_string(number)); };
    const std::optional<StreamLine> line = parse_stream_line(text);
    if (!line) foreign();
    const auto file = file_numbers_.find(line->file);
    if (file == file_numbers_.end()) foreign();
    const auto key = std::pair(file->second, line->offset);
    const auto at = std::lower_bound(
        index_.documents.begin(), index_.documents.end(), key,
        [](const DocumentLocation& d, const auto& k) { return std::pair(d.file, d.offset) < k; });
    const bool is_known = at != index_.documents.end() && std::pair(at->file, at->offset) == key;
    // The index holds only the first failure of a file that broke off in several places.
    if (!is_known && line->failed) return;
    if (!is_known) foreign();
    present_.push_back({.document = static_cast<std::uint64_t>(at - index_.documents.begin()),
                        .failed = line->failed ? 1u : 0u,
                        .question = line->question,
                        .sample = line->sample,
                        .prompt = prompt_number(line->prompt_hash)});
  }

  // Adds the lines of the i-th document that the file lacks.
  void complete(std::uint64_t i, DocumentRecord record) {
    const auto present = std::equal_range(
        present_.begin(), present_.end(), Present{.document = i},
        [](const Present& a, const Present& b) { return a.document < b.document; });
    const auto first = present.first, last = present.second;
    if (record.status == DocumentRecord::Status::failed) {
      if (std::none_of(first, last, [](const Present& p) { return p.failed != 0; })) put(record);
      return;
    }
    for (auto p = first; p != last; ++p) {
      if (p->failed) continue;  // by a rank whose record does not count
      const auto is_it = [&](const Generation& g) {
        return g.question == p->question && g.sample == p->sample &&
               prompt_number(g.prompt_hash) == p->prompt;
      };
      if (std::none_of(record.generations.begin(), record.generations.end(), is_it))
        throw_foreign_stream(
            path_, "a text of '" + record.file + "' at byte " + std::to_string(record.offset));
    }
    std::erase_if(record.generations, [&](const Generation& g) {
      return std::any_of(first, last, [&](const Present& p) {
        return !p.failed && p.question == g.question && p.sample == g.sample;
      });
    });
    put(record);
  }

  void put(const DocumentRecord& record) {
    const std::string lines = stream_lines(record);
    n_lines_ += static_cast<std::uint64_t>(std::count(lines.begin(), lines.end(), '\n'));
    lines_ += lines;
    if (lines_.size() < kBatchBytes) return;
    file_->append_lines(lines_);
    lines_.clear();
  }

  std::string path_;
  const JournalIndex& index_;
  std::optional<StreamFile> file_;
  std::unordered_map<std::string, std::uint32_t> file_numbers_;  // by the name in JSON
  std::vector<Present> present_;
  std::string lines_;  // to be appended
  std::uint64_t n_lines_ = 0;
};

}  // namespace

std::uint64_t reconcile_stream(const std::string& path, const JournalIndex& index) {
  return Reconciliation(path, index).write();
}

void check_stream(const std::string& path, const JournalIndex& index) {
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error)) Reconciliation(path, index).read();
}

}  // namespace tovamill
