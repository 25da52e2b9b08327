// What a report makes of --nll-by-position, --analyze and the times of ranks.
#include <gtest/gtest.h>

#include <cmath>

#include "io/results/journal.h"
#include "kernels/types/token_class.h"
#include "pipeline/report/report.h"
#include "pipeline/results/merge.h"
#include "pipeline/run_directory/run_directory.h"
#include "pipeline/run_directory/timeline.h"
#include "tests/support/error_of.h"
#include "tests/support/runs/synthetic_run.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::synthetic_documents;
using testing::synthetic_header;
using testing::TemporaryDirectory;
using testing::write_journal;

// As a run with --nll-by-position and --analyze has it.
std::vector<DocumentRecord> analyzed_documents(int n, bool tags) {
  std::vector<DocumentRecord> records = synthetic_documents(n, {.tokens = true});
  for (std::size_t i = 0; i < records.size(); ++i) {
    DocumentRecord& r = records[i];
    if (r.status == DocumentRecord::Status::failed) continue;
    DocumentAnalysis& a = r.analysis;
    a.has_positions = true;
    for (std::size_t t = 0; t < r.token_nll.size(); ++t) {
      if (std::isnan(r.token_nll[t])) continue;
      const std::size_t bin = a.bins.index(t);
      a.positions.resize(std::max(a.positions.size(), bin + 1));
      a.positions[bin].nll += static_cast<double>(r.token_nll[t]);
      ++a.positions[bin].n;
    }
    a.states.assign(r.layers.size(), {.full_steps = 100,
                                      .recent_full_steps = 40 + i % 9,
                                      .n_first = 1,
                                      .n_first_evictions = 1,
                                      .first_steps = i});
    const auto add = [&](const char* name, bool is_tag, std::uint64_t steps) {
      a.classes.push_back({.name = name, .is_tag = is_tag, .n_tokens = 2, .layers = {}});
      a.classes.back().layers.assign(r.layers.size(), {.n_evictions = 1,
                                                       .evicted_steps = steps + i % 5,
                                                       .n_survivors = 1,
                                                       .survivor_steps = 3,
                                                       .full_steps = 20});
    };
    std::uint64_t steps = 10;
    for (const char* name : kTokenClassNames) add(name, false, steps += 10);
    if (!tags) continue;
    for (const char* name : {"(none)", "(unknown)", "NN", "<script>&\"'"}) add(name, true, steps++);
  }
  return records;
}

ReportSetting setting_of(const std::string& directory, const std::vector<DocumentRecord>& records) {
  write_journal(directory, 0, 1, records);
  return read_settings(
             merge_journals(directory, scan_journals(directory), synthetic_header()).results_path)
      .front();
}

TEST(ReportOfAnalysis, TakesTheStoredNllByPosition) {
  TemporaryDirectory d;
  std::vector<DocumentRecord> records = analyzed_documents(60, false);
  const ReportSetting stored = setting_of(d.path() / "stored", records);
  for (DocumentRecord& r : records) r.analysis = {};
  const ReportSetting of_tokens = setting_of(d.path() / "tokens", records);
  ASSERT_EQ(stored.positions.size(), of_tokens.positions.size());
  ASSERT_GT(stored.positions.size(), 8u);
  for (std::size_t b = 0; b < stored.positions.size(); ++b) {
    const PositionBin &a = stored.positions[b], &e = of_tokens.positions[b];
    EXPECT_EQ(a.first, e.first);
    EXPECT_EQ(a.last, e.last);
    EXPECT_EQ(a.n_tokens, e.n_tokens);
    EXPECT_EQ(a.nll.value, e.nll.value);
    EXPECT_EQ(std::isnan(a.nll.standard_error), std::isnan(e.nll.standard_error));
    EXPECT_FALSE(std::abs(a.nll.standard_error - e.nll.standard_error) > 0.0);
  }
}

TEST(ReportOfAnalysis, DrawsClassesAndTags) {
  TemporaryDirectory d;
  std::vector<ReportSetting> settings{setting_of(d.path() / "one", analyzed_documents(40, true)),
                                      setting_of(d.path() / "two", analyzed_documents(30, false))};
  name_settings(settings);
  ASSERT_TRUE(settings[0].analysis);
  EXPECT_EQ(settings[0].analysis->classes.size(), kTokenClassNames.size());
  EXPECT_EQ(settings[0].analysis->tags.size(), 4u);
  EXPECT_EQ(settings[0].analysis->classes[1].name, "newline");
  EXPECT_EQ(settings[0].analysis->classes[1].censored_share, 0.5);
  EXPECT_EQ(settings[0].analysis->classes[1].by_layer.size(), 3u);
  const std::string html = make_report(settings, false).html;
  for (const char* part :
       {"picture-class-lifetime", "picture-tag-lifetime", "picture-class-by-layer-1",
        "picture-class-by-layer-2", "picture-recent-half", "picture-first-token-lifetime",
        "<td>&lt;script&gt;&amp;", "inside word"})
    EXPECT_TRUE(contains(html, part)) << part;
  EXPECT_FALSE(contains(html, "<script"));
  EXPECT_FALSE(contains(html, "score with --analyze"));
}

TEST(ReportOfAnalysis, DrawsTheTimesOfRanks) {
  for (const int n_ranks : {3, 40}) {
    TemporaryDirectory d;
    create_run_directory(d.path());
    Timeline t;
    t.add(0.0, 60.0, {.tokens = 6000.0, .computing_s = 60.0});
    t.add(60.0, 80.0, {.waiting_s = 20.0});
    for (int rank = 0; rank < n_ranks; ++rank) {
      JournalWriter writer(journal_path(d.path(), rank, 1));
      const auto append = [&](JournalEntry kind, const std::string& text) {
        writer.append(kind, std::as_bytes(std::span(text)));
      };
      append(JournalEntry::header, R"({"fingerprint":"f","host":"h","device":"CPU"})");
      if (rank == 0) {
        for (const DocumentRecord& r : synthetic_documents(5))
          writer.append(JournalEntry::document, encode(r));
      }
      if (rank == 1) continue;  // was killed
      append(JournalEntry::footer,
             nlohmann::json{{"seconds_computing", 60.0}, {"timeline", t.to_json()}}.dump());
    }
    const std::string results =
        merge_journals(d.path(), scan_journals(d.path()), synthetic_header()).results_path;
    std::vector<ReportSetting> settings = read_settings(results);
    ASSERT_EQ(settings.front().workers.size(), static_cast<std::size_t>(n_ranks));
    EXPECT_TRUE(settings.front().workers[1].times.empty());
    const WorkerRow& first = settings.front().workers[0];
    EXPECT_EQ(first.bin_s, t.width_s());
    ASSERT_EQ(first.times.size(), t.bins().size());
    EXPECT_NEAR(first.times[3].tokens, 100.0 * t.width_s(), 1e-2);
    name_settings(settings);
    const std::string html = make_report(settings, false).html;
    for (const char* part : {"picture-speed-over-time", "picture-waiting-over-time",
                             n_ranks > 12 ? "mean of the ranks" : "launch 1, rank 2"})
      EXPECT_TRUE(contains(html, part)) << part;
  }
}

}  // namespace
}  // namespace tovamill
