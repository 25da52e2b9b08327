#include "pipeline/analysis/ratio_sums.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "pipeline/results/summary.h"

namespace tovamill {
namespace {

// y = 3, 5, 10 of n = 1, 2, 3: r = 18/6 = 3; residuals 0, -1, 1; se = sqrt(3/2 * 2) / 6.
TEST(RatioSums, AreThoseOfAnExampleByHand) {
  RatioSums sums;
  EXPECT_TRUE(std::isnan(sums.estimate().value));
  sums.add(3.0, 1.0);
  EXPECT_EQ(sums.estimate().value, 3.0);
  EXPECT_TRUE(std::isnan(sums.estimate().standard_error));
  sums.add(5.0, 2.0);
  sums.add(7.0, 0.0);  // has nothing
  sums.add(10.0, 3.0);
  EXPECT_EQ(sums.n_documents(), 3u);
  EXPECT_EQ(sums.n(), 6.0);
  EXPECT_DOUBLE_EQ(sums.estimate().value, 3.0);
  EXPECT_DOUBLE_EQ(sums.estimate().standard_error, std::sqrt(3.0) / 6.0);
}

TEST(RatioSums, EqualThoseOfAllDocumentsInMemory) {
  std::mt19937 random(1);
  for (const double spread : {1.0, 1e-3, 0.0}) {
    for (const double scale : {1.0, 1e6}) {
      RatioSums sums;
      std::vector<RatioTerm> terms;
      for (int i = 0; i < 1000; ++i) {
        const double n = 1.0 + static_cast<double>(random() % 4096);
        const double y =
            scale * n * (2.5 + spread * (static_cast<double>(random() % 1000) / 1000.0 - 0.5));
        sums.add(y, n);
        terms.push_back({y, n});
      }
      const Estimate expected = ratio_estimate(terms), actual = sums.estimate();
      EXPECT_NEAR(actual.value, expected.value, 1e-12 * expected.value);
      EXPECT_NEAR(actual.standard_error, expected.standard_error,
                  1e-9 * expected.standard_error + 1e-12 * expected.value);
    }
  }
}

}  // namespace
}  // namespace tovamill
