// The one comparison of floating-point results: an error bound that follows from the arithmetic,
// not from taste.
#pragma once

#include <gtest/gtest.h>

#include <cmath>

namespace tovamill::testing {

inline constexpr double kEpsF32 = 0x1p-23;
inline constexpr double kEpsBf16 = 0x1p-8;

// |actual - expected| <= c * eps * sum |terms|, where the terms are what was added up to get the
// value. NaN on either side fails.
inline ::testing::AssertionResult near(double actual, double expected, double terms, double c,
                                       double eps = kEpsF32) {
  const double bound = c * eps * terms;
  if (std::abs(actual - expected) <= bound || actual == expected)
    return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << actual << " is not within " << bound << " of " << expected;
}

}  // namespace tovamill::testing
