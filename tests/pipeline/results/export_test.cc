#include "pipeline/results/export.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "io/results/hdf5_file.h"
#include "kernels/types/error.h"
#include "pipeline/results/merge.h"
#include "tests/support/runs/synthetic_run.h"
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

// ---- generated texts ----

std::vector<DocumentRecord> some_texts(int n) {
  std::vector<DocumentRecord> records = some(n, {.generations = true});
  for (std::size_t i = 0; i < records.size(); ++i) records[i].file = "/x", records[i].offset = i;
  return records;
}

std::string results_of_texts(const TemporaryDirectory& d,
                             const std::vector<DocumentRecord>& records) {
  write_journal(d.path(), 0, 1, records);
  ResultsHeader header;
  header.job = "generate";
  return merge_journals(d.path(), scan_journals(d.path()), header).results_path;
}

TEST(ExportJson, IsAnObjectPerTextAndPerFailure) {
  TemporaryDirectory d;
  const auto records = some_texts(200);  // several batches of texts
  std::istringstream lines(
      text_of(results_of_texts(d, records), {.format = ExportFormat::jsonl, .tokens = true}));
  std::string line;
  std::size_t n_texts = 0;
  for (const DocumentRecord& r : records) {
    if (r.status == DocumentRecord::Status::failed) {
      ASSERT_TRUE(std::getline(lines, line));
      EXPECT_EQ(nlohmann::json::parse(line), (nlohmann::json{{"id", r.id},
                                                             {"file", r.file},
                                                             {"line", r.line},
                                                             {"offset", r.offset},
                                                             {"status", "failed"},
                                                             {"failure_reason", r.failure_reason},
                                                             {"failure_text", r.failure_text}}));
    }
    for (const Generation& g : r.generations) {
      ASSERT_TRUE(std::getline(lines, line));
      ++n_texts;
      nlohmann::json wanted{{"id", r.id},
                            {"file", r.file},
                            {"line", r.line},
                            {"offset", r.offset},
                            {"question_index", g.question},
                            {"sample", g.sample},
                            {"prompt_tokens", g.n_prompt_tokens},
                            {"new_tokens", g.n_new_tokens},
                            {"finish_reason", name_of(g.finish_reason)},
                            {"text", g.text},
                            {"prompt_hash", g.prompt_hash},
                            {"token_ids", g.ids}};
      if (!g.question_text.empty()) wanted["question"] = g.question_text;
      if (!g.references.empty()) wanted["references"] = g.references;
      for (std::size_t k = 0; g.scores && k < kTextScoreNames.size(); ++k) {
        wanted[kTextScoreNames[k]] = g.scores->best[k];
        wanted[std::string(kTextScoreNames[k]) + "_mean"] = g.scores->mean[k];
      }
      EXPECT_EQ(nlohmann::json::parse(line), wanted) << line;
      EXPECT_EQ(line.rfind("{\"id\":\"doc", 0), 0u);
    }
  }
  EXPECT_FALSE(std::getline(lines, line)) << line;
  EXPECT_GT(n_texts, 200u);
}

TEST(ExportCsv, OfTextsHasARowForEachTextAndFailure) {
  TemporaryDirectory d;
  const auto records = some_texts(100);
  const std::string path = results_of_texts(d, records);
  const auto plain = parse_csv(text_of(path, {})),
             rows = parse_csv(text_of(path, {.tokens = true}));
  ASSERT_EQ(rows.size(), plain.size());
  const auto column = [&](const std::string& name) {
    const auto at = std::find(rows[0].begin(), rows[0].end(), name);
    EXPECT_NE(at, rows[0].end()) << name;
    return static_cast<std::size_t>(at - rows[0].begin());
  };
  const std::size_t text = column("text"), references = column("references"),
                    rouge1 = column("rouge1"), mean = column("exact_match_mean"),
                    hash = column("prompt_hash"), ids = column("token_ids");
  std::size_t i = 0;
  for (const DocumentRecord& r : records) {
    if (r.status == DocumentRecord::Status::failed) {
      ASSERT_EQ(rows[++i].size(), rows[0].size());
      EXPECT_EQ(rows[i][column("status")], "failed");
      EXPECT_EQ(rows[i][column("failure_reason")], r.failure_reason);
      EXPECT_EQ(rows[i][column("failure_text")], r.failure_text);
      EXPECT_EQ(rows[i][text] + rows[i][rouge1] + rows[i][hash] + rows[i][ids], "");
    }
    for (const Generation& g : r.generations) {
      ASSERT_EQ(rows[++i].size(), rows[0].size());
      EXPECT_EQ(plain[i].size(), rows[0].size() - 1);
      EXPECT_EQ(rows[i][0], r.id);
      EXPECT_EQ(rows[i][column("status")], "generated");
      EXPECT_EQ(rows[i][column("question")], g.question_text);
      EXPECT_EQ(rows[i][column("sample")], std::to_string(g.sample));
      EXPECT_EQ(rows[i][column("new_tokens")], std::to_string(g.n_new_tokens));
      EXPECT_EQ(rows[i][text], g.text);
      EXPECT_EQ(rows[i][references],
                g.references.empty() ? "" : nlohmann::json(g.references).dump());
      EXPECT_EQ(rows[i][rouge1].empty(), !g.scores);
      if (g.scores) {
        EXPECT_EQ(std::stod(rows[i][rouge1]), g.scores->best[0]);
        EXPECT_EQ(std::stod(rows[i][mean]), g.scores->mean[4]);
      }
      EXPECT_EQ(rows[i][hash], g.prompt_hash);
      EXPECT_EQ(rows[i][column("failure_text")], "");
      std::string wanted;
      for (const std::int32_t id : g.ids)
        wanted += (wanted.empty() ? "" : " ") + std::to_string(id);
      EXPECT_EQ(rows[i][ids], wanted);
    }
  }
  EXPECT_EQ(i + 1, rows.size());
}

TEST(Export, OfNoTextsIsEmptyOrTheHeader) {
  TemporaryDirectory d;
  const std::string path = results_of_texts(d, {});
  EXPECT_EQ(text_of(path, {.format = ExportFormat::jsonl}), "");
  EXPECT_EQ(parse_csv(text_of(path, {})).size(), 1u);
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
        "  nll_sum [20] float64, nats:", "/summary\n", "@perplexity_token = ", "  death [3 x ",
        "@ppl_definition = \"natural-log"})
    EXPECT_NE(text.find(wanted), std::string::npos) << wanted << "\n" << text;
  TemporaryDirectory e;
  EXPECT_EQ(describe_results(results_of(e, {})).rfind("A complete run.", 0), 0u);
}

TEST(Describe, TellsOfTexts) {
  TemporaryDirectory d;
  Generation text;
  text.references = {"a"};
  text.n_new_tokens = 2;
  text.ids = {1, 2};
  text.scores.emplace();
  text.scores->best = {0.5, 0.25, 0.125, 0.0, 1.0};
  std::vector<DocumentRecord> records = some_texts(2);
  for (DocumentRecord& r : records) r.generations = {text};
  records[1].generations[0].finish_reason = FinishReason::stop;
  const std::string shown = describe_results(results_of_texts(d, records));
  for (const char* wanted :
       {"2 texts with 4 new tokens (finish reasons: stop 1, length 1).\n",
        "mean of 2 texts (standard error over documents): rouge1 0.5000 (0.0000), rouge2 0.2500",
        "exact_match 1.0000 (0.0000)\n", "@job = \"generate\"", "@n_generations = 2",
        "  text [2] string: reference that"})
    EXPECT_NE(shown.find(wanted), std::string::npos) << wanted << "\n" << shown;
}

}  // namespace
}  // namespace tovamill
