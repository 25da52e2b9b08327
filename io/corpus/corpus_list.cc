// Which files a corpus is: files, directories and globs become one list in path order.
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
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

bool is_glob(const std::string& path) { return path.find_first_of("*?[") != std::string::npos; }

std::string normal_path(const fs::path& path) {
  return fs::absolute(path).lexically_normal().string();
}

[[noreturn]] void refuse_directory(const fs::path& directory, const std::string& problem,
                                   int error) {
  throw Error(code_of_failure(error, ExitCode::no_input),
              "corpus directory '" + directory.string() + "' " + problem + ": " +
                  why_io_failed(error) + ": make it readable or name its files");
}

std::vector<std::string> matches_of(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> matches;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0)
    matches.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  return matches;
}

// glob() takes "**" for "*", which is one level of directories.
void check_levels(const std::string& pattern) {
  const fs::path path(pattern);
  const auto last = std::prev(path.end());
  if (std::find(path.begin(), last, fs::path("**")) == last) return;
  throw Error(ExitCode::usage, "corpus path '" + pattern +
                                   "': '**' before other names is not known: give the directory, "
                                   "which is searched at all depths, and --glob for the names");
}

// glob() passes over directories that it may not search or, where it looks for names, list.
void check_directories(const std::string& pattern) {
  fs::path child = pattern;
  for (fs::path parent = child.parent_path(); is_glob(parent.string());
       parent = child.parent_path()) {
    const int needed = X_OK | (is_glob(child.filename().string()) ? R_OK : 0);
    for (const std::string& directory : matches_of(parent.string())) {
      std::error_code ignored;
      if (fs::is_directory(directory, ignored) &&
          faccessat(AT_FDCWD, directory.c_str(), needed, AT_EACCESS) != 0)
        refuse_directory(directory, "cannot be searched", errno);
    }
    child = parent;
  }
}

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
    check_levels(given);
    const std::vector<std::string> matches = matches_of(given);
    check_directories(given);
    if (matches.empty())
      throw Error(ExitCode::no_input,
                  "corpus path '" + given +
                      "' does not exist and, as a glob, matches nothing: check --corpus");
    for (const std::string& match : matches) {
      if (stat(match.c_str(), &info) == 0) {
        add_existing(match, info, false);
      } else {
        add_file(match);
      }
    }
  }

  std::vector<CorpusFile> take() {
    std::vector<CorpusFile> files;
    for (auto& [real, file] : by_real_path_) files.push_back(std::move(file));
    left_out_.add_links(second_names_.size());
    std::sort(files.begin(), files.end(), [](auto& a, auto& b) { return a.path < b.path; });
    return files;
  }

 private:
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
    if (exists && !S_ISREG(info.st_mode)) return left_out_.add_special(path);
    CorpusFile file{.path = normal_path(path),
                    .n_bytes = exists ? static_cast<std::uint64_t>(info.st_size) : 0,
                    .format = *format};
    std::error_code ignored;
    const std::string real = exists ? fs::canonical(path, ignored).string() : file.path;
    if (exists && !own_output_.empty() && real == own_output_) return left_out_.add_own_output();
    const auto [at, is_new] = by_real_path_.try_emplace(real, file);
    if (is_new || file.path == at->second.path) return;
    if (file.path < at->second.path)
      std::swap(file, at->second);  // the first in path order is read
    second_names_.insert(file.path);
  }

  // What is passed over below a hidden name and would be read elsewhere. Links are not followed.
  void add_hidden(const fs::directory_entry& entry) {
    std::error_code ignored;
    if (entry.is_symlink(ignored) || !entry.is_directory(ignored)) return add_hidden_file(entry);
    for (fs::recursive_directory_iterator
             at(entry, fs::directory_options::skip_permission_denied, ignored),
         end;
         !ignored && at != end; at.increment(ignored)) {
      if (++n_hidden_entries_ > kGlanceEntries) return left_out_.add_large_hidden_directory();
      std::error_code unknown;
      if (!at->is_directory(unknown)) add_hidden_file(at->path());
    }
  }
  void add_hidden_file(const fs::path& path) {
    const bool is_wanted =
        options_.glob.empty() || fnmatch(options_.glob.c_str(), path.filename().c_str(), 0) == 0;
    if (is_wanted && format_of(path)) left_out_.add_hidden(path);
  }

  void add_directory(const fs::path& directory) {
    std::error_code error;
    const fs::path real = fs::canonical(directory, error);
    if (!error) {
      const std::string path = normal_path(directory / "");
      const auto [at, is_new] = seen_directories_.try_emplace(real.string(), path);
      if (!is_new && at->second != path)
        second_names_.insert(path);  // a loop, or a second way here
      if (!is_new) return;
    }
    std::vector<fs::directory_entry> entries, hidden;
    for (fs::directory_iterator at(directory, error), end; !error && at != end;
         at.increment(error)) {
      ++n_entries_;
      if (has_enough()) return;
      (is_hidden(at->path()) ? hidden : entries).push_back(*at);
    }
    if (error) refuse_directory(directory, "cannot be listed", error.value());
    if (names_run_directory(entries)) return left_out_.add_run_directory();
    std::sort(entries.begin(), entries.end());
    for (const fs::directory_entry& entry : entries) {
      if (has_enough()) return;
      add_entry(directory, entry);
    }
    if (n_enough_ > 0) return;
    for (const fs::directory_entry& entry : hidden) add_hidden(entry);
  }

  static bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

  void add_entry(const fs::path& directory, const fs::path& entry) {
    std::error_code error;
    if (fs::is_directory(entry, error)) return add_directory(entry);
    const bool is_known = !error || error == std::errc::no_such_file_or_directory ||
                          error == std::errc::not_a_directory ||
                          error == std::errc::too_many_symbolic_link_levels;
    // It may be a directory. What looks like a file of the corpus fails where it is read.
    if (!is_known && !format_of(entry))
      refuse_directory(directory, "cannot be searched", error.value());
    add_file(entry);
  }

  const CorpusOptions& options_;
  LeftOut& left_out_;
  std::string own_output_;
  std::size_t n_enough_ = 0, n_entries_ = 0, n_hidden_entries_ = 0;
  std::map<std::string, CorpusFile> by_real_path_;
  std::map<std::string, std::string> seen_directories_;  // real and first path
  std::set<std::string> second_names_;                   // of files and directories
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
