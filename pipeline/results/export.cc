#include "pipeline/results/export.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>
#include <vector>

#include "io/results/hdf5_file.h"
#include "kernels/types/error.h"
#include "pipeline/results/csv.h"
#include "pipeline/results/document_rows.h"
#include "pipeline/results/export_generations.h"
#include "pipeline/results/results_writer.h"

namespace tovamill {
namespace {

using Json = nlohmann::ordered_json;

// Calls visit(name, value) for each column: a string, an unsigned or signed number, or a double.
template <class Visit>
void visit_columns(const DocumentRow& r, Visit&& visit) {
  visit("id", r.id);
  visit("file", r.file);
  visit("line", r.line);
  visit("offset", r.offset);
  visit("status", r.status);
  visit("n_bytes", r.n_bytes);
  visit("n_words", r.n_words);
  visit("n_tokens", r.n_tokens);
  visit("n_scored", r.n_scored);
  visit("nll_sum", r.nll_sum);
  visit("nll_sum_sq", r.nll_sum_sq);
  visit("perplexity_token", r.perplexity_token());
  visit("perplexity_word", r.perplexity_word());
  visit("bits_per_byte", r.bits_per_byte());
  visit("positions", r.positions);
  visit("clip_distance", r.clip_distance);
  visit("failure_reason", r.failure_reason);
  visit("failure_text", r.failure_text);
}

struct DocumentTokens {
  std::vector<std::int32_t> ids;
  std::vector<float> nll;
};

class Exporter {
 public:
  Exporter(const std::string& path, const ExportOptions& options, std::ostream& out)
      : path_(path), file_(path, Hdf5File::Mode::read), options_(options), out_(out) {
    check_schema();
    generates_ = file_.exists("/generations/text");
    if (options.tokens && !generates_ &&
        !(file_.exists("/tokens/id") && file_.exists("/tokens/nll")))
      throw Error(ExitCode::usage,
                  "'" + path + "' holds no tokens: run with --token-nll, or leave --tokens out");
  }

  void run() {
    if (generates_)
      export_generations(file_, path_, options_, [&](const std::string& line) { write(line); });
    else
      export_documents();
    out_.flush();
    check_out();
  }

 private:
  void export_documents() {
    const bool csv = options_.format == ExportFormat::csv;
    if (csv) write(options_.tokens ? token_csv_header() : document_csv_header());
    DocumentRows(file_, options_.tokens).each([&](const DocumentRow& row) {
      if (!csv)
        write(json_line(row));
      else if (options_.tokens)
        write_csv_tokens(row);
      else
        write(csv_line(row));
    });
  }

  void check_schema() {
    if (!file_.exists("/documents/id"))
      throw BadData("'" + path_ + "' is an HDF5 file but not of tovamill: it has no /documents");
    for (const auto& [name, value] : file_.attributes("/")) {
      if (name == "schema_version" && value != Hdf5Value(kResultsSchema))
        throw BadData("'" + path_ + "' is of another schema version than " +
                      std::to_string(kResultsSchema) +
                      ": merge its run directory again with this program");
    }
  }

  void check_out() const {
    if (!out_)
      throw Error(ExitCode::io,
                  "writing the export failed: the disk is full or the reader of the pipe is gone");
  }
  void write(const std::string& line) {
    out_ << line << '\n';
    check_out();
  }

  static std::string csv_line(const DocumentRow& row) {
    std::string line;
    bool first = true;
    visit_columns(row, [&](const char*, const auto& value) {
      if (!first) line += ',';
      first = false;
      line += csv_field(value);
    });
    return line;
  }

  DocumentTokens tokens_of(const DocumentRow& row) const {
    if (row.end_token < row.first_token)
      throw BadData("'" + path_ + "': /tokens/offsets do not ascend: the file is damaged");
    const std::uint64_t n = row.end_token - row.first_token;
    return {file_.read<std::int32_t>("/tokens/id", row.first_token, n),
            file_.read<float>("/tokens/nll", row.first_token, n)};
  }

  void write_csv_tokens(const DocumentRow& row) {
    const DocumentTokens tokens = tokens_of(row);
    const std::string front =
        csv_field(row.id) + "," + csv_field(row.file) + "," + digits(row.offset) + ",";
    for (std::size_t i = 0; i < tokens.ids.size(); ++i)
      write(front + digits(i) + "," + digits(tokens.ids[i]) + "," + csv_field(tokens.nll[i]));
  }

  std::string json_line(const DocumentRow& row) const {
    Json object;
    visit_columns(row, [&](const char* name, const auto& value) { object[name] = value; });
    if (options_.tokens) {
      const DocumentTokens tokens = tokens_of(row);
      object["token_ids"] = tokens.ids;
      object["token_nll"] = Json::array();
      for (const float nll : tokens.nll) object["token_nll"].push_back(shortest(nll));
    }
    return object.dump(-1, ' ', false, Json::error_handler_t::replace);  // NaN is null
  }

  // The double whose shortest digits are those of the float: 2.3, not 2.299999952316284.
  static double shortest(float value) {
    if (!std::isfinite(value)) return value;
    const std::string s = digits(value);
    double d = 0.0;
    std::from_chars(s.data(), s.data() + s.size(), d);
    return d;
  }

  std::string path_;
  Hdf5File file_;
  ExportOptions options_;
  bool generates_ = false;
  std::ostream& out_;
};

}  // namespace

ExportFormat export_format_named(std::string_view name) {
  if (name == "csv") return ExportFormat::csv;
  if (name == "jsonl") return ExportFormat::jsonl;
  throw Error(ExitCode::usage,
              "--format '" + std::string(name) + "' is not known: choose csv or jsonl");
}

std::string document_csv_header() {
  std::string line;
  visit_columns(DocumentRow{}, [&](const char* name, const auto&) {
    line.append(line.empty() ? "" : ",").append(name);
  });
  return line;
}

std::string token_csv_header() { return "id,file,offset,token,token_id,nll"; }

void export_results(const std::string& path, const ExportOptions& options, std::ostream& out) {
  Exporter(path, options, out).run();
}

}  // namespace tovamill
