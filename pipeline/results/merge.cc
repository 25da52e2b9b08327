#include "pipeline/results/merge.h"

#include <algorithm>
#include <limits>
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
          .seconds_writing = number_at(footer, "seconds_writing")};
}

CorpusSummary merge_journals(const std::string& run_directory, const JournalIndex& index,
                             const ResultsHeader& header) {
  const std::string path = results_path(run_directory);
  const std::vector<std::uint64_t> lines = line_numbers(index);
  OutputFile output(path, {.option = "the file",
                           .kind = "a results.h5 of this program",
                           .is_ours = is_results_file,
                           .must_be_regular = true});
  ResultsWriter writer(output.temporary_path(), {.n_documents = index.documents.size(),
                                                 .n_failed = index.n_failed,
                                                 .n_tokens = index.n_tokens,
                                                 .longest_id = longest_id(index, lines),
                                                 .longest_file = index.longest_file,
                                                 .longest_failure = index.longest_failure,
                                                 .generates = header.job != "score"});
  IndexedDocuments documents(index);
  for (std::size_t i = 0; i < index.documents.size(); ++i) {
    DocumentRecord record = documents.read(index.documents[i]);
    if (lines[i] > 0) record.line = lines[i];
    if (record.id.empty()) record.id = default_id(record.file, lines[i], record.offset);
    writer.add(record);
  }
  std::vector<RunRow> runs;
  for (const JournalFile& journal : index.journals) runs.push_back(run_row(journal));
  CorpusSummary summary = writer.finish(header, runs);
  output.commit();
  summary.results_path = path;
  return summary;
}

}  // namespace tovamill
