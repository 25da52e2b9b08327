// Means over nothing, as public reports met them: no number, never 0, and no other number moved.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "pipeline/results/summary.h"

namespace tovamill {
namespace {

using Status = DocumentRecord::Status;

constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

// Each token of a scored document attends to two.
DocumentRecord document(Status status, double nll = 0, std::uint64_t n_scored = 0,
                        std::uint64_t n_words = 0, std::uint64_t n_bytes = 0) {
  DocumentRecord r;
  r.status = status;
  r.nll_sum = nll;
  r.n_scored = n_scored;
  r.n_tokens = n_scored + 1;
  r.n_words = n_words;
  r.n_bytes = n_bytes;
  r.layers.resize(1);
  r.layers[0].n_attended = n_scored > 0 ? 2 * r.n_tokens : 1;
  return r;
}
DocumentRecord scored(double nll, std::uint64_t n_scored, std::uint64_t n_words,
                      std::uint64_t n_bytes) {
  return document(Status::scored, nll, n_scored, n_words, n_bytes);
}
// A single token is context; its words and bytes are there.
const DocumentRecord kOneToken = document(Status::unscored, 0, 0, 1, 20);
const DocumentRecord kFailed = document(Status::failed);

struct ReportedMean {
  const char* report;
  std::vector<DocumentRecord> documents;
  std::uint64_t n_failed, n_unscored;
  // Worked out by hand: exp(sum nll / sum n), sum nll / sum bytes / ln 2, the means of each one's.
  double per_token, per_token_se, per_word, bits_per_byte, per_token_macro, per_word_macro;
  double mean_attended;
};

void expect_same(double value, double expected, const char* what) {
  if (std::isnan(expected)) {
    EXPECT_TRUE(std::isnan(value)) << what << " is " << value;
  } else {
    EXPECT_NEAR(value, expected, 1e-12 * std::abs(expected)) << what;
  }
}

const std::vector<ReportedMean>& reported_means() {
  const double ln2 = std::log(2.0), e2 = std::exp(2.0), e4 = std::exp(4.0);
  static const std::vector<ReportedMean> all{
      {"ggml-org/llama.cpp#2858: no documents",
       {},
       0,
       0,
       kNothing,
       kNothing,
       kNothing,
       kNothing,
       kNothing,
       kNothing,
       kNothing},
      {"stanford-crfm/helm#350: no scored token",
       {kOneToken, kOneToken},
       0,
       2,
       kNothing,
       kNothing,
       kNothing,
       kNothing,
       kNothing,
       kNothing,
       kNothing},
      {"UKGovernmentBEIS/inspect_ai#4292: none that did not fail",
       {kFailed, kFailed},
       2,
       0,
       kNothing,
       kNothing,
       kNothing,
       kNothing,
       kNothing,
       kNothing,
       kNothing},
      {"EleutherAI/lm-evaluation-harness#1106: the standard error of one",
       {scored(20, 10, 5, 40)},
       0,
       0,
       e2,
       kNothing,
       e4,
       0.5 / ln2,
       e2,
       e4,
       2},
      {"huggingface/datasets#4108, huggingface/data-measurements-tool#1: a single token beside",
       {kOneToken, scored(20, 10, 5, 40), kOneToken},
       0,
       2,
       e2,
       kNothing,
       e4,
       0.5 / ln2,
       e2,
       e4,
       2},
      {"UKGovernmentBEIS/inspect_ai#4458: unscored documents are no zeros",
       {scored(20, 10, 5, 40), kOneToken, scored(20, 10, 5, 40)},
       0,
       1,
       e2,
       0,
       e4,
       0.5 / ln2,
       e2,
       e4,
       2},
      {"vibrantlabsai/ragas#2832: what failed is no zero either, and is counted",
       {scored(20, 10, 5, 40), kFailed, scored(20, 10, 5, 40), kFailed},
       2,
       0,
       e2,
       0,
       e4,
       0.5 / ln2,
       e2,
       e4,
       2},
      {"textstat/textstat#140: no words",
       {scored(20, 10, 0, 40)},
       0,
       0,
       e2,
       kNothing,
       kNothing,
       0.5 / ln2,
       e2,
       kNothing,
       2},
      {"textstat/textstat#140: no words in one of them: its likelihood counts, not its mean",
       {scored(20, 10, 10, 40), scored(20, 10, 0, 40)},
       0,
       0,
       e2,
       0,
       e4,
       0.5 / ln2,
       e2,
       e2,
       2},
      {"NVIDIA-NeMo/Automodel#3797: one of two batches without a token",
       {kOneToken, scored(2, 1, 1, 4)},
       0,
       1,
       e2,
       kNothing,
       e2,
       0.5 / ln2,
       e2,
       e2,
       2},
  };
  return all;
}

TEST(ReportedMeans, AreNothingOrUnmoved) {
  for (const ReportedMean& c : reported_means()) {
    SCOPED_TRACE(c.report);
    SummaryBuilder builder;
    for (const DocumentRecord& r : c.documents) builder.add(r);
    const CorpusSummary s = builder.finish();
    EXPECT_EQ(s.n_documents, c.documents.size());
    EXPECT_EQ(s.n_failed, c.n_failed);
    EXPECT_EQ(s.n_unscored, c.n_unscored);
    expect_same(s.perplexity_token.value, c.per_token, "per token");
    expect_same(s.perplexity_token.standard_error, c.per_token_se, "standard error");
    expect_same(s.perplexity_word.value, c.per_word, "per word");
    expect_same(s.bits_per_byte.value, c.bits_per_byte, "bits per byte");
    expect_same(s.perplexity_token_macro.value, c.per_token_macro, "macro");
    expect_same(s.perplexity_word_macro.value, c.per_word_macro, "macro per word");
    expect_same(s.mean_attended, c.mean_attended, "mean attended");
  }
}

struct ReportedText {
  std::vector<std::string> references;
  double score;  // where there are references
};
struct ReportedTexts {
  const char* report;
  std::vector<ReportedText> texts;  // a document each
  std::uint64_t n_with_references, n_without_words;
  double mean, standard_error;
};

TEST(ReportedMeans, OfTextScoresCountEveryTextWithReferences) {
  const std::vector<ReportedTexts> all{
      {"LowinLi/Text-Summarizer-Pytorch-Chinese#23: no texts", {}, 0, 0, kNothing, kNothing},
      {"embeddings-benchmark/mteb#1809: none with references",
       {{{}, 0}, {{}, 0}},
       0,
       0,
       kNothing,
       kNothing},
      {"modelscope/ms-swift#9962: an empty text beside an exact one is 0, not left out",
       {{{"a"}, 1}, {{"a"}, 0}},
       2,
       0,
       0.5,
       0.5},
      {"vibrantlabsai/ragas#2990: of how many is said",
       {{{"a"}, 0.8}, {{}, 0}, {{}, 0}},
       1,
       0,
       0.8,
       kNothing},
      {"huggingface/evaluate#256: references without a word of ROUGE",
       {{{"\u092a\u0942\u0930\u094d\u0935"}, 0},
        {{"\u4e2d\u6587", "ab"}, 1},
        {{"?!"}, 0},
        {{""}, 0}},
       4,
       3,
       0.25,
       0.25},
      {"google/adk-python#6444: some become ASCII in lower case",
       {{{"\u212a"}, 1}, {{"\u0130"}, 1}},
       2,
       0,
       1,
       0},
  };
  for (const ReportedTexts& c : all) {
    SCOPED_TRACE(c.report);
    SummaryBuilder builder(true);
    for (const ReportedText& t : c.texts) {
      DocumentRecord r = document(Status::scored);
      Generation& g = r.generations.emplace_back();
      g.references = t.references;
      if (!t.references.empty()) g.scores.emplace().best[0] = t.score;
      builder.add(r);
    }
    const CorpusSummary s = builder.finish();
    EXPECT_EQ(s.n_generations, c.texts.size());
    EXPECT_EQ(s.n_with_references, c.n_with_references);
    EXPECT_EQ(s.n_without_words, c.n_without_words);
    expect_same(s.text_best[0].value, c.mean, "mean");
    expect_same(s.text_best[0].standard_error, c.standard_error, "standard error");
  }
}

}  // namespace
}  // namespace tovamill
