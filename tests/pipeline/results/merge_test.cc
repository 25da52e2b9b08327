#include "pipeline/results/merge.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numbers>

#include "io/results/hdf5_file.h"
#include "kernels/types/error.h"
#include "tests/support/runs/h5py.h"
#include "tests/support/runs/results_text.h"
#include "tests/support/runs/synthetic_run.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::synthetic_document;
using testing::synthetic_documents;
using testing::synthetic_header;
using testing::SyntheticOptions;
using testing::TemporaryDirectory;
using testing::write_journal;

CorpusSummary merge(const std::string& run) {
  return merge_journals(run, scan_journals(run), synthetic_header());
}

std::string dump_results(const std::string& run) {
  return testing::results_text(results_path(run));
}

TEST(Merge, DoesNotDependOnRanksLaunchesOrOrder) {
  TemporaryDirectory d;
  const auto all = synthetic_documents(500, {.trace = true});
  const std::string one = d.path() / "one", four = d.path() / "four";
  write_journal(one, 0, 1, all);
  std::vector<std::vector<DocumentRecord>> parts(5);
  for (std::size_t i = all.size(); i-- > 0;) parts[(i * 7919) % 5].push_back(all[i]);
  parts[4].push_back(parts[0][0]);  // done twice
  for (int rank = 0; rank < 4; ++rank)
    write_journal(four, rank, 1, parts[static_cast<std::size_t>(rank)], rank == 2);
  write_journal(four, 1, 2, parts[4]);
  merge(one);
  merge(four);
  const std::string dumped = dump_results(one);
  EXPECT_GT(dumped.size(), 100000u);
  EXPECT_TRUE(dumped == dump_results(four));
}

// A document that fails in one setting counts in the other; one that was never read in none.
TEST(Merge, GivesEachSettingOfASweepItsOwnResults) {
  TemporaryDirectory d;
  const std::vector<std::string> names{"tova-8", "full"};
  std::vector<DocumentRecord> all;
  std::vector<std::vector<DocumentRecord>> alone(names.size());
  for (int i = 0; i < 60; ++i) {
    DocumentRecord whole = synthetic_document(i, {.trace = true});
    if (whole.status != DocumentRecord::Status::failed) {
      whole.settings.assign(2, whole);
      whole.settings[0].nll_sum += 0.25;
      if (i % 7 == 3) {
        DocumentRecord failed;
        failed.status = DocumentRecord::Status::failed;
        failed.id = whole.id;
        failed.file = whole.file;
        failed.line = whole.line;
        failed.offset = whole.offset;
        failed.failure_reason = "not-finite";
        failed.failure_text = "no likelihood";
        whole.settings[0] = failed;
        whole.status = DocumentRecord::Status::failed;
        whole.failure_reason = failed.failure_reason;
        whole.failure_text = "tova-8: " + failed.failure_text;
      }
      whole.layers.clear();
      whole.token_lifetimes.clear();
      whole.token_nll.clear();
      whole.token_ids.clear();
      whole.eviction_step.clear();
    }
    for (std::size_t s = 0; s < names.size(); ++s)
      alone[s].push_back(whole.settings.empty() ? whole : whole.settings[s]);
    all.push_back(std::move(whole));
  }
  write_journal(d.path() / "sweep", 0, 1, all);
  ResultsHeader h = synthetic_header();
  h.settings = {{.name = names[0], .is_baseline = false, .options = {{"policy", "tova"}}},
                {.name = names[1], .is_baseline = true, .options = {{"policy", "full"}}}};
  const std::string run = d.path() / "sweep";
  const CorpusSummary summary = merge_journals(run, scan_journals(run), h);
  ASSERT_EQ(summary.settings.size(), 2u);
  EXPECT_GT(summary.settings[0].summary.n_failed, summary.settings[1].summary.n_failed);
  EXPECT_GT(summary.settings[0].paired.nll_difference_macro.value, 0.0);
  const auto sweep = testing::results_parts(results_path(run));
  EXPECT_EQ(sweep.at("/sweep"), "@baseline full\n@settings tova-8 full\n");
  for (std::size_t s = 0; s < names.size(); ++s) {
    const std::string one = d.path() / names[s];
    write_journal(one, 0, 1, alone[s]);
    merge(one);
    std::size_t n = 0;
    for (const auto& [path, text] : testing::results_parts(results_path(one))) {
      if (path == "/") continue;
      ++n;
      const auto found = sweep.find("/sweep/" + names[s] + path);
      if (path == "/failures/text") continue;  // of another length
      ASSERT_NE(found, sweep.end()) << path;
      EXPECT_TRUE(found->second == text) << path;
    }
    EXPECT_GT(n, 40u);
  }
  all.back().settings.resize(1, synthetic_document(1));
  write_journal(d.path() / "bad", 0, 1, all);
  const std::string bad = d.path() / "bad";
  EXPECT_THROW(merge_journals(bad, scan_journals(bad), h), BadData);
  EXPECT_THROW(merge(run), BadData) << "the header is of no sweep";
}

TEST(Merge, OfEqualJournalsHasEqualBytes) {
  TemporaryDirectory d;
  for (const char* run : {"a", "b"}) {
    write_journal(d.path() / run, 0, 1, synthetic_documents(300, {.trace = true}));
    merge(d.path() / run);
  }
  EXPECT_TRUE(testing::content_of(d.path() / "a" / "results.h5") ==
              testing::content_of(d.path() / "b" / "results.h5"));
  EXPECT_FALSE(std::filesystem::exists(d.path() / "a" / "results.h5.tmp"));
}

TEST(Merge, HoldsEveryValueOfEveryDocument) {
  TemporaryDirectory d;
  auto all = synthetic_documents(200, {.trace = true});
  write_journal(d.path(), 0, 1, all);
  merge(d.path());
  std::sort(all.begin(), all.end(), [](auto& a, auto& b) {
    return std::tie(a.file, a.offset) < std::tie(b.file, b.offset);
  });
  const Hdf5File file(results_path(d.path()), Hdf5File::Mode::read);
  const auto id = file.read_strings("/documents/id", 0, 200),
             path = file.read_strings("/documents/file", 0, 200);
  const auto status = file.read_strings("/documents/status", 0, 200);
  const auto nll_sum = file.read_all<double>("/documents/nll_sum");
  const auto n_tokens = file.read_all<std::uint64_t>("/documents/n_tokens");
  const auto offsets = file.read_all<std::uint64_t>("/tokens/offsets");
  const auto nll = file.read_all<float>("/tokens/nll");
  const auto ids = file.read_all<std::int32_t>("/tokens/id");
  const auto eviction_step = file.read_all<std::int32_t>("/trace/death");
  ASSERT_EQ(offsets.size(), 201u);
  std::uint64_t at = 0, n_failed = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const DocumentRecord& r = all[i];
    const bool failed = r.status == DocumentRecord::Status::failed;
    ASSERT_EQ(id[i], r.id);
    ASSERT_EQ(path[i], r.file);
    ASSERT_EQ(status[i], failed ? "failed" : "scored");
    ASSERT_EQ(std::isnan(nll_sum[i]), failed);
    if (!failed) {
      ASSERT_EQ(nll_sum[i], r.nll_sum);
    } else {
      EXPECT_EQ(file.read_strings("/failures/text", n_failed, 1)[0], r.failure_text);
      EXPECT_EQ(file.read_strings("/failures/reason", n_failed++, 1)[0], r.failure_reason);
    }
    ASSERT_EQ(n_tokens[i], r.n_tokens);
    ASSERT_EQ(offsets[i], at);
    for (std::uint64_t t = 0; t < r.n_tokens; ++t) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(nll[at + t]),
                std::bit_cast<std::uint32_t>(r.token_nll[t]));
      ASSERT_EQ(ids[at + t], r.token_ids[t]);
      for (std::uint64_t l = 0; l < 3; ++l)
        ASSERT_EQ(eviction_step[l * nll.size() + at + t], r.eviction_step[l * r.n_tokens + t]);
    }
    at += r.n_tokens;
  }
  EXPECT_EQ(offsets[200], at);
  EXPECT_EQ(file.shape("/failures/file")[0], n_failed);
  EXPECT_EQ(file.shape("/trace/death"), (std::vector<std::uint64_t>{3, at}));
}

TEST(Merge, SumsTheCacheCounters) {
  TemporaryDirectory d;
  DocumentRecord a = synthetic_document(1, {.n_layers = 2}),
                 b = synthetic_document(2, {.n_layers = 2});
  a.token_lifetimes = {{3, 2, 10}, {7, 1, 5}};
  b.token_lifetimes = {{7, 4, 6}, {9, 1, 0}};
  write_journal(d.path(), 0, 1, {a, b});
  merge(d.path());
  const Hdf5File file(results_path(d.path()), Hdf5File::Mode::read);
  const auto evictions = file.read_all<std::uint64_t>("/cache/evictions");
  const auto lifetime = file.read_all<std::uint64_t>("/cache/lifetime");
  const auto attended = file.read_all<double>("/cache/mean_attended"),
             lost = file.read_all<double>("/cache/weight_lost");
  const auto survival = file.read_all<double>("/cache/first_token_survival");
  for (std::size_t l = 0; l < 2; ++l) {
    const LayerCounters &x = a.layers[l], &y = b.layers[l];
    EXPECT_EQ(evictions[l], x.n_evictions + y.n_evictions);
    EXPECT_EQ(attended[l], 3.0);
    const double weight =
        b.file < a.file ? y.evicted_weight + x.evicted_weight : x.evicted_weight + y.evicted_weight;
    EXPECT_EQ(lost[l], weight / static_cast<double>(a.n_tokens + b.n_tokens));
    for (std::size_t bin = 0; bin < kLogBins; ++bin)
      EXPECT_EQ(lifetime[l * kLogBins + bin], x.lifetime[bin] + y.lifetime[bin]);
    EXPECT_EQ(survival[l * kLogBins],
              static_cast<double>(x.first_token_kept[0] + y.first_token_kept[0]) / 2.0);
    EXPECT_TRUE(std::isnan(survival[l * kLogBins + 31]));
  }
  EXPECT_EQ(file.read_all<std::int32_t>("/cache/token_id"), (std::vector<std::int32_t>{3, 7, 9}));
  EXPECT_EQ(file.read_all<std::uint64_t>("/cache/token_count"),
            (std::vector<std::uint64_t>{2, 5, 1}));
  EXPECT_EQ(file.read_all<std::uint64_t>("/cache/token_lifetime"),
            (std::vector<std::uint64_t>{10, 11, 0}));
  const auto bins = file.read_all<std::uint64_t>("/cache/bin");
  EXPECT_EQ(bins[0], 0u);
  EXPECT_EQ(bins[1], 2u);
  EXPECT_EQ(bins[31], 1ull << 31);
}

TEST(Merge, TellsWhatEachIncarnationDid) {
  TemporaryDirectory d;
  write_journal(d.path(), 1, 1, {synthetic_document(1), synthetic_document(3)}, true);
  write_journal(d.path(), 0, 2, {synthetic_document(1)});
  merge(d.path());
  const Hdf5File file(results_path(d.path()), Hdf5File::Mode::read);
  EXPECT_EQ(file.read_all<std::int32_t>("/run/rank"), (std::vector<std::int32_t>{1, 0}));
  EXPECT_EQ(file.read_all<std::int32_t>("/run/launch"), (std::vector<std::int32_t>{1, 2}));
  EXPECT_EQ(file.read_all<std::uint64_t>("/run/documents"), (std::vector<std::uint64_t>{2, 1}));
  EXPECT_EQ(file.read_strings("/run/host", 0, 2), (std::vector<std::string>{"node1", "node0"}));
  const auto seconds = file.read_all<double>("/run/seconds_computing");
  EXPECT_TRUE(std::isnan(seconds[0]));
  EXPECT_EQ(seconds[1], 1.5);
}

TEST(Merge, OfNothingIsAFileAllTheSame) {
  TemporaryDirectory d;
  write_journal(d.path(), 0, 1, {});
  const CorpusSummary s = merge(d.path());
  EXPECT_EQ(s.n_documents, 0u);
  EXPECT_TRUE(std::isnan(s.perplexity_token.value));
  const Hdf5File file(s.results_path, Hdf5File::Mode::read);
  EXPECT_EQ(file.shape("/documents/id")[0], 0u);
  EXPECT_FALSE(file.exists("/cache"));
  EXPECT_FALSE(file.exists("/tokens"));
}

TEST(Merge, KeepsOffsetsWhereFailuresComeFirstOrLast) {
  TemporaryDirectory d;
  std::vector<DocumentRecord> records{synthetic_document(3), synthetic_document(13),
                                      synthetic_document(1, {.tokens = true}),
                                      synthetic_document(23)};
  for (std::size_t i = 0; i < records.size(); ++i) records[i].file = "/x", records[i].offset = i;
  write_journal(d.path(), 0, 1, records);
  merge(d.path());
  const Hdf5File file(results_path(d.path()), Hdf5File::Mode::read);
  const std::uint64_t n = records[2].n_tokens;
  EXPECT_EQ(file.read_all<std::uint64_t>("/tokens/offsets"),
            (std::vector<std::uint64_t>{0, 0, 0, n, n}));
  EXPECT_FALSE(file.exists("/trace"));
}

TEST(Merge, RefusesMixedJournalsAndLeavesTheOldResults) {
  struct Mix {
    SyntheticOptions one, other;
  };
  for (const Mix& mix : std::vector<Mix>{{{.n_layers = 2}, {.n_layers = 3}},
                                         {{.tokens = true}, {}},
                                         {{}, {.tokens = true}},
                                         {{.tokens = true}, {.trace = true}},
                                         {{.trace = true}, {.tokens = true}}}) {
    TemporaryDirectory d;
    DocumentRecord first = synthetic_document(1, mix.one),
                   second = synthetic_document(2, mix.other);
    first.file = second.file = "/x";
    first.offset = 1, second.offset = 2;
    write_journal(d.path(), 0, 1, {first});
    merge(d.path());
    const std::string before = testing::content_of(results_path(d.path()));
    write_journal(d.path(), 0, 2, {second});
    EXPECT_THROW(merge(d.path()), BadData);
    EXPECT_TRUE(testing::content_of(results_path(d.path())) == before);
    EXPECT_FALSE(std::filesystem::exists(results_path(d.path()) + ".tmp"));
  }
}

TEST(Merge, OnAFullDiskFailsAndLeavesNothingHalf) {
  TemporaryDirectory d;
  const std::string run = d.path() / "small";
  std::filesystem::create_directories(run);
  if (mount("tmpfs", run.c_str(), "tmpfs", 0, "size=1500k") != 0)
    GTEST_SKIP() << "this process may not mount a small file system";
  {
    write_journal(run, 0, 1, synthetic_documents(1500, {.n_layers = 1, .mean_tokens = 100}));
    std::ofstream(run + "/ballast")
        << std::string((std::filesystem::space(run).available) - 40000, 'x');
    try {
      merge(run);
      ADD_FAILURE() << "the disk was not full";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::io) << e.what();
      EXPECT_NE(std::string(e.what()).find("No space left on device: free some space"),
                std::string::npos)
          << e.what();
    }
    EXPECT_FALSE(std::filesystem::exists(results_path(run)));
    EXPECT_FALSE(std::filesystem::exists(results_path(run) + ".tmp"));
    std::filesystem::remove(run + "/ballast");
    EXPECT_EQ(merge(run).n_documents, 1500u);
  }
  umount(run.c_str());
}

// ---- other readers ----

TEST(Merge, IsReadByH5py) {
  TemporaryDirectory d;
  for (const SyntheticOptions& options :
       std::vector<SyntheticOptions>{{}, {.tokens = true}, {.trace = true}}) {
    const std::string run = d.path() / (options.trace    ? "trace"
                                        : options.tokens ? "tokens"
                                                         : "plain");
    write_journal(run, 0, 1, synthetic_documents(150, options));
    merge(run);
    testing::check_by_h5py(results_path(run));
  }
}

}  // namespace
}  // namespace tovamill
