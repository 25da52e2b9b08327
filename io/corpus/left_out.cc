#include "io/corpus/left_out.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "io/corpus/corpus_format.h"
#include "kernels/types/format.h"

namespace fs = std::filesystem;

namespace tovamill {
namespace {

constexpr std::size_t kLongestEnding = 12;  // of what is shown as one
constexpr std::size_t kMostEndings = 6;     // shown, each with its number

// The last ending of a name, in lower case; empty where it has none, or none that is fit to be
// shown.
std::string last_ending(const fs::path& name) {
  std::string ending = name.extension().string();
  if (ending.size() < 2 || ending.size() > kLongestEnding) return "";
  for (char& c : ending) {
    const auto byte = static_cast<unsigned char>(c);
    if (c != '.' && (byte >= 0x80 || std::isalnum(byte) == 0)) return "";
    c = static_cast<char>(std::tolower(byte));
  }
  return ending;
}

std::string suffix_of(const fs::path& file) {
  const std::string last = last_ending(file.filename());
  if (!is_compression_ending(last)) return last;
  return last_ending(file.filename().stem()) + last;
}

}  // namespace

void LeftOut::add_other_ending(const fs::path& file) {
  if (is_new(file)) ++by_ending_[suffix_of(file)];
}

void LeftOut::add_unmatched(const fs::path& file) {
  if (is_new(file)) ++n_unmatched_;
}

void LeftOut::add_hidden(const fs::path& file) {
  if (is_new(file)) ++n_hidden_;
}

void LeftOut::add_special(const fs::path& file) {
  if (is_new(file)) ++n_special_;
}

bool LeftOut::is_new(const fs::path& file) {
  return seen_.insert(fs::hash_value(fs::absolute(file).lexically_normal())).second;
}

std::uint64_t LeftOut::n_other_endings() const {
  std::uint64_t n = 0;
  for (const auto& [ending, count] : by_ending_) n += count;
  return n;
}

std::string LeftOut::text() const {
  std::vector<std::pair<std::string, std::uint64_t>> endings(by_ending_.begin(), by_ending_.end());
  std::stable_sort(endings.begin(), endings.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string kinds;
  std::uint64_t n_left = n_other_endings();
  for (std::size_t i = 0; i < endings.size() && i < kMostEndings; ++i) {
    const auto& [ending, n] = endings[i];
    kinds += (i == 0 ? ": " : ", ") + with_thousands(n) + " " +
             (ending.empty() ? "without an ending" : ending);
    n_left -= n;
  }
  if (n_left > 0) kinds += ", " + with_thousands(n_left) + " of other endings";
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
  if (!endings.empty())
    add(counted(n_other_endings(), "file") + ", neither " + record_endings(" nor ") + kinds);
  if (n_unmatched_ > 0) add(counted(n_unmatched_, "file") + " not matched by --glob");
  if (n_hidden_ > 0) add(counted(n_hidden_, "hidden file"));
  if (has_large_hidden_) add("what large hidden directories hold");
  if (n_special_ > 0) add(counted(n_special_, "special file") + " (FIFO, socket, device)");
  if (n_links_ > 0) add(counted(n_links_, "link") + " to what is read anyway");
  if (n_run_directories_ > 0)
    add(with_thousands(n_run_directories_) +
        (n_run_directories_ == 1 ? " run directory" : " run directories"));
  if (has_own_output_) add("what this run writes");
  return text;
}

nlohmann::ordered_json LeftOut::json() const {
  return {{"by_ending", by_ending_}, {"not_matching_glob", n_unmatched_},
          {"hidden", n_hidden_},     {"not_regular", n_special_},
          {"links", n_links_},       {"run_directories", n_run_directories_}};
}

bool names_run_directory(const std::vector<fs::directory_entry>& entries) {
  const auto has = [&](const char* name) {
    return std::any_of(entries.begin(), entries.end(), [&](const fs::directory_entry& entry) {
      return entry.path().filename() == name;
    });
  };
  return has("journal") && (has("status.json") || has("results.h5"));
}

}  // namespace tovamill
