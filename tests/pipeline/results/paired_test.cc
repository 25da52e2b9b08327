#include "pipeline/results/paired.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tovamill {
namespace {

// Three documents by hand: differences 0.2, 0.1 and -0.05 nats per token of 10, 20 and 20 tokens.
TEST(PairedDifference, IsThatOfTheSumsWithTheDocumentAsUnit) {
  PairedDifference p;
  EXPECT_NEAR(p.add(30.0, 10, 32.0, 10), 0.2, 1e-15);
  EXPECT_NEAR(p.add(50.0, 20, 52.0, 20), 0.1, 1e-15);
  EXPECT_NEAR(p.add(60.0, 20, 59.0, 20), -0.05, 1e-15);
  const PairedSummary s = p.finish();
  EXPECT_EQ(s.n_documents, 3u);
  const double r = 3.0 / 50.0;
  EXPECT_NEAR(s.nll_difference.value, r, 1e-15);
  const double e[] = {(2.0 - 10 * r) / 50, (2.0 - 20 * r) / 50, (-1.0 - 20 * r) / 50};
  const double squares = e[0] * e[0] + e[1] * e[1] + e[2] * e[2];
  EXPECT_NEAR(s.nll_difference.standard_error, std::sqrt(1.5 * squares), 1e-15);
  EXPECT_NEAR(s.perplexity_ratio.value, std::exp(r), 1e-15);
  EXPECT_NEAR(s.perplexity_ratio.standard_error, std::exp(r) * s.nll_difference.standard_error,
              1e-15);
  const double mean = 0.25 / 3;
  const double around =
      (0.2 - mean) * (0.2 - mean) + (0.1 - mean) * (0.1 - mean) + (-0.05 - mean) * (-0.05 - mean);
  EXPECT_NEAR(s.nll_difference_macro.value, mean, 1e-15);
  EXPECT_NEAR(s.nll_difference_macro.standard_error, std::sqrt(around / 2 / 3), 1e-15);
  EXPECT_NEAR(s.perplexity.value, std::exp(143.0 / 50), 1e-12);
  EXPECT_NEAR(s.baseline_value.value, 140.0 / 50, 1e-15);
}

TEST(PairedDifference, HasNoErrorOfOneDocumentAndNoNumberOfNone) {
  PairedDifference p;
  EXPECT_TRUE(std::isnan(p.finish().nll_difference.value));
  p.add(1.0, 1, 2.0, 1);
  EXPECT_EQ(p.finish().nll_difference.value, 1.0);
  EXPECT_TRUE(std::isnan(p.finish().nll_difference.standard_error));
  EXPECT_TRUE(std::isnan(p.finish().nll_difference_macro.standard_error));
}

}  // namespace
}  // namespace tovamill
