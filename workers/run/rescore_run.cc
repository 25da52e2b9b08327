#include "workers/run/rescore_run.h"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "io/corpus/record_reader.h"
#include "io/files/durable.h"
#include "io/files/output_file.h"
#include "io/results/hdf5_file.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "kernels/types/version.h"
#include "pipeline/results/generation_datasets.h"
#include "pipeline/results/results_file.h"
#include "pipeline/results/results_writer.h"
#include "workers/documents/text_scores.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kBatch = 64;  // texts read at a time: each may be long
using Texts = std::vector<std::string>;

// ---- other references ----

class ReferenceFile {
 public:
  explicit ReferenceFile(const RescoreOptions& o) : path_(o.references), key_(o.reference_key) {
    CorpusOptions options;
    options.paths = {path_};
    options.id_key = o.id_key;
    options.reference_key = key_;
    options.only_references = true;
    const std::vector<CorpusFile> files = list_corpus(options);
    if (files.size() > 1)
      throw Error(ExitCode::usage,
                  "--references " + path_ + " is " + counted(files.size(), "file") + ": give one");
    const CorpusFile& file = files.front();
    if (file.format.is_one_record())
      throw Error(ExitCode::usage,
                  "--references " + path_ + " is no .jsonl: give a file with a record per line");
    const auto records = open_records(file, options);
    for (CorpusRecord record; records->next(record); record = {}) add(record);
  }

  // The references of each of the document's questions; nothing where the file does not know it.
  std::optional<std::vector<Texts>> of(const std::string& id, std::size_t n_questions) const {
    const auto found = of_id_.find(id);
    if (found == of_id_.end()) return std::nullopt;
    const std::vector<Texts>& lists = found->second.lists;
    if (lists.empty()) return std::vector<Texts>(n_questions);
    if (lists.size() == n_questions) return lists;
    if (lists.size() > 1 || lists.front().size() != n_questions)
      fail(found->second.line, "the key '" + key_ + "' does not hold one entry for each of the " +
                                   std::to_string(n_questions) + " questions of '" + id + "'");
    std::vector<Texts> each;
    for (const std::string& reference : lists.front()) each.push_back({reference});
    return each;
  }

 private:
  struct Entry {
    std::vector<Texts> lists;  // one that may stand for several questions, or one of each
    std::uint64_t line = 0;
  };

  void add(CorpusRecord& record) {
    if (!record.ok()) fail(record.line, record.failure_text);
    const bool is_new =
        of_id_.emplace(record.id, Entry{std::move(record.references), record.line}).second;
    if (!is_new) fail(record.line, "another record before has the id '" + record.id + "', too");
  }

  [[noreturn]] void fail(std::uint64_t line, const std::string& what) const {
    throw BadData("--references " + path_ + ", line " + std::to_string(line) + ": " + what);
  }

  std::string path_, key_;
  std::unordered_map<std::string, Entry> of_id_;
};

// ---- the texts ----

class Rescorer {
 public:
  Rescorer(const std::string& path, const RescoreOptions& options)
      : options_(options), file_(path, Hdf5File::Mode::edit) {
    if (file_.exists("/sweep"))
      throw BadData("'" + options.results +
                    "' is of a sweep: rescore takes the results of a run without --sweep");
    if (!file_.exists("/generations/text") || !file_.exists("/references/text"))
      throw BadData("'" + options.results +
                    "' holds no generated texts: give the results of summarize or generate");
    n_ = file_.shape("/generations/text").at(0);
    document_ = file_.read<std::uint64_t>("/generations/document", 0, n_);
    question_ = file_.read<std::uint64_t>("/generations/question", 0, n_);
    if (!std::is_sorted(document_.begin(), document_.end()))
      throw BadData("'" + options.results + "': /generations/document does not ascend: the file " +
                    "is damaged");
  }

  Rescored run() {
    if (!options_.references.empty()) take_other_references();
    offsets_ = file_.read<std::uint64_t>("/generations/reference_offsets", 0, n_ + 1);
    if (!std::is_sorted(offsets_.begin(), offsets_.end()))
      throw BadData("'" + options_.results +
                    "': /generations/reference_offsets do not ascend: " + "the file is damaged");
    if (offsets_.back() == offsets_.front()) fail_without_references();
    for (std::uint64_t first = 0; first < n_; first += kBatch) score_rows(first);
    add_document();
    const CorpusSummary summary = builder_.finish();
    write_text_summary(file_, summary);
    file_.set_attribute("/", "text_scores_definition", text_scores_definition(options_.stems));
    file_.set_attribute("/", "history", history());
    Rescored result{.summary = whole_summary(summary), .n_unmatched = n_unmatched_};
    file_.close();
    return result;
  }

 private:
  void take_other_references() {
    const ReferenceFile others(options_);
    const Texts ids = file_.read_strings("/generations/id", 0, n_);
    std::vector<Texts> of_rows(n_);
    for (std::size_t i = 0, end = 0; i < n_; i = end) {  // document by document
      end = i;
      std::uint64_t last = 0;
      for (; end < n_ && document_[end] == document_[i]; ++end)
        last = std::max(last, question_[end]);
      if (last >= end - i)
        throw BadData("'" + options_.results + "': /generations/question leaves out questions of " +
                      ids[i] + ": the file is damaged");
      const auto found = others.of(ids[i], static_cast<std::size_t>(last) + 1);
      n_unmatched_ += !found;
      for (std::size_t row = i; found && row < end; ++row)
        of_rows[row] = (*found)[static_cast<std::size_t>(question_[row])];
    }
    replace_references(file_, of_rows);
  }

  void score_rows(std::uint64_t first) {
    const std::uint64_t n = std::min(kBatch, n_ - first);
    const Texts texts = file_.read_strings("/generations/text", first, n);
    const Texts reasons = file_.read_strings("/generations/finish_reason", first, n);
    const auto n_new = file_.read<std::uint64_t>("/generations/n_new_tokens", first, n);
    std::vector<std::optional<TextScores>> scores(n);
    std::vector<Texts> references(n);
    for (std::uint64_t i = 0; i < n; ++i) {
      const std::uint64_t begin = offsets_[first + i], end = offsets_[first + i + 1];
      references[i] = file_.read_strings("/references/text", begin, end - begin);
      if (!references[i].empty()) scores[i] = score_text(texts[i], references[i], options_.stems);
      if (first + i > 0 && document_[first + i] != document_[first + i - 1]) add_document();
      Generation& g = in_flight_.generations.emplace_back();
      g.n_new_tokens = n_new[i];
      g.finish_reason =
          reasons[i] == name_of(FinishReason::stop) ? FinishReason::stop : FinishReason::length;
      g.scores = scores[i];
      g.references = std::move(references[i]);
    }
    overwrite_scores(file_, first, scores);
  }

  void add_document() {
    builder_.add(in_flight_);
    in_flight_.generations.clear();
  }

  [[noreturn]] void fail_without_references() const {
    throw BadData(options_.references.empty()
                      ? "'" + options_.results +
                            "' holds no references to compare its texts with: give --references "
                            "FILE, or --reference-key to the run"
                      : "--references " + options_.references +
                            " has references for none of the texts: are --id-key and "
                            "--reference-key right?");
  }

  // A line more than there were.
  std::string history() const {
    std::string lines;
    for (const auto& [name, value] : file_.attributes("/")) {
      if (const auto* text = std::get_if<std::string>(&value); text && name == "history")
        lines = *text;
    }
    const std::time_t now = std::time(nullptr);
    char when[32];
    std::tm utc{};
    gmtime_r(&now, &utc);
    std::strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return lines + "rescored at " + when + " by tovamill " + program_version() +
           (options_.stems ? ", with stems" : ", without stems") +
           (options_.references.empty() ? "" : ", references of " + options_.references) + "\n";
  }

  // What /summary says of the documents, beside the texts.
  RunSummary whole_summary(CorpusSummary summary) const {
    summary.generates = true;
    for (const auto& [name, value] : file_.attributes("/summary")) {
      const auto* count = std::get_if<std::int64_t>(&value);
      if (name == "mean_attended" && std::holds_alternative<double>(value))
        summary.mean_attended = std::get<double>(value);
      for (const auto& [wanted, field] : {std::pair{"n_documents", &CorpusSummary::n_documents},
                                          std::pair{"n_failed", &CorpusSummary::n_failed},
                                          std::pair{"n_tokens", &CorpusSummary::n_tokens},
                                          std::pair{"n_words", &CorpusSummary::n_words},
                                          std::pair{"n_bytes", &CorpusSummary::n_bytes}})
        if (count && name == wanted) summary.*field = static_cast<std::uint64_t>(*count);
    }
    return summary_of(summary);
  }

  const RescoreOptions& options_;
  Hdf5File file_;
  std::uint64_t n_ = 0;                             // texts
  std::vector<std::uint64_t> document_, question_;  // of each
  std::vector<std::uint64_t> offsets_;              // (n_ + 1), into /references
  std::uint64_t n_unmatched_ = 0;
  DocumentRecord in_flight_;  // its texts so far
  SummaryBuilder builder_{true};
};

void copy(const std::string& from, const std::string& to) {
  std::error_code error;
  if (!fs::is_regular_file(from, error))
    throw Error(ExitCode::no_input, "the file '" + from + "' does not exist");
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  if (error)
    throw Error(code_of_failure(error.value(), ExitCode::cannot_create),
                "cannot write '" + to + "': " + why_io_failed(error.value()));
}

}  // namespace

Rescored rescore(const RescoreOptions& options) {
  const std::string out = options.out.empty() ? options.results : options.out;
  InputFiles inputs;
  inputs.add("the file of --references", options.references);
  if (!options.out.empty()) inputs.add("the file of results", options.results);
  OutputRules rules{.option = "--out",
                    .kind = "a results.h5 of this program",
                    .is_ours = is_results_file,
                    .inputs = &inputs,
                    .must_be_regular = true};
  if (options.out.empty()) rules.is_ours = {};  // what is wrong with it is said where it is read
  OutputFile output(out, rules);
  copy(options.results, output.temporary_path());
  Rescored result = Rescorer(output.temporary_path(), options).run();
  output.commit();
  result.summary.results_path = out;
  return result;
}

}  // namespace tovamill
