#include "pipeline/export.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <numbers>
#include <optional>
#include <ostream>
#include <vector>

#include "io/hdf5_file.h"
#include "kernels/error.h"
#include "pipeline/results_writer.h"

namespace tovamill {
namespace {

using json = nlohmann::ordered_json;

constexpr std::uint64_t kBatch = 4096;  // documents read at a time

struct Row {
  std::string id, file, positions, status, failure_reason, failure_text;
  std::uint64_t line = 0, offset = 0, n_bytes = 0, n_words = 0, n_tokens = 0, n_scored = 0;
  std::int32_t clip_distance = 0;
  double nll_sum = 0.0, nll_sum_sq = 0.0;
  std::uint64_t first_token = 0, end_token = 0;

  bool failed() const { return status == "failed"; }
  double per(std::uint64_t n) const {
    return n > 0 ? nll_sum / static_cast<double>(n) : std::nan("");
  }
};

// Calls visit(name, value) for each column: a string, an unsigned or signed number, or a double.
template <class Visit>
void visit_columns(const Row& r, Visit&& visit) {
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
  visit("perplexity_token", std::exp(r.per(r.n_scored)));
  visit("perplexity_word", std::exp(r.per(r.n_words)));
  visit("bits_per_byte", r.per(r.n_bytes) / std::numbers::ln2);
  visit("positions", r.positions);
  visit("clip_distance", r.clip_distance);
  visit("failure_reason", r.failure_reason);
  visit("failure_text", r.failure_text);
}

// The rows of /documents joined with those of /failures, which stand in the same order.
class Rows {
 public:
  Rows(const Hdf5File& file, bool tokens)
      : file_(file), tokens_(tokens), n_(file.shape("/documents/id").at(0)) {}

  void each(const std::function<void(const Row&)>& visit) {
    for (std::uint64_t first = 0; first < n_; first += kBatch) {
      for (const Row& row : read(first, std::min(kBatch, n_ - first))) visit(row);
    }
  }

 private:
  std::vector<Row> read(std::uint64_t first, std::uint64_t n) {
    std::vector<Row> rows(n);
    const auto texts = [&](const char* name, std::string Row::*field) {
      auto values = file_.read_strings(std::string("/documents/") + name, first, n);
      for (std::uint64_t i = 0; i < n; ++i) rows[i].*field = std::move(values[i]);
    };
    const auto numbers = [&]<class T>(const char* name, T Row::*field) {
      const auto values = file_.read<T>(std::string("/documents/") + name, first, n);
      for (std::uint64_t i = 0; i < n; ++i) rows[i].*field = values[i];
    };
    texts("id", &Row::id);
    texts("file", &Row::file);
    texts("positions", &Row::positions);
    texts("status", &Row::status);
    numbers("line", &Row::line);
    numbers("offset", &Row::offset);
    numbers("n_bytes", &Row::n_bytes);
    numbers("n_words", &Row::n_words);
    numbers("n_tokens", &Row::n_tokens);
    numbers("n_scored", &Row::n_scored);
    numbers("clip_distance", &Row::clip_distance);
    numbers("nll_sum", &Row::nll_sum);
    numbers("nll_sum_sq", &Row::nll_sum_sq);
    if (tokens_) {
      const auto offsets = file_.read<std::uint64_t>("/tokens/offsets", first, n + 1);
      for (std::uint64_t i = 0; i < n; ++i)
        rows[i].first_token = offsets[i], rows[i].end_token = offsets[i + 1];
    }
    add_failures(rows);
    return rows;
  }

  void add_failures(std::vector<Row>& rows) {
    const auto n = static_cast<std::uint64_t>(
        std::count_if(rows.begin(), rows.end(), [](auto& r) { return r.failed(); }));
    auto reasons = file_.read_strings("/failures/reason", n_failures_, n);
    auto texts = file_.read_strings("/failures/text", n_failures_, n);
    n_failures_ += n;
    std::size_t i = 0;
    for (Row& row : rows) {
      if (!row.failed()) continue;
      row.failure_reason = std::move(reasons[i]);
      row.failure_text = std::move(texts[i++]);
    }
  }

  const Hdf5File& file_;
  bool tokens_;
  std::uint64_t n_;
  std::uint64_t n_failures_ = 0;
};

template <class Number>
std::string digits(Number value) {
  char buffer[64];
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

// A field of RFC 4180: quoted where it holds a quote, a comma or a line break.
std::string csv_field(const std::string& s) {
  if (s.find_first_of("\",\r\n") == std::string::npos) return s;
  std::string quoted = "\"";
  for (const char c : s) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + "\"";
}
std::string csv_field(double v) { return std::isnan(v) ? "" : digits(v); }
std::string csv_field(float v) { return std::isnan(v) ? "" : digits(v); }
template <class Integer>
requires std::is_integral_v<Integer> std::string csv_field(Integer v) { return digits(v); }

struct DocumentTokens {
  std::vector<std::int32_t> ids;
  std::vector<float> nll;
};

class Exporter {
 public:
  Exporter(const std::string& path, const ExportOptions& options, std::ostream& out)
      : path_(path), file_(path, Hdf5File::Mode::read), options_(options), out_(out) {
    check_schema();
    if (options.tokens && !(file_.exists("/tokens/id") && file_.exists("/tokens/nll")))
      throw Error(ExitCode::usage,
                  "'" + path + "' holds no tokens: run with --token-nll, or leave --tokens out");
  }

  void run() {
    const bool csv = options_.format == ExportFormat::csv;
    if (csv) write(options_.tokens ? "id,file,offset,token,token_id,nll" : csv_header());
    Rows(file_, options_.tokens).each([&](const Row& row) {
      if (!csv)
        write(json_line(row));
      else if (options_.tokens)
        write_csv_tokens(row);
      else
        write(csv_line(row));
    });
    out_.flush();
    check_out();
  }

 private:
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

  static std::string csv_header() {
    std::string line;
    visit_columns(Row{}, [&](const char* name, const auto&) {
      line.append(line.empty() ? "" : ",").append(name);
    });
    return line;
  }
  static std::string csv_line(const Row& row) {
    std::string line;
    bool first = true;
    visit_columns(row, [&](const char*, const auto& value) {
      if (!first) line += ',';
      first = false;
      line += csv_field(value);
    });
    return line;
  }

  DocumentTokens tokens_of(const Row& row) const {
    if (row.end_token < row.first_token)
      throw BadData("'" + path_ + "': /tokens/offsets do not ascend: the file is damaged");
    const std::uint64_t n = row.end_token - row.first_token;
    return {file_.read<std::int32_t>("/tokens/id", row.first_token, n),
            file_.read<float>("/tokens/nll", row.first_token, n)};
  }

  void write_csv_tokens(const Row& row) {
    const DocumentTokens tokens = tokens_of(row);
    const std::string front =
        csv_field(row.id) + "," + csv_field(row.file) + "," + digits(row.offset) + ",";
    for (std::size_t i = 0; i < tokens.ids.size(); ++i)
      write(front + digits(i) + "," + digits(tokens.ids[i]) + "," + csv_field(tokens.nll[i]));
  }

  std::string json_line(const Row& row) const {
    json object;
    visit_columns(row, [&](const char* name, const auto& value) { object[name] = value; });
    if (options_.tokens) {
      const DocumentTokens tokens = tokens_of(row);
      object["token_ids"] = tokens.ids;
      object["token_nll"] = json::array();
      for (const float nll : tokens.nll) object["token_nll"].push_back(shortest(nll));
    }
    return object.dump(-1, ' ', false, json::error_handler_t::replace);  // NaN is null
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
  std::ostream& out_;
};

}  // namespace

ExportFormat export_format_named(std::string_view name) {
  if (name == "csv") return ExportFormat::csv;
  if (name == "jsonl") return ExportFormat::jsonl;
  throw Error(ExitCode::usage,
              "--format '" + std::string(name) + "' is not known: choose csv or jsonl");
}

void export_results(const std::string& path, const ExportOptions& options, std::ostream& out) {
  Exporter(path, options, out).run();
}

}  // namespace tovamill
