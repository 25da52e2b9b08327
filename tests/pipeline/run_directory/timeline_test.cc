#include "pipeline/run_directory/timeline.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace tovamill {
namespace {

TEST(Timeline, SpreadsAnIntervalOverItsBins) {
  Timeline t;
  EXPECT_EQ(t.width_s(), 0.125);
  t.add(0.0, 0.125, {.tokens = 8.0, .computing_s = 0.125});
  ASSERT_EQ(t.bins().size(), 2u);  // the end of an interval opens the next bin
  EXPECT_EQ(t.bins()[0].tokens, 8.0);
  t.add(0.1875, 0.3125, {.tokens = 4.0, .computing_s = 0.125});
  ASSERT_EQ(t.bins().size(), 3u);
  EXPECT_EQ(t.bins()[1].tokens, 2.0);
  EXPECT_EQ(t.bins()[2].tokens, 2.0);
  EXPECT_EQ(t.bins()[2].computing_s, 0.0625);
  t.add(0.25, 0.25, {.waiting_s = 1.0});
  EXPECT_EQ(t.bins()[2].waiting_s, 1.0);
}

TEST(Timeline, DoublesItsBinsAndLosesNothing) {
  Timeline t;
  std::mt19937 random(1);
  double now = 0.0, tokens = 0.0, waiting = 0.0;
  for (int i = 0; i < 20000; ++i) {
    const double length = static_cast<double>(random() % 1000) / 997.0;
    const bool waits = i % 3 == 0;
    t.add(now, now + length,
          waits ? TimelineBin{.waiting_s = length}
                : TimelineBin{.tokens = 100.0, .computing_s = length});
    now += length;
    (waits ? waiting : tokens) += waits ? length : 100.0;
    ASSERT_LE(t.bins().size(), Timeline::kMostBins);
  }
  EXPECT_GT(t.width_s() * static_cast<double>(Timeline::kMostBins), now);
  EXPECT_LE(t.width_s() * static_cast<double>(Timeline::kMostBins / 2), now);
  TimelineBin sum;
  for (const TimelineBin& b : t.bins()) {
    sum.tokens += b.tokens, sum.computing_s += b.computing_s, sum.waiting_s += b.waiting_s;
    EXPECT_LE(b.computing_s + b.waiting_s, t.width_s() * (1.0 + 1e-9));
  }
  EXPECT_NEAR(sum.tokens, tokens, 1e-6 * tokens);
  EXPECT_NEAR(sum.waiting_s, waiting, 1e-6 * waiting);
  EXPECT_NEAR(sum.computing_s + sum.waiting_s, now, 1e-6 * now);
}

TEST(Timeline, LeavesOutWhatIsNoTime) {
  Timeline t;
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  for (const auto& [begin, end] :
       {std::pair(-1.0, 1.0), {1.0, 0.5}, {nan, 1.0}, {1.0, nan}, {0.0, infinity}})
    t.add(begin, end, {.tokens = 1.0});
  EXPECT_TRUE(t.bins().empty());
}

TEST(Timeline, ComesBackFromJson) {
  Timeline t;
  t.add(0.0, 100.0, {.tokens = 5000.0, .computing_s = 99.5});
  t.add(100.0, 101.0, {.waiting_s = 1.0});
  const nlohmann::json json = t.to_json();
  const Timeline back = Timeline::from_json(json);
  EXPECT_EQ(back.width_s(), t.width_s());
  EXPECT_EQ(back.to_json(), json);
  for (const auto change :
       {+[](nlohmann::json& j) { j.erase("width_s"); },
        +[](nlohmann::json& j) { j["width_s"] = 0; },
        +[](nlohmann::json& j) { j["tokens"].push_back(1); },
        +[](nlohmann::json& j) { j["tokens"][0] = "1"; },
        +[](nlohmann::json& j) { j["waiting_s"][0] = -1; }, +[](nlohmann::json& j) { j = 3; },
        +[](nlohmann::json& j) {
          for (const char* name : {"tokens", "computing_s", "waiting_s"})
            j[name] = std::vector<int>(Timeline::kMostBins + 1);
        }}) {
    nlohmann::json damaged = json;
    change(damaged);
    EXPECT_TRUE(Timeline::from_json(damaged).bins().empty()) << damaged;
  }
}

}  // namespace
}  // namespace tovamill
