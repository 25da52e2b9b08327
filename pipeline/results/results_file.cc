#include "pipeline/results/results_file.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string_view>

#include "io/files/json_file.h"
#include "io/results/hdf5_file.h"
#include "kernels/types/error.h"
#include "pipeline/probe/probe_results.h"
#include "pipeline/results/export.h"
#include "pipeline/results/export_generations.h"
#include "pipeline/results/stream_line.h"

namespace tovamill {
namespace {

constexpr std::size_t kFrontBytes = 1u << 20;  // of a first line, which may hold a whole text
constexpr std::uint64_t kBatch = 4096;         // names read at a time

// The first line without its \n, or its first bytes.
std::string first_line(const std::string& path, bool& is_whole) {
  std::ifstream file(path, std::ios::binary);
  std::string line(kFrontBytes, '\0');
  file.read(line.data(), static_cast<std::streamsize>(line.size()));
  line.resize(static_cast<std::size_t>(file.gcount()));
  const std::size_t end = line.find('\n');
  is_whole = end != std::string::npos;
  if (is_whole) line.resize(end);
  return line;
}

// A row of a table of export as JSON: its columns in their order.
bool is_exported_row(const std::string& line, AnalysisTable table) {
  std::size_t at = 0;
  for (const auto& [name, value] : empty_row(table)) {
    const std::string key = (at == 0 ? "{\"" : ",\"") + std::string(name) + "\":";
    const std::size_t found = line.find(key, at);
    if (found == std::string::npos || (at == 0 && found != 0)) return false;
    at = found + key.size();
  }
  return !nests_deeper(line, kMaxJsonDepth) && nlohmann::json::accept(line);
}

bool is_exported_object(const std::string& line, bool is_whole) {
  if (is_whole && (is_exported_row(line, AnalysisTable::positions) ||
                   is_exported_row(line, AnalysisTable::classes)))
    return true;
  if (!line.starts_with(kStreamLineFront)) return false;
  if (is_whole && parse_stream_line(line)) return true;
  const auto has = [&](std::string_view key) {
    return line.find(',' + ('"' + std::string(key)) + "\":") != std::string::npos;
  };
  constexpr std::array<std::string_view, 5> kOfDocuments{"file", "offset", "status", "n_scored",
                                                         "nll_sum"};
  constexpr std::array<std::string_view, 4> kOfTexts{"file", "offset", "question_index", "sample"};
  if (!std::all_of(kOfDocuments.begin(), kOfDocuments.end(), has) &&
      !std::all_of(kOfTexts.begin(), kOfTexts.end(), has))
    return false;
  return !is_whole || (!nests_deeper(line, kMaxJsonDepth) && nlohmann::json::accept(line));
}

}  // namespace

bool is_results_file(const std::string& path) {
  try {
    bool is_whole = false;
    if (!first_line(path, is_whole).starts_with("\x89HDF\r")) return false;
    const Hdf5File file(path, Hdf5File::Mode::read);
    const auto attributes = file.attributes("/");
    const auto has = [&](const char* name) {
      return std::any_of(attributes.begin(), attributes.end(),
                         [&](const auto& a) { return a.first == name; });
    };
    return has("schema_version") && has("fingerprint") &&
           (file.exists("/documents/id") || file.exists("/sweep"));
  } catch (const Error&) {
    return false;
  }
}

std::vector<std::string> corpus_files_of(const std::string& results) {
  const Hdf5File whole(results, Hdf5File::Mode::read);
  const std::vector<std::string> settings = settings_of_results(whole);  // of the same documents
  const Hdf5File file(whole, settings.empty() ? "" : "/sweep/" + settings.front());
  std::set<std::string> files;
  if (!file.exists("/documents/file")) return {};
  const std::uint64_t n = file.shape("/documents/file").at(0);
  for (std::uint64_t first = 0; first < n; first += kBatch) {
    for (std::string& name :
         file.read_strings("/documents/file", first, std::min(kBatch, n - first)))
      files.insert(std::move(name));
  }
  return {files.begin(), files.end()};
}

std::vector<std::string> settings_of_results(const Hdf5File& file) {
  std::vector<std::string> names;
  if (!file.exists("/sweep")) return names;
  for (const auto& [name, value] : file.attributes("/sweep")) {
    if (const auto* text = std::get_if<std::string>(&value); text && name == "settings") {
      std::istringstream words(*text);
      for (std::string word; words >> word;) names.push_back(word);
    }
  }
  return names;
}

bool is_exported_file(const std::string& path) {
  bool is_whole = false;
  const std::string line = first_line(path, is_whole);
  const auto is_header = [&](const std::string& header) {
    return is_whole && (line == header || line == header + kSettingColumn);
  };
  return (is_whole && line == probe_csv_header()) || is_header(document_csv_header()) ||
         is_header(token_csv_header()) ||
         is_header(analysis_csv_header(AnalysisTable::positions)) ||
         is_header(analysis_csv_header(AnalysisTable::classes)) ||
         is_header(generation_csv_header(false)) || is_header(generation_csv_header(true)) ||
         is_exported_object(line, is_whole);
}

}  // namespace tovamill
