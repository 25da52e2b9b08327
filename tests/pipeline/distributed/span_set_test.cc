#include "pipeline/distributed/span_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace tovamill {
namespace {

using Spans = std::vector<Span>;

TEST(SpanSet, JoinsNeighboursAndOverlaps) {
  SpanSet set;
  EXPECT_TRUE(set.empty());
  set.add(10, 20);
  set.add(30, 40);
  set.add(20, 25);
  set.add(5, 5);
  EXPECT_EQ(set.spans(), (Spans{{10, 25}, {30, 40}}));
  set.add(24, 31);
  EXPECT_EQ(set.spans(), (Spans{{10, 40}}));
  set.add(50, 60);
  set.add(0, UINT64_MAX);
  EXPECT_EQ(set.spans(), (Spans{{0, UINT64_MAX}}));
}

TEST(SpanSet, TellsWhatIsMissing) {
  SpanSet set;
  EXPECT_EQ(set.missing(3, 7), (Spans{{3, 7}}));
  set.add(10, 20);
  set.add(30, 40);
  EXPECT_EQ(set.missing(0, 50), (Spans{{0, 10}, {20, 30}, {40, 50}}));
  EXPECT_EQ(set.missing(15, 35), (Spans{{20, 30}}));
  EXPECT_EQ(set.missing(12, 20), Spans{});
  EXPECT_EQ(set.missing(20, 20), Spans{});
  EXPECT_EQ(set.missing(9, 3), Spans{});
  EXPECT_EQ(set.covered_bytes(9, 3), 0u);
  EXPECT_EQ(set.missing(20, UINT64_MAX), (Spans{{20, 30}, {40, UINT64_MAX}}));
}

TEST(SpanSet, EqualsASetOfBytes) {
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    SpanSet set;
    std::vector<bool> bytes(64, false);
    for (unsigned n = random() % 12; n > 0; --n) {
      const std::uint64_t begin = random() % 64,
                          end = std::min<std::uint64_t>(64, begin + random() % 12);
      set.add(begin, end);
      std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(begin),
                bytes.begin() + static_cast<std::ptrdiff_t>(end), true);
    }
    for (std::size_t i = 0; i < 64; ++i) ASSERT_EQ(set.contains(i), bytes[i]);
    const std::uint64_t begin = random() % 64, end = begin + random() % (64 - begin);
    std::uint64_t n_missing = 0, n_covered = 0;
    for (const Span& gap : set.missing(begin, end)) {
      ASSERT_LT(gap.begin, gap.end);
      for (std::uint64_t i = gap.begin; i < gap.end; ++i) ASSERT_FALSE(bytes[i]);
      n_missing += gap.end - gap.begin;
    }
    for (std::uint64_t i = begin; i < end; ++i) n_covered += bytes[i];
    EXPECT_EQ(set.covered_bytes(begin, end), n_covered);
    EXPECT_EQ(n_missing + n_covered, end - begin);
    const Spans spans = set.spans();
    for (std::size_t i = 1; i < spans.size(); ++i) ASSERT_LT(spans[i - 1].end, spans[i].begin);
    SpanSet copy;
    copy.add(set);
    EXPECT_EQ(copy.spans(), spans);
  }
}

TEST(SpanSet, StaysSmallHoweverManyAreAdded) {
  SpanSet set;
  std::mt19937 random(3);
  // Four workers, each ascending in its own quarter, and some bytes left out.
  constexpr std::uint64_t n = 500000;
  for (std::uint64_t i = 0; i < n; ++i) {
    for (std::uint64_t worker = 0; worker < 4; ++worker) {
      const std::uint64_t at = (worker * n + i) * 10;
      set.add(at, at + 10 - (i % 1000 == 0));
    }
  }
  EXPECT_EQ(set.spans().size(), 4 * n / 1000 + 1);
  EXPECT_EQ(set.covered_bytes(0, 40 * n), 40 * n - 4 * n / 1000);
  std::vector<std::uint64_t> order(n);
  for (std::uint64_t i = 0; i < n; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  SpanSet shuffled;
  for (const std::uint64_t i : order) shuffled.add(i * 3, i * 3 + 3);
  EXPECT_EQ(shuffled.spans(), (Spans{{0, 3 * n}}));
}

}  // namespace
}  // namespace tovamill
