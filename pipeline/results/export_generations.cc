#include "pipeline/results/export_generations.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "io/results/csv.h"
#include "kernels/types/error.h"
#include "pipeline/results/document_rows.h"
#include "pipeline/results/generation_json.h"

namespace tovamill {
namespace {

constexpr std::uint64_t kTextBatch = 64;  // texts read at a time: each may be long

struct GenerationRow {
  std::uint64_t document = 0;  // row of /documents
  Generation generation;
};

// The rows of /generations with their references and, if wanted, ids, from front to back.
class GenerationRows {
 public:
  GenerationRows(const Hdf5File& file, const std::string& path, bool ids)
      : file_(file), path_(path), ids_(ids), n_(file.shape("/generations/text").at(0)) {}

  // The next row, nothing behind the last; holds until the next call of `advance`.
  const GenerationRow* next() {
    if (at_ == rows_.size()) {
      rows_ = read(n_read_, std::min(kTextBatch, n_ - n_read_));
      n_read_ += rows_.size();
      at_ = 0;
    }
    return rows_.empty() ? nullptr : &rows_[at_];
  }
  void advance() { ++at_; }

  [[noreturn]] void fail(const std::string& what) const {
    throw BadData("'" + path_ + "': " + what + ": the file is damaged");
  }

 private:
  std::vector<GenerationRow> read(std::uint64_t first, std::uint64_t n) const {
    std::vector<GenerationRow> rows(n);
    const auto texts = [&](const char* name, auto&& set) {
      auto values = file_.read_strings(std::string("/generations/") + name, first, n);
      for (std::uint64_t i = 0; i < n; ++i) set(rows[i], std::move(values[i]));
    };
    const auto counts = [&](const char* name, auto&& set) {
      const auto values = file_.read<std::uint64_t>(std::string("/generations/") + name, first, n);
      for (std::uint64_t i = 0; i < n; ++i) set(rows[i], values[i]);
    };
    using Row = GenerationRow;
    texts("question_text", [](Row& r, const auto& s) { r.generation.question_text = s; });
    texts("text", [](Row& r, const auto& s) { r.generation.text = s; });
    texts("prompt_hash", [](Row& r, const auto& s) { r.generation.prompt_hash = s; });
    texts("finish_reason", [&](Row& r, const auto& s) { r.generation.finish_reason = reason(s); });
    counts("document", [](Row& r, std::uint64_t v) { r.document = v; });
    counts("n_prompt_tokens", [](Row& r, std::uint64_t v) { r.generation.n_prompt_tokens = v; });
    counts("n_new_tokens", [](Row& r, std::uint64_t v) { r.generation.n_new_tokens = v; });
    counts("question",
           [](Row& r, std::uint64_t v) { r.generation.question = static_cast<std::uint32_t>(v); });
    counts("sample",
           [](Row& r, std::uint64_t v) { r.generation.sample = static_cast<std::uint32_t>(v); });
    if (n > 0) add_parts(rows, first);
    return rows;
  }

  // Reads the ragged columns and the scores.
  void add_parts(std::vector<GenerationRow>& rows, std::uint64_t first) const {
    add_scores(rows, first);
    const auto at = offsets("reference_offsets", first, rows.size());
    const auto references = file_.read_strings("/references/text", at.front(), at.back() - at[0]);
    for (std::size_t i = 0; i < rows.size(); ++i)
      rows[i].generation.references.assign(
          references.begin() + static_cast<std::ptrdiff_t>(at[i] - at[0]),
          references.begin() + static_cast<std::ptrdiff_t>(at[i + 1] - at[0]));
    if (!ids_) return;
    const auto token = offsets("token_offsets", first, rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i)
      rows[i].generation.ids =
          file_.read<std::int32_t>("/generations/token_id", token[i], token[i + 1] - token[i]);
  }

  void add_scores(std::vector<GenerationRow>& rows, std::uint64_t first) const {
    const auto scores = [&](const std::string& path, auto values) {
      const auto column = file_.read<double>(path, first, rows.size());
      for (std::size_t i = 0; i < rows.size(); ++i) {
        if (std::isnan(column[i])) continue;  // without references
        if (!rows[i].generation.scores) rows[i].generation.scores.emplace();
        values(*rows[i].generation.scores) = column[i];
      }
    };
    for (std::size_t k = 0; k < kTextScoreNames.size(); ++k) {
      const std::string path = std::string("/generations/") + kTextScoreNames[k];
      scores(path, [k](TextScores& s) -> double& { return s.best[k]; });
      scores(path + "_mean", [k](TextScores& s) -> double& { return s.mean[k]; });
    }
  }

  std::vector<std::uint64_t> offsets(const std::string& name, std::uint64_t first,
                                     std::uint64_t n) const {
    auto values = file_.read<std::uint64_t>("/generations/" + name, first, n + 1);
    if (!std::is_sorted(values.begin(), values.end()))
      fail("/generations/" + name + " do not ascend");
    return values;
  }

  FinishReason reason(const std::string& name) const {
    for (const FinishReason r : {FinishReason::stop, FinishReason::length}) {
      if (name == name_of(r)) return r;
    }
    fail("/generations/finish_reason holds '" + name + "'");
  }

  const Hdf5File& file_;
  std::string path_;
  bool ids_;
  std::uint64_t n_, n_read_ = 0;
  std::vector<GenerationRow> rows_;
  std::size_t at_ = 0;
};

// ---- CSV ----

}  // namespace

std::string generation_csv_header(bool ids) {
  std::string line =
      "id,file,line,offset,status,question,question_index,sample,prompt_tokens,new_tokens,"
      "finish_reason,text,references";
  for (const char* name : kTextScoreNames) line.append(",").append(name);
  for (const char* name : kTextScoreNames) line.append(",").append(name).append("_mean");
  return line + ",prompt_hash,failure_reason,failure_text" + (ids ? ",token_ids" : "");
}

namespace {

std::string csv_front(const DocumentRow& row) {
  return csv_field(row.id) + "," + csv_field(row.file) + "," + digits(row.line) + "," +
         digits(row.offset) + "," + row.status;
}

std::string csv_line(const DocumentRow& row, const Generation& g, bool ids) {
  std::string line = csv_front(row) + "," + csv_field(g.question_text);
  for (const std::uint64_t n :
       {std::uint64_t{g.question}, std::uint64_t{g.sample}, g.n_prompt_tokens, g.n_new_tokens})
    line += "," + digits(n);
  line.append(",").append(name_of(g.finish_reason)).append(",").append(csv_field(g.text));
  line += ",";
  if (!g.references.empty()) line += csv_field(json_line(g.references));
  const TextScores scores = g.scores.value_or(TextScores{});
  for (const auto* values : {&scores.best, &scores.mean}) {
    for (const double x : *values) line += "," + (g.scores ? csv_field(x) : std::string());
  }
  line += "," + g.prompt_hash + ",,";
  if (!ids) return line;
  line += ",";
  for (std::size_t i = 0; i < g.ids.size(); ++i) line += (i > 0 ? " " : "") + digits(g.ids[i]);
  return line;
}

std::string csv_failure(const DocumentRow& row, bool ids) {
  // Between status and failure_reason: 8 columns, the scores, prompt_hash.
  const std::size_t n_empty = 8 + 2 * kTextScoreNames.size() + 1;
  return csv_front(row) + std::string(n_empty + 1, ',') + csv_field(row.failure_reason) + "," +
         csv_field(row.failure_text) + (ids ? "," : "");
}

TextPlace place_of(const DocumentRow& row) {
  return {.id = row.id, .file = row.file, .line = row.line, .offset = row.offset};
}

}  // namespace

void export_generations(const Hdf5File& file, const std::string& path, const ExportOptions& options,
                        const std::string& setting,
                        const std::function<void(const std::string&)>& write) {
  const bool csv = options.format == ExportFormat::csv, ids = options.tokens;
  const std::string column = setting.empty() ? "" : "," + csv_field(setting);
  const auto write_object = [&](nlohmann::ordered_json object) {
    if (!setting.empty()) object["setting"] = setting;
    write(json_line(object));
  };
  GenerationRows generations(file, path, ids);
  std::uint64_t n_documents = 0;
  DocumentRows(file, false).each([&](const DocumentRow& row) {
    const std::uint64_t document = n_documents++;
    if (row.failed() && csv) write(csv_failure(row, ids) + column);
    if (row.failed() && !csv)
      write_object(failure_object(place_of(row), row.failure_reason, row.failure_text));
    for (const GenerationRow* g = nullptr; (g = generations.next()) && g->document == document;
         generations.advance()) {
      if (csv)
        write(csv_line(row, g->generation, ids) + column);
      else
        write_object(generation_object(place_of(row), g->generation, ids));
    }
  });
  if (generations.next()) generations.fail("/generations/document does not ascend");
}

}  // namespace tovamill
