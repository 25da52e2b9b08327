#include "pipeline/export.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "io/hdf5_file.h"
#include "kernels/error.h"
#include "pipeline/merge.h"
#include "tests/support/synthetic_run.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::synthetic_document;
using testing::SyntheticOptions;
using testing::TemporaryDirectory;
using testing::write_journal;

std::string results_of(const TemporaryDirectory& d, const std::vector<DocumentRecord>& records,
                       bool complete = true) {
  write_journal(d.path(), 0, 1, records);
  ResultsHeader header;
  header.complete = complete;
  return merge_journals(d.path(), scan_journals(d.path()), header).results_path;
}

std::vector<DocumentRecord> some(int n, const SyntheticOptions& options = {}) {
  std::vector<DocumentRecord> records;
  for (int i = 0; i < n; ++i) records.push_back(synthetic_document(i, options));
  return records;
}

std::string text_of(const std::string& path, const ExportOptions& options) {
  std::ostringstream out;
  export_results(path, options, out);
  return out.str();
}

// RFC 4180, strictly.
std::vector<std::vector<std::string>> parse_csv(const std::string& text) {
  std::vector<std::vector<std::string>> rows(1, std::vector<std::string>(1));
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"')
      rows.back().back() += text[++i];
    else if (c == '"')
      quoted = !quoted;
    else if (!quoted && c == ',')
      rows.back().emplace_back();
    else if (!quoted && c == '\n')
      rows.emplace_back(1);
    else
      rows.back().back() += c;
  }
  EXPECT_FALSE(quoted);
  EXPECT_EQ(rows.back(), std::vector<std::string>(1));
  rows.pop_back();
  return rows;
}

TEST(ExportCsv, QuotesAndKeepsEveryDigit) {
  TemporaryDirectory d;
  DocumentRecord scored = synthetic_document(1);
  scored.file = "/a";
  scored.offset = 1;
  scored.id = "a,\"b\"\r\nc";
  scored.nll_sum = 0.1 + 0.2;
  scored.n_scored = 3;
  DocumentRecord failed = synthetic_document(3);
  failed.file = "/a";
  failed.offset = 2;
  const auto rows = parse_csv(text_of(results_of(d, {scored, failed}), {}));
  ASSERT_EQ(rows.size(), 3u);
  for (const auto& row : rows) EXPECT_EQ(row.size(), 18u);
  EXPECT_EQ(rows[0][0], "id");
  EXPECT_EQ(rows[1][0], scored.id);
  EXPECT_EQ(rows[1][9], "0.30000000000000004");
  EXPECT_EQ(rows[0][11], "perplexity_token");
  EXPECT_NEAR(std::stod(rows[1][11]), std::exp(0.1), 1e-12);
  EXPECT_EQ(rows[2][4], "failed");
  EXPECT_EQ(rows[2][9], "");
  EXPECT_EQ(rows[2][16], "invalid-json");
  EXPECT_EQ(rows[2][17], failed.failure_text);
}

TEST(ExportCsv, OfManyBatchesJoinsTheFailures) {
  TemporaryDirectory d;
  const auto rows = parse_csv(text_of(results_of(d, some(9000, {.n_layers = 1})), {}));
  ASSERT_EQ(rows.size(), 9001u);
  std::size_t n_failed = 0;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const bool failed = rows[i][4] == "failed";
    n_failed += failed;
    ASSERT_EQ(rows[i][17].empty(), !failed);
    if (failed) {
      ASSERT_EQ(rows[i][17].rfind(rows[i][1] + ":" + rows[i][2] + ":", 0), 0u)
          << "the text of another document";
    }
  }
  EXPECT_EQ(n_failed, 900u);
}

TEST(ExportCsv, OfTokensHasARowForEach) {
  TemporaryDirectory d;
  const DocumentRecord r = synthetic_document(2, {.tokens = true});
  const auto rows = parse_csv(text_of(results_of(d, {r, synthetic_document(3)}), {.tokens = true}));
  ASSERT_EQ(rows.size(), r.n_tokens + 1);
  EXPECT_EQ(rows[1][5], "");  // context only
  for (std::size_t t = 1; t < r.n_tokens; ++t) {
    EXPECT_EQ(rows[t + 1][3], std::to_string(t));
    EXPECT_EQ(rows[t + 1][4], std::to_string(r.token_ids[t]));
    EXPECT_EQ(std::stof(rows[t + 1][5]), r.token_nll[t]);
  }
}

TEST(ExportJson, IsAnObjectPerDocument) {
  TemporaryDirectory d;
  auto records = some(50, {.tokens = true});
  for (std::size_t i = 0; i < records.size(); ++i)
    records[i].file = "/x\xff", records[i].offset = i;
  std::istringstream lines(
      text_of(results_of(d, records), {.format = ExportFormat::jsonl, .tokens = true}));
  std::size_t n = 0;
  for (std::string line; std::getline(lines, line); ++n) {
    const auto o = nlohmann::json::parse(line);
    const DocumentRecord& r = records[n];
    const bool failed = r.status == DocumentRecord::Status::failed;
    EXPECT_EQ(o["id"], r.id);
    EXPECT_EQ(o["file"], "/x\xef\xbf\xbd");
    EXPECT_EQ(o["status"], failed ? "failed" : "scored");
    EXPECT_EQ(o["nll_sum"].is_null(), failed);
    EXPECT_EQ(o["failure_reason"], r.failure_reason);
    EXPECT_EQ(o["token_ids"], nlohmann::json(r.token_ids));
    if (!failed) {
      EXPECT_TRUE(o["token_nll"][0].is_null());
      EXPECT_EQ(o["nll_sum"].get<double>(), r.nll_sum);
    }
    for (std::size_t t = 1; t < r.n_tokens; ++t)
      EXPECT_EQ(static_cast<float>(o["token_nll"][t].get<double>()), r.token_nll[t]);
  }
  EXPECT_EQ(n, records.size());
}

TEST(Export, SaysWhatIsMissing) {
  TemporaryDirectory d;
  const std::string path = results_of(d, some(5));
  const auto code_of = [](auto&& act) {
    try {
      act();
    } catch (const Error& e) {
      return e.code();
    }
    return ExitCode::done;
  };
  EXPECT_EQ(code_of([&] { text_of(path, {.tokens = true}); }), ExitCode::usage);
  EXPECT_EQ(code_of([&] { text_of(d.path() / "none.h5", {}); }), ExitCode::no_input);
  EXPECT_EQ(code_of([&] { text_of(d.write("x.h5", "text"), {}); }), ExitCode::bad_data);
  EXPECT_EQ(code_of([] { export_format_named("xml"); }), ExitCode::usage);
  const std::string other = d.path() / "other.h5";
  Hdf5File(other, Hdf5File::Mode::create).close();
  EXPECT_EQ(code_of([&] { text_of(other, {}); }), ExitCode::bad_data);
  EXPECT_EQ(code_of([&] {
              std::ofstream full("/dev/full");
              export_results(path, {}, full);
            }),
            ExitCode::io);
}

TEST(Export, StopsWhenTheReaderIsGone) {
  TemporaryDirectory d;
  const std::string path = results_of(d, some(3000, {.n_layers = 1}));
  // A sink that takes 1,000 bytes, as a pipe whose reader leaves.
  struct Sink : std::streambuf {
    std::size_t n = 0;
    std::streamsize xsputn(const char*, std::streamsize m) override {
      return (n += static_cast<std::size_t>(m)) < 1000 ? m : 0;
    }
    int overflow(int c) override { return ++n < 1000 ? c : EOF; }
  } sink;
  std::ostream out(&sink);
  EXPECT_THROW(export_results(path, {}, out), Error);
  EXPECT_LT(sink.n, 3000u);
}

TEST(Describe, NamesGroupsShapesAndCompleteness) {
  TemporaryDirectory d;
  const std::string text = describe_results(results_of(d, some(20, {.trace = true}), false));
  for (const char* wanted :
       {"An incomplete run", "@complete = 0", "/documents\n", "  id [20] string of",
        "  nll_sum [20] float64, nats:", "/summary\n", "@perplexity_token = ", "  death [3, ",
        "@ppl_definition = \"natural-log"})
    EXPECT_NE(text.find(wanted), std::string::npos) << wanted << "\n" << text;
  TemporaryDirectory e;
  EXPECT_EQ(describe_results(results_of(e, {})).rfind("A complete run.", 0), 0u);
}

}  // namespace
}  // namespace tovamill
