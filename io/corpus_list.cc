// Which files a corpus is: files, directories and globs become one list in path order.
#include <fnmatch.h>
#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "io/corpus.h"
#include "kernels/error.h"

namespace fs = std::filesystem;

namespace tovamill {
namespace {

using Kind = CorpusFile::Kind;
using Compression = CorpusFile::Compression;

struct Ending {
  std::string_view name;
  Kind kind;
  Compression compression;
};
constexpr std::array<Ending, 6> kEndings{{{".txt", Kind::text, Compression::none},
                                          {".jsonl", Kind::jsonl, Compression::none},
                                          {".txt.gz", Kind::text, Compression::gzip},
                                          {".jsonl.gz", Kind::jsonl, Compression::gzip},
                                          {".txt.zst", Kind::text, Compression::zstd},
                                          {".jsonl.zst", Kind::jsonl, Compression::zstd}}};
constexpr const char* kKnownEndings = ".txt, .jsonl, .txt.gz, .jsonl.gz, .txt.zst, .jsonl.zst";

// Endings are compared without regard to case: NOVEL.TXT is a text.
const Ending* ending_of(const fs::path& path) {
  std::string name = path.filename().string();
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (const Ending& e : kEndings) {
    if (name.ends_with(e.name)) return &e;
  }
  return nullptr;
}

class Lister {
 public:
  // `first_only`: directories are searched for a single file.
  explicit Lister(const CorpusOptions& options, bool first_only = false)
      : options_(options), first_only_(first_only) {}

  // A path as the user gave it.
  void add(const std::string& given) {
    struct stat info {};
    if (stat(given.c_str(), &info) == 0) return add_existing(given, info, true);
    const std::vector<std::string> matches = expand(given);
    if (matches.empty())
      throw Error(ExitCode::no_input,
                  "corpus path '" + given + "' does not exist and matches nothing: check --corpus");
    for (const std::string& match : matches) {
      if (stat(match.c_str(), &info) == 0) add_existing(match, info, false);
    }
  }

  std::vector<CorpusFile> take() {
    std::vector<CorpusFile> files;
    for (auto& [real, file] : by_real_path_) files.push_back(std::move(file));
    std::sort(files.begin(), files.end(), [](auto& a, auto& b) { return a.path < b.path; });
    return files;
  }

 private:
  static std::vector<std::string> expand(const std::string& pattern) {
    glob_t found{};
    std::vector<std::string> matches;
    if (glob(pattern.c_str(), 0, nullptr, &found) == 0)
      matches.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    globfree(&found);
    return matches;
  }

  void add_existing(const std::string& path, const struct stat& info, bool named_outright) {
    if (S_ISDIR(info.st_mode)) return add_directory(path);
    if (named_outright && !ending_of(path))
      throw Error(ExitCode::usage, "corpus file '" + path +
                                       "' has an unknown ending: give files of " +
                                       std::string(kKnownEndings));
    if (named_outright && !S_ISREG(info.st_mode))
      throw Error(ExitCode::no_input,
                  "corpus path '" + path + "' is neither a regular file nor a directory");
    add_file(path);
  }

  // A symbolic link that leads nowhere is listed all the same: reading it will be the failure that
  // says so.
  void add_file(const fs::path& path) {
    const Ending* ending = ending_of(path);
    if (!ending) return;
    if (!options_.glob.empty() && fnmatch(options_.glob.c_str(), path.filename().c_str(), 0) != 0)
      return;
    struct stat info {};
    const bool exists = stat(path.c_str(), &info) == 0;
    if (exists && !S_ISREG(info.st_mode)) return;
    CorpusFile file{.path = fs::absolute(path).lexically_normal().string(),
                    .n_bytes = exists ? static_cast<std::uint64_t>(info.st_size) : 0,
                    .kind = ending->kind,
                    .compression = ending->compression};
    std::error_code ignored;
    const std::string real = exists ? fs::canonical(path, ignored).string() : file.path;
    const auto [at, is_new] = by_real_path_.try_emplace(real, file);
    if (!is_new && file.path < at->second.path)
      at->second = std::move(file);  // of doubles, the first in path order
  }

  void add_directory(const fs::path& directory) {
    std::error_code error;
    const fs::path real = fs::canonical(directory, error);
    if (!error && !seen_directories_.insert(real.string()).second)
      return;  // a loop of links, or a second way here
    std::vector<fs::path> entries;
    for (fs::directory_iterator at(directory, error), end; !error && at != end;
         at.increment(error)) {
      entries.push_back(at->path());
      if (first_only_ && !is_hidden(at->path())) add_file(at->path());
      if (is_enough()) return;
    }
    if (error)
      throw Error(ExitCode::no_input, "corpus directory '" + directory.string() +
                                          "' cannot be listed: " + error.message() +
                                          ": make it readable or name its files");
    std::sort(entries.begin(), entries.end());
    for (const fs::path& entry : entries) {
      if (is_hidden(entry)) continue;
      std::error_code ignored;
      if (fs::is_directory(entry, ignored)) {
        add_directory(entry);
        if (is_enough()) return;
      } else {
        add_file(entry);
      }
    }
  }

  static bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }
  bool is_enough() const { return first_only_ && !by_real_path_.empty(); }

  const CorpusOptions& options_;
  const bool first_only_;
  std::map<std::string, CorpusFile> by_real_path_;
  std::set<std::string> seen_directories_;
};

}  // namespace

std::optional<CorpusFile> corpus_file_at(const std::string& path) {
  const Ending* ending = ending_of(path);
  if (!ending) return std::nullopt;
  struct stat info {};
  const bool exists = stat(path.c_str(), &info) == 0;
  return CorpusFile{.path = fs::absolute(path).lexically_normal().string(),
                    .n_bytes = exists ? static_cast<std::uint64_t>(info.st_size) : 0,
                    .kind = ending->kind,
                    .compression = ending->compression};
}

namespace {

std::vector<CorpusFile> list(const CorpusOptions& options, bool first_only) {
  std::vector<std::string> paths = options.paths;
  std::sort(paths.begin(), paths.end());  // the list does not depend on the order of --corpus
  Lister lister(options, first_only);
  for (const std::string& path : paths) lister.add(path);
  std::vector<CorpusFile> files = lister.take();
  if (files.empty())
    throw Error(ExitCode::no_input,
                (paths.empty() ? std::string("no corpus was given")
                               : "no corpus files in '" + paths.front() + "'" +
                                     (paths.size() > 1 ? " and the other paths" : "")) +
                    (options.glob.empty() ? "" : " match --glob '" + options.glob + "'") +
                    ": give files of " + kKnownEndings + ", or directories that hold some");
  return files;
}

}  // namespace

std::vector<CorpusFile> list_corpus(const CorpusOptions& options) { return list(options, false); }

void check_corpus(const CorpusOptions& options) { list(options, true); }

}  // namespace tovamill
