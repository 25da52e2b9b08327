#include "pipeline/results/summary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace tovamill {
namespace {

DocumentRecord scored(double nll, std::uint64_t n_scored, std::uint64_t n_words,
                      std::uint64_t n_bytes) {
  DocumentRecord r;
  r.nll_sum = nll;
  r.n_scored = n_scored;
  r.n_tokens = n_scored;
  r.n_words = n_words;
  r.n_bytes = n_bytes;
  return r;
}

TEST(Summary, EqualsTheFormulas) {
  SummaryBuilder builder;
  builder.add(scored(2.0, 2, 1, 8));
  builder.add(scored(9.0, 3, 0, 12));
  builder.add(scored(1.0, 5, 4, 20));
  DocumentRecord failed;
  failed.status = DocumentRecord::Status::failed;
  builder.add(failed);
  const CorpusSummary s = builder.finish();
  EXPECT_EQ(s.n_documents, 4u);
  EXPECT_EQ(s.n_failed, 1u);
  EXPECT_EQ(s.n_scored, 10u);
  EXPECT_EQ(s.n_words, 5u);
  EXPECT_EQ(s.n_bytes, 40u);
  // r = 1.2; residuals -0.4, 5.4, -5.0.
  const double r = 1.2, se = std::sqrt((0.16 + 29.16 + 25.0) * 1.5) / 10.0;
  EXPECT_NEAR(s.perplexity_token.value, std::exp(r), 1e-12);
  EXPECT_NEAR(s.perplexity_token.standard_error, std::exp(r) * se, 1e-12);
  EXPECT_NEAR(s.perplexity_word.value, std::exp(12.0 / 5.0), 1e-12);
  EXPECT_NEAR(s.bits_per_byte.value, 12.0 / 40.0 / std::numbers::ln2, 1e-12);
  const double m1 = std::exp(1.0), m2 = std::exp(3.0), m3 = std::exp(0.2), m = (m1 + m2 + m3) / 3.0;
  EXPECT_NEAR(s.perplexity_token_macro.value, m, 1e-12);
  EXPECT_NEAR(
      s.perplexity_token_macro.standard_error,
      std::sqrt(((m1 - m) * (m1 - m) + (m2 - m) * (m2 - m) + (m3 - m) * (m3 - m)) / 2.0 / 3.0),
      1e-12);
  EXPECT_NEAR(s.perplexity_word_macro.value, (std::exp(2.0) + std::exp(0.25)) / 2.0, 1e-12);
  EXPECT_NEAR(s.bits_per_byte_macro.value, (0.25 + 0.75 + 0.05) / 3.0 / std::numbers::ln2, 1e-12);
}

Generation text_with(double rouge1_best, double rouge1_mean) {
  Generation g;
  g.references = {"reference"};
  g.scores.emplace();
  g.scores->best[0] = rouge1_best;
  g.scores->mean[0] = rouge1_mean;
  return g;
}

TEST(Summary, OfTextScoresTakesTheDocumentAsTheUnit) {
  SummaryBuilder builder(true);
  std::vector<DocumentRecord> records(4);
  records[0].generations = {text_with(0.5, 0.25), text_with(0.75, 0.5), Generation{}};
  records[1].generations = {text_with(0.25, 0.25)};
  records[2].generations = {Generation{}};  // without references: no part of the scores
  records[3].status = DocumentRecord::Status::failed;
  records[0].generations[1].finish_reason = FinishReason::stop;
  records[0].generations[2].n_new_tokens = 7;
  for (const DocumentRecord& r : records) builder.add(r);
  const CorpusSummary s = builder.finish();
  EXPECT_EQ(s.n_generations, 5u);
  EXPECT_EQ(s.n_new_tokens, 7u);
  EXPECT_EQ(s.n_stop, 1u);
  EXPECT_EQ(s.n_length, 4u);
  EXPECT_EQ(s.n_with_references, 3u);
  // Documents (y, n) = (1.25, 2), (0.25, 1): r = 0.5, residuals 0.25, -0.25.
  EXPECT_NEAR(s.text_best[0].value, 0.5, 1e-15);
  EXPECT_NEAR(s.text_best[0].standard_error, std::sqrt(2.0 * (0.0625 + 0.0625)) / 3.0, 1e-15);
  // (0.75, 2), (0.25, 1): r = 1/3, residuals 1/12, -1/12.
  EXPECT_NEAR(s.text_mean[0].value, 1.0 / 3.0, 1e-15);
  EXPECT_NEAR(s.text_mean[0].standard_error, std::sqrt(2.0 * 2.0 / 144.0) / 3.0, 1e-15);
  EXPECT_EQ(s.text_best[4].value, 0.0);
  SummaryBuilder one(true);
  one.add(records[1]);
  EXPECT_EQ(one.finish().text_best[0].value, 0.25);
  EXPECT_TRUE(std::isnan(one.finish().text_best[0].standard_error));
  EXPECT_TRUE(std::isnan(SummaryBuilder(true).finish().text_best[0].value));
}

TEST(Summary, OfOneDocumentHasNoStandardError) {
  SummaryBuilder builder;
  builder.add(scored(2.0, 2, 1, 8));
  const CorpusSummary s = builder.finish();
  EXPECT_NEAR(s.perplexity_token.value, std::numbers::e, 1e-12);
  EXPECT_TRUE(std::isnan(s.perplexity_token.standard_error));
  EXPECT_TRUE(std::isnan(s.perplexity_token_macro.standard_error));
  EXPECT_TRUE(std::isnan(s.mean_attended));
}

}  // namespace
}  // namespace tovamill
