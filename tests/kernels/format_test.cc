// Numbers for people.
#include "kernels/types/format.h"

#include <gtest/gtest.h>

#include <limits>

namespace tovamill {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(Format, SeparatesThousands) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(1000), "1,000");
  EXPECT_EQ(with_thousands(1234567), "1,234,567");
  EXPECT_EQ(fixed_point(999.96, 1), "1,000.0");
  EXPECT_EQ(fixed_point(26501.4, 0), "26,501");
  EXPECT_EQ(fixed_point(-1234567.891, 2), "-1,234,567.89");
  EXPECT_EQ(fixed_point(-123.5, 1), "-123.5");
  EXPECT_EQ(fixed_point(kNan, 2), "-");
}

TEST(Format, BytesHaveUnitsOf1024) {
  EXPECT_EQ(human_bytes(1), "1 byte");
  EXPECT_EQ(human_bytes(1023), "1,023 bytes");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes((1ull << 30) - 1), "1.0 GiB");
}

TEST(Format, CountsHaveUnitsOf1000) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(1000), "1.0 K");
  EXPECT_EQ(human_count(127'296), "127 K");
  EXPECT_EQ(human_count(999'499), "999 K");
  EXPECT_EQ(human_count(999'500), "1.0 M");
  EXPECT_EQ(human_count(134'515'008), "135 M");
  EXPECT_EQ(human_count(8'030'261'248), "8.0 B");
  EXPECT_EQ(human_count(70'553'706'496), "70.6 B");
  EXPECT_EQ(human_count(2'000'000'000'000), "2,000.0 B");
}

TEST(Format, DurationsGrowFromSecondsToHours) {
  EXPECT_EQ(human_duration(0.0), "0.0 s");
  EXPECT_EQ(human_duration(59.99), "1 min 00 s");
  EXPECT_EQ(human_duration(3600.0), "1 h 00 min");
  EXPECT_EQ(human_duration(3600.0 * 1234), "1,234 h 00 min");
  EXPECT_EQ(human_duration(std::numeric_limits<double>::infinity()), "-");
}

TEST(Format, WidePerplexitiesAreGivenByTheirPowerOfTen) {
  EXPECT_EQ(perplexity_text(23.32078), "23.3208");
  EXPECT_EQ(perplexity_text(12345.67891), "12,345.6789");
  EXPECT_EQ(perplexity_text(999'999.9999), "999,999.9999");
  EXPECT_EQ(perplexity_text(999'999.99999), "1.0000e+06");
  EXPECT_EQ(perplexity_text(207101713074040672.0), "2.0710e+17");
  EXPECT_EQ(perplexity_text(kNan), "-");
}

}  // namespace
}  // namespace tovamill
