#include "pipeline/results/export.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>
#include <vector>

#include "io/results/csv.h"
#include "io/results/hdf5_file.h"
#include "kernels/types/error.h"
#include "pipeline/probe/probe_results.h"
#include "pipeline/results/document_rows.h"
#include "pipeline/results/export_generations.h"
#include "pipeline/results/results_file.h"
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
      : path_(path),
        whole_(path, Hdf5File::Mode::read),
        file_(whole_, ""),
        options_(options),
        out_(out) {
    check_schema();
    const std::vector<std::string> settings = settings_of_results(whole_);
    if (options.setting.empty()) {
      settings_ = settings;
    } else {
      check_setting(settings);
      file_ = Hdf5File(whole_, "/sweep/" + options.setting);
    }
    const Hdf5File first(whole_, settings.empty() ? "" : "/sweep/" + settings.front());
    generates_ = first.exists("/generations/text");
    if (options.tokens && !generates_ &&
        !(first.exists("/tokens/id") && first.exists("/tokens/nll")))
      throw Error(ExitCode::usage,
                  "'" + path + "' holds no tokens: run with --token-nll, or leave --tokens out");
    if (options.table && !has_analysis_table(first, *options.table))
      throw Error(
          ExitCode::usage,
          "'" + path + "' does not hold this table: score with " +
              (*options.table == AnalysisTable::positions ? "--nll-by-position" : "--analyze"));
  }

  void run() {
    if (options_.probe) return export_probe();
    if (options_.format == ExportFormat::csv)
      write((generates_        ? generation_csv_header(options_.tokens)
             : options_.table  ? analysis_csv_header(*options_.table)
             : options_.tokens ? token_csv_header()
                               : document_csv_header()) +
            (settings_.empty() ? "" : kSettingColumn));
    if (settings_.empty()) export_part();
    for (const std::string& setting : settings_) {
      file_ = Hdf5File(whole_, "/sweep/" + setting);
      column_ = setting;
      export_part();
    }
    out_.flush();
    check_out();
  }

 private:
  void export_probe() {
    std::vector<std::string> names = settings_;
    if (names.empty()) names = {options_.setting};
    std::vector<std::string> lines;
    for (const std::string& name : names) {
      for (std::string& line : probe_csv_lines(read_probe_setting(whole_, name)))
        lines.push_back(std::move(line));
    }
    if (lines.empty())
      throw Error(ExitCode::usage,
                  "--probe: '" + path_ +
                      "' holds no answer to a document of tovamill probe with a reference");
    write(probe_csv_header());
    for (const std::string& line : lines) write(line);
    out_.flush();
    check_out();
  }

  void export_part() {
    if (generates_)
      return export_generations(file_, path_, options_, column_,
                                [&](const std::string& line) { write(line); });
    const bool csv = options_.format == ExportFormat::csv;
    if (options_.table) return export_table(csv);
    DocumentRows(file_, options_.tokens).each([&](const DocumentRow& row) {
      if (!csv)
        write(json_line(row));
      else if (options_.tokens)
        write_csv_tokens(row);
      else
        write(csv_line(row));
    });
  }

  void export_table(bool csv) {
    each_analysis_row(file_, *options_.table, [&](const AnalysisRow& row) {
      std::string line;
      Json object;
      for (const auto& [name, value] : row) {
        std::visit(
            [&, key = name](const auto& v) {
              line += (line.empty() ? "" : ",") + csv_field(v);
              object[key] = v;
            },
            value);
      }
      if (!csv && !column_.empty()) object["setting"] = column_;
      write(csv ? line + csv_setting()
                : object.dump(-1, ' ', false, Json::error_handler_t::replace));
    });
  }

  void check_schema() {
    if (!whole_.exists("/documents/id") && !whole_.exists("/sweep"))
      throw BadData("'" + path_ + "' is an HDF5 file but not of tovamill: it has no /documents");
    for (const auto& [name, value] : whole_.attributes("/")) {
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

  void check_setting(const std::vector<std::string>& settings) const {
    if (std::find(settings.begin(), settings.end(), options_.setting) != settings.end()) return;
    std::string known;
    for (const std::string& name : settings) known += (known.empty() ? "" : ", ") + name;
    throw Error(ExitCode::usage,
                "--setting '" + options_.setting + "': '" + path_ +
                    (settings.empty() ? "' is of no sweep" : "' has the settings " + known));
  }

  // Behind the other columns.
  std::string csv_setting() const { return column_.empty() ? "" : "," + csv_field(column_); }

  std::string csv_line(const DocumentRow& row) const {
    std::string line;
    bool first = true;
    visit_columns(row, [&](const char*, const auto& value) {
      if (!first) line += ',';
      first = false;
      line += csv_field(value);
    });
    return line + csv_setting();
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
      write(front + digits(i) + "," + digits(tokens.ids[i]) + "," + csv_field(tokens.nll[i]) +
            csv_setting());
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
    if (!column_.empty()) object["setting"] = column_;
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
  Hdf5File whole_;
  Hdf5File file_;                      // the part of it that is exported
  std::vector<std::string> settings_;  // of a sweep of which all are
  std::string column_;                 // the one that is being written, of several
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

std::string analysis_csv_header(AnalysisTable table) {
  std::string line;
  for (const auto& [name, value] : empty_row(table))
    line.append(line.empty() ? "" : ",").append(name);
  return line;
}

std::string token_csv_header() { return "id,file,offset,token,token_id,nll"; }

void export_results(const std::string& path, const ExportOptions& options, std::ostream& out) {
  Exporter(path, options, out).run();
}

}  // namespace tovamill
