#include "pipeline/results/merge.h"

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "io/files/output_file.h"
#include "pipeline/results/line_numbers.h"
#include "pipeline/results/results_file.h"
#include "pipeline/run_directory/indexed_documents.h"
#include "pipeline/run_directory/json_fields.h"

namespace tovamill {
namespace {

using nlohmann::json;

double number_at(const json& object, const char* key) {
  return object.is_object() && object.contains(key) && object[key].is_number()
             ? object[key].get<double>()
             : std::numeric_limits<double>::quiet_NaN();
}

std::size_t longest_id(const JournalIndex& index, const std::vector<std::uint64_t>& lines) {
  std::size_t longest = index.longest_id;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const DocumentLocation& d = index.documents[i];
    if (!d.has_id)
      longest = std::max(longest, default_id(index.files[d.file], lines[i], d.offset).size());
  }
  return longest;
}

// What only all journals together know.
void name_record(DocumentRecord& record, std::uint64_t line) {
  if (line > 0) record.line = line;
  if (record.id.empty()) record.id = default_id(record.file, line, record.offset);
  for (DocumentRecord& setting : record.settings) {
    setting.line = record.line;
    setting.id = record.id;
  }
}

// Of the settings of a sweep, from what the ranks that ended in order say of their steps.
void add_speeds(CorpusSummary& summary, const JournalIndex& index) {
  std::map<std::string, std::pair<double, double>> sums;  // tokens and seconds, by setting
  for (const JournalFile& journal : index.journals) {
    const json footer = json::parse(journal.footer, nullptr, false);
    if (!footer.is_object() || !footer.contains("work") || !footer["work"].is_object()) continue;
    for (const json& s : footer["work"].value("settings", json::array())) {
      const double tokens = number_at(s, "tokens"), seconds = number_at(s, "seconds");
      if (!(seconds > 0.0)) continue;
      auto& [all_tokens, all_seconds] = sums[text_at(s, "name")];
      all_tokens += tokens;
      all_seconds += seconds;
    }
  }
  for (SettingSummary& s : summary.settings) {
    const auto found = sums.find(s.name);
    if (found == sums.end()) continue;
    s.seconds_computing = found->second.second;
    s.tokens_per_second = found->second.first / found->second.second;
  }
}

}  // namespace

RunRow run_row(const JournalFile& journal) {
  const json header = json::parse(journal.header, nullptr, false),
             footer = json::parse(journal.footer, nullptr, false);
  return {.rank = journal.rank,
          .launch = journal.launch,
          .host = text_at(header, "host"),
          .device = text_at(header, "device"),
          .n_documents = journal.n_documents,
          .n_tokens = journal.n_tokens,
          .seconds_computing = number_at(footer, "seconds_computing"),
          .seconds_waiting = number_at(footer, "seconds_waiting"),
          .seconds_writing = number_at(footer, "seconds_writing"),
          .timeline = Timeline::from_json(
              footer.is_object() && footer.contains("timeline") ? footer["timeline"] : json())};
}

CorpusSummary merge_journals(const std::string& run_directory, const JournalIndex& index,
                             const ResultsHeader& header) {
  const std::string path = results_path(run_directory);
  const std::vector<std::uint64_t> lines = line_numbers(index);
  OutputFile output(path, {.option = "the file",
                           .kind = "a results.h5 of this program",
                           .is_ours = is_results_file,
                           .must_be_regular = true});
  ResultsWriter writer(output.temporary_path(),
                       {.n_documents = index.documents.size(),
                        .n_failed = index.n_failed,
                        .n_tokens = index.n_tokens,
                        .longest_id = longest_id(index, lines),
                        .longest_file = index.longest_file,
                        .longest_failure = index.longest_failure,
                        .generates = header.job != "score"},
                       header.settings);
  IndexedDocuments documents(index);
  for (std::size_t i = 0; i < index.documents.size(); ++i) {
    DocumentRecord record = documents.read(index.documents[i]);
    name_record(record, lines[i]);
    writer.add(record);
  }
  std::vector<RunRow> runs;
  for (const JournalFile& journal : index.journals) {
    runs.push_back(run_row(journal));
    runs.back().n_tokens *= std::max<std::uint64_t>(1, header.settings.size());
  }
  CorpusSummary summary = writer.finish(header, runs);
  add_speeds(summary, index);
  output.commit();
  summary.results_path = path;
  return summary;
}

}  // namespace tovamill
