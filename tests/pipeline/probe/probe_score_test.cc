// How answers to probes are judged, on examples by hand.
#include "pipeline/probe/probe_score.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pipeline/probe/probe_results.h"

namespace tovamill {
namespace {

TEST(ProbeKey, IsWhatTheIdSays) {
  struct Case {
    ProbeKey key;
    const char* id;
  };
  for (const Case& c :
       {Case{{ProbeTask::passkey, 1024, 0.25, 3}, "probe/passkey/1024/0.25/3"},
        Case{{ProbeTask::needles, 64, 0.0, 0}, "probe/needles/64/0/0"},
        Case{{ProbeTask::variables, 1048576, 1.0, 99}, "probe/variables/1048576/1/99"},
        Case{{ProbeTask::passkey, 8, 1.0 / 3.0, 1}, "probe/passkey/8/0.3333333333333333/1"},
        Case{{ProbeTask::words, 512, std::nullopt, 2}, "probe/words/512/-/2"}}) {
    EXPECT_EQ(id_of(c.key), c.id);
    EXPECT_EQ(probe_key_of(c.id), c.key) << c.id;
  }
  for (const char* other :
       {"", "probe/", "passkey/1024/0.25/3", "probe/passkey/1024/0.25",
        "probe/passkey/1024/0.25/3/", "probe/passkey/1024/0.250/3", "probe/passkey/-1/0/3",
        "probe/passkey/1024/-/3", "probe/words/1024/0/3", "probe/sums/1024/0/3",
        "probe/passkey/1024/0.25/x", "probe/passkey/01024/0.25/3", "xprobe/passkey/1024/0.25/3"})
    EXPECT_FALSE(probe_key_of(other)) << other;
}

TEST(ProbeScore, FindsKeysAsRulerDoes) {
  struct Case {
    const char* text;
    std::vector<std::string> keys;
    std::uint32_t n_found;
  };
  for (const Case& c :
       {Case{"The pass key is 71432.", {"71432"}, 1}, Case{"71432", {"71432"}, 1},
        Case{"7143", {"71432"}, 0}, Case{"", {"71432"}, 0},
        Case{"971432 1", {"71432"}, 1},  // what stands beside it does not matter
        Case{"71 432", {"71432"}, 0},
        Case{"abcde, FGHIJ and klmno", {"ABCDE", "fghij", "PQRST"}, 2},
        Case{"Olive! MAPLE; copper", {"maple", "olive", "copper"}, 3}, Case{"anything", {""}, 0},
        Case{"anything", {}, 0}, Case{"\xC3\x84pfel", {"\xC3\xA4pfel"}, 0}})  // ASCII letters only
    EXPECT_EQ(n_keys_found(c.text, c.keys), c.n_found) << c.text;
}

// The roots p of (k/n - p)^2 = z^2 p (1 - p) / n, in Python.
TEST(ProbeScore, IntervalsAreWilsons) {
  struct Case {
    std::uint64_t k, n;
    double low, high;
  };
  for (const Case& c :
       {Case{8, 10, 0.49016247153664183, 0.9433178485456247}, Case{0, 10, 0.0, 0.2775327998628892},
        Case{10, 10, 0.7224672001371107, 1.0}, Case{1, 2, 0.09453120573423074, 0.9054687942657693},
        Case{1, 1, 0.20654931437723742, 1.0},
        Case{50, 100, 0.4038315303659957, 0.5961684696340043}}) {
    EXPECT_NEAR(wilson_interval(c.k, c.n).low, c.low, 1e-9) << c.k << " of " << c.n;
    EXPECT_NEAR(wilson_interval(c.k, c.n).high, c.high, 1e-9) << c.k << " of " << c.n;
  }
  EXPECT_TRUE(std::isnan(wilson_interval(0, 0).low));
}

TEST(ProbeScore, CellsCountAnswersAndTheirKeys) {
  ProbeCells cells;
  const ProbeKey here{ProbeTask::variables, 1024, 0.5, 0},
      other{ProbeTask::variables, 1024, 1.0, 0};
  cells.add(other, 5, 5);
  cells.add(here, 5, 5);
  cells.add(here, 0, 5);
  cells.add(here, 4, 5);
  cells.add({ProbeTask::passkey, 2048, 0.0, 1}, 1, 1);
  const std::vector<ProbeCell> all = cells.cells();
  ASSERT_EQ(all.size(), 3u);  // by task, length and depth
  EXPECT_EQ(all[0].task, ProbeTask::passkey);
  EXPECT_EQ(all[1].depth, 0.5);
  EXPECT_EQ(all[1].n, 3u);
  EXPECT_EQ(all[1].n_right, 1u);
  EXPECT_NEAR(all[1].accuracy(), 1.0 / 3.0, 1e-15);
  EXPECT_NEAR(all[1].accuracy_se(), std::sqrt(2.0 / 27.0), 1e-15);
  EXPECT_NEAR(all[1].found(), 0.6, 1e-15);
  // Of 1, 0 and 0.8: variance 0.28 over 2, over 3 answers.
  EXPECT_NEAR(all[1].found_se(), std::sqrt(0.28 / 3.0), 1e-12);
  EXPECT_TRUE(std::isnan(all[2].found_se()));
  const std::vector<ProbeCell> joined = over_depths(all);
  ASSERT_EQ(joined.size(), 2u);
  EXPECT_EQ(joined[1].n, 4u);
  EXPECT_EQ(joined[1].n_right, 2u);
  EXPECT_FALSE(joined[1].depth);
  EXPECT_EQ(ProbeCell{}.n_right, 0u);
  EXPECT_TRUE(std::isnan(ProbeCell{}.accuracy()));
}

TEST(ProbeScore, GivesLinesOfCsv) {
  ProbeSetting s{
      .name = "tova-8", .policy = "tova", .instruction = "after", .cache_size = 8, .cells = {}};
  ProbeCells cells;
  cells.add({ProbeTask::passkey, 64, 0.25, 0}, 1, 1);
  cells.add({ProbeTask::words, 64, std::nullopt, 0}, 1, 4);
  s.cells = cells.cells();
  EXPECT_EQ(probe_csv_lines(s).at(0),
            "tova-8,tova,8,after,passkey,64,0.25,1,1,1,0,0.20654931437723742,1,1,");
  EXPECT_TRUE(probe_csv_lines(s).at(1).starts_with("tova-8,tova,8,after,words,64,,1,0,0,0,0,"));
  EXPECT_TRUE(probe_csv_lines(s).at(1).ends_with(",0.25,"));
}

}  // namespace
}  // namespace tovamill
