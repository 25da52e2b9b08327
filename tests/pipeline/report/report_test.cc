#include "pipeline/report/report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

#include "io/files/utf8.h"
#include "kernels/types/format.h"
#include "pipeline/report/html.h"
#include "pipeline/results/export.h"
#include "pipeline/results/merge.h"
#include "tests/support/error_of.h"
#include "tests/support/runs/synthetic_run.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::synthetic_document;
using testing::synthetic_documents;
using testing::synthetic_header;
using testing::TemporaryDirectory;
using testing::write_journal;

struct MergedRun {
  std::string results;
  CorpusSummary summary;
};

MergedRun merge(const std::string& directory, const std::vector<DocumentRecord>& records,
                const ResultsHeader& h) {
  write_journal(directory, 0, 1, records);
  MergedRun run{"", merge_journals(directory, scan_journals(directory), h)};
  run.results = run.summary.results_path;
  return run;
}

std::vector<ReportSetting> settings_of(const std::vector<std::string>& results) {
  std::vector<ReportSetting> settings;
  for (const std::string& path : results) {
    for (ReportSetting& s : read_settings(path)) settings.push_back(std::move(s));
  }
  name_settings(settings);
  return settings;
}

// What is wrong with a page as XML, and as a page that needs nothing else; empty: nothing.
std::string problem_of(const std::string& html) {
  if (valid_utf8_prefix(html) != html.size()) return "it is not UTF-8";
  for (const char* outside : {"<script", "javascript:", " src=", "url(", "@import", "://"}) {
    if (contains(html, outside)) return std::string("it holds ") + outside;
  }
  std::vector<std::string> open;
  std::set<std::string> ids, wanted;
  for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const std::size_t end = html.find('>', at);
    const std::string tag = html.substr(at + 1, end - at - 1);
    if (tag.starts_with('!')) continue;
    const std::string name = tag.substr(0, tag.find_first_of(" \n\t/", 1));
    if (tag.starts_with('/')) {
      if (open.empty() || "/" + open.back() != tag) return "</" + tag + "> closes no such tag";
      open.pop_back();
    } else if (!tag.ends_with('/')) {
      open.push_back(name);
    }
    for (const std::string attribute : {" id=\"", " id='", " href=\"#", " href='#"}) {
      const std::size_t begin = tag.find(attribute);
      if (begin == std::string::npos) continue;
      const std::size_t value = begin + attribute.size();
      const std::string id = tag.substr(
          value, tag.find(attribute.substr(attribute.find_last_of("\"'"), 1), value) - value);
      if (attribute.starts_with(" href"))
        wanted.insert(id);
      else if (!ids.insert(id).second)
        return "two elements have the id " + id;
    }
  }
  if (!open.empty()) return "<" + open.back() + "> is not closed";
  for (const std::string& id : wanted) {
    if (!ids.contains(id)) return "#" + id + " leads nowhere";
  }
  return "";
}

TEST(Report, IsWellFormedAndNeedsNothingElse) {
  TemporaryDirectory d;
  const MergedRun one = merge(d.path() / "one", synthetic_documents(60, {.tokens = true}),
                              synthetic_header("tova", 128));
  const MergedRun two =
      merge(d.path() / "two", synthetic_documents(50), synthetic_header("tova", 256));
  const MergedRun full =
      merge(d.path() / "full", synthetic_documents(40), synthetic_header("full", 512));
  const ReportPage report =
      make_report(settings_of({one.results, two.results, full.results}), true);
  EXPECT_EQ(problem_of(report.html), "");
  std::size_t n_pictures = 0;
  for (std::size_t at = 0; (at = report.html.find("<svg ", at)) != std::string::npos; ++at)
    ++n_pictures;
  EXPECT_EQ(n_pictures, report.pictures.size());
  EXPECT_EQ(n_pictures,
            16u);  // size, share, position, recent, lifetime, documents, ranks; 3 maps of 3
  for (const char* part :
       {"tova, k = 128", "tova, k = 256", "perplexity-by-size", "perplexity-by-share",
        "nll-by-position", "survivor-age-1", "var(--s1)", "image/png;base64"})
    EXPECT_TRUE(contains(report.html, part)) << part;
  EXPECT_EQ(make_report(settings_of({one.results, two.results, full.results}), false).html,
            report.html);
}

TEST(Report, HasTheNumbersOfTheSummary) {
  TemporaryDirectory d;
  const MergedRun run = merge(d.path(), synthetic_documents(60), synthetic_header("tova", 128));
  const std::string html = make_report(settings_of({run.results}), false).html;
  const CorpusSummary& s = run.summary;
  for (const std::string& text :
       {perplexity_estimate_text(s.perplexity_token), perplexity_estimate_text(s.perplexity_word),
        estimate_text(s.bits_per_byte), with_thousands(s.n_tokens), number_text(s.mean_attended)})
    EXPECT_TRUE(contains(html, "<td class=\"n\">" + text + "</td>")) << text;
  EXPECT_TRUE(contains(html, "\xC2\xB1"));
}

// The documents that export puts first and last by perplexity.
TEST(Report, NamesTheWorstAndBestDocuments) {
  TemporaryDirectory d;
  const MergedRun run = merge(d.path(), synthetic_documents(200), synthetic_header("tova", 128));
  const ReportSetting s = settings_of({run.results}).front();
  std::ostringstream csv;
  export_results(run.results, {}, csv);
  ASSERT_EQ(s.documents.best.size(), kMostExtremes);
  ASSERT_EQ(s.documents.worst.size(), kMostExtremes);
  EXPECT_EQ(s.documents.worst.front().perplexity, s.documents.perplexities.back());
  EXPECT_EQ(s.documents.best.front().perplexity, s.documents.perplexities.front());
  for (const ShownDocument& shown : s.documents.worst)
    EXPECT_TRUE(contains(csv.str(), std::to_string(shown.n_scored))) << shown.id;
  EXPECT_TRUE(std::is_sorted(s.documents.worst.begin(), s.documents.worst.end(),
                             [](auto& a, auto& b) { return a.perplexity > b.perplexity; }));
  EXPECT_EQ(s.documents.failures_by_reason.at("invalid-json"), 20u);
  EXPECT_EQ(s.documents.first_failures.size(), kMostExtremes);
}

TEST(Report, NllByPositionIsThatOfTheTokens) {
  TemporaryDirectory d;
  const auto records = synthetic_documents(80, {.tokens = true, .mean_tokens = 60});
  const MergedRun run = merge(d.path(), records, synthetic_header("tova", 128));
  const ReportSetting s = settings_of({run.results}).front();
  double nll = 0.0;
  std::uint64_t n = 0;
  for (const DocumentRecord& r : records) {
    for (std::size_t i = 20; i < std::min<std::size_t>(24, r.token_nll.size()); ++i)
      nll += static_cast<double>(r.token_nll[i]), ++n;
  }
  std::uint64_t n_all = 0;
  for (const PositionBin& bin : s.positions) {
    n_all += bin.n_tokens;
    if (bin.first != 20) continue;
    EXPECT_EQ(bin.last, 23u);
    EXPECT_EQ(bin.n_tokens, n);
    EXPECT_NEAR(bin.nll.value, nll / static_cast<double>(n), 1e-12);
    EXPECT_GT(bin.nll.standard_error, 0.0);
  }
  EXPECT_EQ(n_all, run.summary.n_scored);
  for (std::size_t i = 1; i < s.positions.size(); ++i)
    EXPECT_GT(s.positions[i].first, s.positions[i - 1].last);
}

TEST(Report, EscapesHostileTexts) {
  TemporaryDirectory d;
  auto records = synthetic_documents(20);
  records[0].id = "</td><script>alert(1)</script>&amp;\"'\xC3\x28\x01";
  records[1].file = "/corpus/<img src=x onerror=y>.jsonl";
  records[3].failure_text = "<b>\xFF";
  ResultsHeader h = synthetic_header("tova`touch x`';\n", 128);
  h.model = "<svg onload=1>";
  h.config = "</pre><script>";
  h.left_out = "1 file: <i>";
  const MergedRun run = merge(d.path(), records, h);
  const std::string html = make_report(settings_of({run.results}), false).html;
  EXPECT_EQ(valid_utf8_prefix(html), html.size());
  for (const char* raw : {"<script", "<img", "<b>", "<svg onload", "<i>"})
    EXPECT_FALSE(contains(html, raw)) << raw;
  EXPECT_TRUE(contains(html, "&lt;script&gt;alert(1)"));
  EXPECT_TRUE(contains(html, "&amp;amp;&quot;&#39;"));
  EXPECT_TRUE(contains(html, "1 file: &lt;i&gt;"));
}

TEST(Report, OfARunWithoutDocumentsSaysSo) {
  TemporaryDirectory d;
  const MergedRun run = merge(d.path(), {}, synthetic_header("tova", 128));
  std::vector<ReportSetting> settings = settings_of({run.results});
  for (ReportSetting& s : settings) s.workers.clear();  // then nothing is left to draw
  const std::string html = make_report(settings, false).html;
  EXPECT_EQ(problem_of(html), "");
  EXPECT_TRUE(contains(html, "No document has been finished yet."));
  EXPECT_TRUE(contains(html, "score with --token-nll"));
  EXPECT_FALSE(contains(html, "<svg "));
}

TEST(Report, OfTextsHasTheirScores) {
  TemporaryDirectory d;
  ResultsHeader h = synthetic_header("tova", 128);
  h.job = "summarize";
  const MergedRun run = merge(d.path(), synthetic_documents(40, {.generations = true}), h);
  const std::string html = make_report(settings_of({run.results}), false).html;
  EXPECT_EQ(problem_of(html), "");
  for (std::size_t i = 0; i < kTextScoreNames.size(); ++i) {
    EXPECT_TRUE(contains(html, ">" + estimate_text(run.summary.text_best[i]) + "<"));
    EXPECT_TRUE(contains(html, ">" + estimate_text(run.summary.text_mean[i]) + "<"));
  }
  for (const char* part : {"Best texts: tova", "Worst texts: tova", "id=\"picture-text-scores\""})
    EXPECT_TRUE(contains(html, part)) << part;
  EXPECT_FALSE(contains(html, "perplexity per token"));
}

TEST(Report, NamesSettingsByWhatDiffers) {
  TemporaryDirectory d;
  ResultsHeader absolute = synthetic_header("tova", 128);
  absolute.fingerprint = R"({"policy":"tova","chunk-tokens":"0","positions":"absolute"})";
  ResultsHeader clipped = synthetic_header("tova", 128);
  clipped.fingerprint = R"({"policy":"tova","chunk-tokens":"0","positions":"clipped"})";
  const MergedRun a = merge(d.path() / "a", synthetic_documents(10), absolute);
  const MergedRun b = merge(d.path() / "b", synthetic_documents(10), clipped);
  const MergedRun c = merge(d.path() / "c", synthetic_documents(10), synthetic_header("full", 512));
  const auto settings = settings_of({a.results, b.results, c.results, c.results});
  EXPECT_EQ(settings[0].label, "tova, positions=absolute, k = 128");
  EXPECT_EQ(settings[1].label, "tova, positions=clipped, k = 128");
  EXPECT_EQ(settings[2].label, "full");
  EXPECT_EQ(settings[3].label, "full (2)");
}

TEST(Report, TakesTheSettingsOfASweep) {
  TemporaryDirectory d;
  std::vector<DocumentRecord> records = synthetic_documents(30);
  for (DocumentRecord& r : records) {
    if (r.status == DocumentRecord::Status::failed) continue;
    r.settings.assign(2, r);
    r.settings[0].nll_sum += 0.25;
    r.layers.clear();
    r.token_lifetimes.clear();
  }
  ResultsHeader h = synthetic_header();
  const auto setting = [](const char* name, const char* policy, std::int64_t cache_size) {
    return SettingHeader{.name = name,
                         .is_baseline = std::string_view(policy) == "full",
                         .options = {{"policy", std::string(policy)},
                                     {"cache_size", cache_size},
                                     {"positions", std::string("clipped")}}};
  };
  h.settings = {setting("small", "tova", 64), setting("full", "full", 512)};
  const MergedRun run = merge(d.path(), records, h);
  const auto settings = settings_of({run.results});
  ASSERT_EQ(settings.size(), 2u);
  EXPECT_EQ(settings[0].label, "tova, k = 64");
  EXPECT_EQ(settings[0].sweep, "small");
  EXPECT_EQ(settings[1].label, "full");
  EXPECT_EQ(settings[1].workers.size(), 1u);
  const std::string html = make_report(settings, false).html;
  EXPECT_EQ(problem_of(html), "");
  ASSERT_EQ(run.summary.settings.size(), 2u);
  EXPECT_TRUE(contains(html, estimate_text(run.summary.settings[0].paired.nll_difference)));
  for (const auto& s : run.summary.settings)
    EXPECT_TRUE(contains(html, perplexity_estimate_text(s.summary.perplexity_token)));
}

TEST(Report, OfManyDocumentsIsSmall) {
  TemporaryDirectory d;
  auto records = synthetic_documents(400, {.n_layers = 32});
  std::vector<DocumentRecord> many;
  for (int i = 0; i < 20'000; ++i) {
    many.push_back(records[static_cast<std::size_t>(i) % records.size()]);
    many.back().offset = static_cast<std::uint64_t>(i) * 10;
    many.back().token_lifetimes.clear();
  }
  const MergedRun run = merge(d.path(), many, synthetic_header("tova", 128));
  const std::string html = make_report(settings_of({run.results}), false).html;
  EXPECT_EQ(run.summary.n_documents, 20'000u);
  EXPECT_LT(html.size(), 300'000u);
}

std::uint32_t crc32(std::string_view bytes) {  // of PNG, bit by bit
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0u);
  }
  return ~crc;
}

TEST(ReportPicture, OfPngIsValidAndIsKnownAgain) {
  TemporaryDirectory d;
  const MergedRun run =
      merge(d.path() / "run", synthetic_documents(20), synthetic_header("tova", 128));
  const ReportPage report = make_report(settings_of({run.results}), true);
  ASSERT_FALSE(report.pictures.empty());
  for (const ReportPicture& p : report.pictures) {
    std::size_t at = 8;
    while (at + 12 <= p.png.size()) {
      const auto word = [&](std::size_t i) {
        std::uint32_t w = 0;
        for (std::size_t k = 0; k < 4; ++k) w = w << 8 | static_cast<unsigned char>(p.png[i + k]);
        return w;
      };
      const std::size_t n = word(at);
      ASSERT_LE(at + 12 + n, p.png.size()) << p.name;
      EXPECT_EQ(crc32(std::string_view(p.png).substr(at + 4, 4 + n)), word(at + 8 + n)) << p.name;
      at += 12 + n;
    }
    EXPECT_EQ(at, p.png.size());
    const std::string path = d.path() / p.name;
    std::ofstream(path, std::ios::binary) << p.png;
    EXPECT_TRUE(is_report_picture(path));
    EXPECT_FALSE(is_report_file(path));
  }
  const std::string page = d.path() / "page";
  std::ofstream(page) << report.html;
  EXPECT_TRUE(is_report_file(page));
  EXPECT_FALSE(is_report_picture(page));
  EXPECT_FALSE(is_report_file(run.results));
}

}  // namespace
}  // namespace tovamill
