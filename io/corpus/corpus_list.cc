// Which files a corpus is: files, directories and globs become one list in path order.
#include <fnmatch.h>
#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "io/corpus/corpus.h"
#include "io/corpus/left_out.h"
#include "io/files/durable.h"
#include "kernels/types/error.h"

namespace fs = std::filesystem;

namespace tovamill {
namespace {

constexpr std::size_t kGlanceEntries = 50'000;  // of directories

class Lister {
 public:
  Lister(const CorpusOptions& options, LeftOut& left_out) : options_(options), left_out_(left_out) {
    std::error_code ignored;
    if (!options.own_output.empty())
      own_output_ = fs::canonical(options.own_output, ignored).string();  // empty: not there yet
  }

  // The search ends at `n_enough` files or at kGlanceEntries entries.
  void glance(std::size_t n_enough) { n_enough_ = n_enough; }
  bool has_enough() const {
    return n_enough_ > 0 && (by_real_path_.size() >= n_enough_ || n_entries_ > kGlanceEntries);
  }

  // A path as the user gave it.
  void add(const std::string& given) {
    struct stat info {};
    if (stat(given.c_str(), &info) == 0) return add_existing(given, info, true);
    const std::vector<std::string> matches = expand(given);
    if (matches.empty())
      throw Error(ExitCode::no_input,
                  "corpus path '" + given +
                      "' does not exist and, as a glob, matches nothing: check --corpus");
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
    if (named_outright && !format_of(path))
      throw Error(ExitCode::usage, "corpus file '" + path +
                                       "' has an unknown ending: give files of " + known_endings() +
                                       " (a plain text is read once its name ends in .txt)");
    if (named_outright && !S_ISREG(info.st_mode))
      throw Error(ExitCode::no_input,
                  "corpus path '" + path + "' is neither a regular file nor a directory");
    add_file(path);
  }

  // A symbolic link that leads nowhere is listed, too: reading it is a failure of the run.
  void add_file(const fs::path& path) {
    if (!options_.glob.empty() && fnmatch(options_.glob.c_str(), path.filename().c_str(), 0) != 0)
      return left_out_.add_unmatched(path);
    const std::optional<CorpusFormat> format = format_of(path);
    if (!format) return left_out_.add_other_ending(path);
    struct stat info {};
    const bool exists = stat(path.c_str(), &info) == 0;
    if (exists && !S_ISREG(info.st_mode)) return;
    CorpusFile file{.path = fs::absolute(path).lexically_normal().string(),
                    .n_bytes = exists ? static_cast<std::uint64_t>(info.st_size) : 0,
                    .format = *format};
    std::error_code ignored;
    const std::string real = exists ? fs::canonical(path, ignored).string() : file.path;
    if (exists && !own_output_.empty() && real == own_output_) return left_out_.add_own_output();
    const auto [at, is_new] = by_real_path_.try_emplace(real, file);
    if (!is_new && file.path < at->second.path)
      at->second = std::move(file);  // of several paths the first in path order
  }

  void add_directory(const fs::path& directory) {
    std::error_code error;
    const fs::path real = fs::canonical(directory, error);
    if (!error && !seen_directories_.insert(real.string()).second)
      return;  // a loop of links, or a second way here
    std::vector<fs::path> entries;
    for (fs::directory_iterator at(directory, error), end; !error && at != end;
         at.increment(error)) {
      ++n_entries_;
      if (has_enough()) return;
      entries.push_back(at->path());
    }
    if (error)
      throw Error(code_of_failure(error.value(), ExitCode::no_input),
                  "corpus directory '" + directory.string() + "' cannot be listed: " +
                      why_io_failed(error.value()) + ": make it readable or name its files");
    if (names_run_directory(entries)) return left_out_.add_run_directory();
    std::sort(entries.begin(), entries.end());
    for (const fs::path& entry : entries) {
      if (has_enough()) return;
      if (entry.filename().string().starts_with('.')) continue;
      std::error_code ignored;
      if (fs::is_directory(entry, ignored)) {
        add_directory(entry);
      } else {
        add_file(entry);
      }
    }
  }

  const CorpusOptions& options_;
  LeftOut& left_out_;
  std::string own_output_;
  std::size_t n_enough_ = 0, n_entries_ = 0;
  std::map<std::string, CorpusFile> by_real_path_;
  std::set<std::string> seen_directories_;
};

[[noreturn]] void refuse_empty(const CorpusOptions& options, const std::vector<std::string>& paths,
                               const LeftOut& left_out) {
  if (paths.empty()) throw Error(ExitCode::no_input, "no corpus was given: give --corpus PATH");
  const std::string there = left_out.text();
  throw Error(ExitCode::no_input,
              "no corpus files in '" + paths.front() + "'" +
                  (paths.size() > 1 ? " and the other paths" : "") +
                  (options.glob.empty() ? "" : " match --glob '" + options.glob + "'") +
                  (there.empty() ? "" : " (left out: " + there + ")") + ": give files of " +
                  known_endings() + ", or directories that hold some");
}

}  // namespace

std::optional<CorpusFile> corpus_file_at(const std::string& path) {
  const std::optional<CorpusFormat> format = format_of(path);
  if (!format) return std::nullopt;
  struct stat info {};
  const bool exists = stat(path.c_str(), &info) == 0;
  return CorpusFile{.path = fs::absolute(path).lexically_normal().string(),
                    .n_bytes = exists ? static_cast<std::uint64_t>(info.st_size) : 0,
                    .format = *format};
}

std::vector<CorpusFile> list_corpus(const CorpusOptions& options, LeftOut* told) {
  std::vector<std::string> paths = options.paths;
  std::sort(paths.begin(), paths.end());  // the list does not depend on the order of --corpus
  LeftOut left_out;
  Lister lister(options, left_out);
  for (const std::string& path : paths) lister.add(path);
  std::vector<CorpusFile> files = lister.take();
  if (files.empty()) refuse_empty(options, paths, left_out);
  if (told) *told = std::move(left_out);
  return files;
}

std::optional<std::vector<CorpusFile>> glance_at_corpus(const CorpusOptions& options,
                                                        std::size_t n_enough) {
  LeftOut left_out;
  Lister lister(options, left_out);
  lister.glance(n_enough);
  for (const std::string& path : options.paths) {
    lister.add(path);
    if (lister.has_enough()) return std::nullopt;
  }
  return lister.take();
}

void check_corpus(const CorpusOptions& options) {
  bool is_empty = true;
  for (const std::string& path : options.paths) {
    CorpusOptions alone = options;
    alone.paths = {path};
    is_empty &= glance_at_corpus(alone, 1).has_value();
  }
  if (is_empty) list_corpus(options);  // says why
}

}  // namespace tovamill
