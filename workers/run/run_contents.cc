#include "workers/run/run_contents.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string_view>
#include <vector>

#include "io/files/temporary_file.h"
#include "kernels/types/error.h"
#include "pipeline/results/results_file.h"
#include "workers/probe/probe_corpus.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kHeadBytes = 65536;

bool all_of(std::string_view text, std::string_view characters) {
  return !text.empty() && text.find_first_not_of(characters) == std::string_view::npos;
}
bool is_number(std::string_view text) { return all_of(text, "0123456789"); }

std::string head_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string head(kHeadBytes, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<std::size_t>(file.gcount()));
  return head;
}

// A file system that lost its power may leave nothing or zeros where something was written.
bool begins(const fs::path& path, std::string_view front) {
  const std::string head = head_of(path).substr(0, front.size());
  return head == front.substr(0, head.size()) || head.find_first_not_of('\0') == std::string::npos;
}

bool is_status(const fs::path& path) { return begins(path, "{\n  \"state\": "); }
bool is_hdf5(const fs::path& path) { return begins(path, "\x89HDF\r\n\x1a\n"); }

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

// A record's magic or the header's text: a journal may be damaged at any byte.
bool is_journal_content(const fs::path& path) {
  const std::string head = head_of(path);
  return begins(path, "TVJ1") || head.find("TVJ1") != std::string::npos ||
         head.find("\"fingerprint\"") != std::string::npos;
}

// "3-12.log", "launch-12.log", "inputs.log"
bool is_journal(const fs::path& path) {
  const std::string name = path.filename().string();
  if (is_temporary_name(name, "inputs.log")) return true;
  if (!name.ends_with(".log") || !is_file(path)) return false;
  if (name == "inputs.log") return is_journal_content(path);
  const std::string_view stem = std::string_view(name).substr(0, name.size() - 4);
  const std::size_t dash = stem.find('-');
  if (dash == std::string_view::npos || !is_number(stem.substr(dash + 1))) return false;
  return (stem.substr(0, dash) == "launch" && head_of(path).empty()) ||
         (is_number(stem.substr(0, dash)) && is_journal_content(path));
}

// "<hexadecimal digits>.state", and what it is written through
bool is_state(const fs::path& path) {
  const std::string name = path.filename().string();
  const std::size_t dot = name.find('.');
  if (dot == std::string::npos || !all_of(name.substr(0, dot), "0123456789abcdef") ||
      !is_file(path))
    return false;
  const std::string_view rest = std::string_view(name).substr(dot);
  constexpr std::string_view front = ".state.", end = ".tmp";
  return rest == ".state" ||
         (rest.starts_with(front) && rest.ends_with(end) &&
          all_of(rest.substr(front.size(), rest.size() - front.size() - end.size()),
                 "0123456789-"));
}

// A kind of entry of a run directory.
struct Kind {
  const char* name;
  std::function<bool(const fs::path&)> is_ours;  // of a file
  std::function<bool(const fs::path&)> holds;    // of each entry, where it is a folder
  bool stays = false;                            // under --overwrite
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all{
      {.name = "journal", .is_ours = {}, .holds = is_journal},
      {.name = "states", .is_ours = {}, .holds = is_state},
      {.name = "status.json", .is_ours = is_status, .holds = {}},
      {.name = "status.json.tmp", .is_ours = is_status, .holds = {}},  // of earlier versions
      {.name = "results.h5",
       .is_ours = [](const fs::path& p) { return is_results_file(p.string()); },
       .holds = {}},
      {.name = "results.h5.tmp", .is_ours = is_hdf5, .holds = {}},
      {.name = "overwritten",
       .is_ours = [](const fs::path& p) { return head_of(p).size() < kHeadBytes; },
       .holds = {}},
      {.name = kProbeCorpusName,
       .is_ours =
           [](const fs::path& p) { return head_of(p).empty() || is_probe_corpus(p.string()); },
       .holds = {},
       .stays = true},  // a run begins with it
      {.name = "report.html",
       .is_ours =
           [](const fs::path& p) { return head_of(p).find("tovamill") != std::string::npos; },
       .holds = {}},
      {.name = "lock",
       .is_ours = [](const fs::path& p) { return head_of(p).empty(); },
       .holds = {},
       .stays = true}};
  return all;
}

bool is_temporary(const std::string& name) {
  return std::any_of(kinds().begin(), kinds().end(), [&](const Kind& kind) {
    return kind.is_ours && is_temporary_name(name, kind.name);
  });
}

[[noreturn]] void refuse(const std::string& directory, const std::string& name) {
  throw Error(ExitCode::configuration, directory + ": is not a run directory (it holds '" + name +
                                           "'): give --out a new or an empty directory");
}

bool is_same(const fs::path& path, const std::string& file) {
  std::error_code error;
  return !file.empty() && fs::equivalent(path, file, error) && !error;
}

const Kind* kind_of(const std::string& name) {
  const auto found = std::find_if(kinds().begin(), kinds().end(),
                                  [&](const Kind& kind) { return kind.name == name; });
  return found == kinds().end() ? nullptr : &*found;
}

// Files of a run at work come and go.
bool is_gone(const fs::path& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() == fs::file_type::not_found;
}

void check_entry(const std::string& directory, const fs::path& entry) {
  const std::string name = entry.filename().string();
  const Kind* kind = kind_of(name);
  std::error_code error;
  const fs::file_status status = fs::status(entry, error);
  if (!kind || (!kind->holds && fs::is_directory(status))) {
    if (!is_temporary(name) && !is_gone(entry)) refuse(directory, name);
    return;
  }
  if (!fs::exists(status)) return;  // gone meanwhile, or a link to what is not there yet
  if (kind->is_ours) {
    if (!fs::is_regular_file(status) || (!kind->is_ours(entry) && !is_gone(entry)))
      refuse(directory, name);
    return;
  }
  if (!fs::is_directory(status)) refuse(directory, name);
  for (const fs::directory_entry& below : fs::directory_iterator(entry)) {
    if (!kind->holds(below.path()) && !is_gone(below.path()))
      refuse(directory, name + "/" + below.path().filename().string());
  }
}

std::vector<fs::path> entries_of(const fs::path& directory) {
  std::vector<fs::path> entries;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory))
    entries.push_back(entry.path());
  std::sort(entries.begin(), entries.end());
  return entries;
}

void remove_file(const fs::path& path) {
  fs::remove(fs::is_symlink(path) ? fs::path(target_of(path.string())) : path);
}

}  // namespace

void remove_left_temporaries(const std::string& directory) {
  std::error_code ignored;
  for (const fs::path& entry : entries_of(directory)) {
    if (is_temporary(entry.filename().string())) fs::remove(entry, ignored);
  }
}

bool is_run_content(const std::string& name) { return kind_of(name) || is_temporary(name); }

void check_run_contents(const std::string& directory, const std::string& own_file) {
  for (const fs::path& entry : entries_of(directory)) {
    if (!is_same(entry, own_file)) check_entry(directory, entry);
  }
}

void remove_run_contents(const std::string& directory, const std::string& own_file) {
  check_run_contents(directory, own_file);
  for (const fs::path& entry : entries_of(directory)) {
    const std::string name = entry.filename().string();
    const Kind* kind = kind_of(name);
    if (is_same(entry, own_file) || (kind && kind->stays) || (!kind && !is_temporary(name)))
      continue;
    if (!fs::is_directory(entry)) {
      remove_file(entry);
    } else if (fs::is_symlink(entry)) {
      fs::remove(entry);
    } else {
      for (const fs::path& below : entries_of(entry)) {
        if (kind->holds(below)) fs::remove(below);
      }
      fs::remove(entry);
    }
  }
}

}  // namespace tovamill
