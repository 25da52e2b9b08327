// Which files a corpus leaves out, for people: those of other endings, those that --glob does not
// match, hidden ones that would be read under another name, second names of what is read, and what
// the program itself has written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <unordered_set>
#include <vector>

namespace tovamill {

class LeftOut {
 public:
  // Each file counts once, however many paths lead to it.
  void add_other_ending(const std::filesystem::path& file);
  void add_unmatched(const std::filesystem::path& file);
  void add_hidden(const std::filesystem::path& file);
  void add_large_hidden_directory() { has_large_hidden_ = true; }  // not looked through
  void add_special(const std::filesystem::path& file);             // a FIFO, a socket, a device
  void add_links(std::uint64_t n) { n_links_ += n; }
  void add_run_directory() { ++n_run_directories_; }
  void add_own_output() { has_own_output_ = true; }

  // "8 files, neither .txt nor .jsonl nor .ndjson: 5 .md, 2 .tar.gz, 1 without an ending; 2 hidden
  // files; 1 link to what is read anyway; 1 run directory; what this run writes"; empty where
  // nothing is left out. The most frequent endings come first, and of many the rest as a number.
  std::string text() const;

  // {"by_ending": {".md": 3}, "not_matching_glob": 0, "hidden": 2, "not_regular": 0, "links": 1,
  //  "run_directories": 1}
  nlohmann::ordered_json json() const;

  std::uint64_t n_files() const {
    return n_other_endings() + n_unmatched_ + n_hidden_ + n_special_;
  }

 private:
  std::uint64_t n_other_endings() const;
  bool is_new(const std::filesystem::path& file);

  // Endings in lower case, with the one before that of a compression; "" of names without one.
  std::map<std::string, std::uint64_t> by_ending_;
  std::uint64_t n_unmatched_ = 0, n_hidden_ = 0, n_special_ = 0, n_links_ = 0;
  std::uint64_t n_run_directories_ = 0;
  bool has_own_output_ = false, has_large_hidden_ = false;
  std::unordered_set<std::size_t> seen_;  // hashes of paths
};

// Whether these names of a directory's entries are those of a run directory.
bool names_run_directory(const std::vector<std::filesystem::directory_entry>& entries);

}  // namespace tovamill
