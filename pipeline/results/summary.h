// The corpus numbers of /summary, from the sums of its documents in (file, offset) order, in
// float64.
//
// Perplexity per token, micro: exp(r), r = sum nll_i / sum n_i over the D scored documents, n_i
// their scored tokens. r is a ratio estimator; its standard error is
//   se(r) = sqrt( D/(D-1) * sum (nll_i - r n_i)^2 ) / sum n_i
// and by the delta method that of exp(r) is exp(r) se(r). Per word n_i are the words; bits per byte
// are r / ln 2 with n_i the bytes. Macro: the mean over documents of each one's own number, with
// the standard error of a mean. Documents whose n_i is 0 (white space has no words) enter no macro
// mean, and those without a scored token no number at all. NaN: a standard error of fewer than two
// documents, any number of none.
//
// Generated texts: a text score (ROUGE-1, ...) of the corpus is its mean over the texts that have
// references, sum y_i / sum n_i, where the D documents with such texts have n_i of them and scores
// that add up to y_i. The texts of one document are alike, so the document is the unit: the
// standard error is that of a ratio estimator, as above with y_i for nll_i.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pipeline/analysis/ratio_sums.h"
#include "pipeline/run_directory/document_record.h"

namespace tovamill {

// What a document adds to a ratio.
struct RatioTerm {
  double y = 0.0, n = 0.0;
};
// sum y / sum n with the standard error above; NaN where sum n is 0.
Estimate ratio_estimate(std::span<const RatioTerm> documents);

// A row of /failures, for people.
struct FailedDocument {
  std::string file;
  std::uint64_t line = 0, offset = 0;  // as in DocumentRecord
  std::string reason, text;
};
inline constexpr std::size_t kMostFirstFailures = 3;

// Of two runs or settings (paired.h).
struct PairedSummary {
  std::uint64_t n_documents = 0;   // in both
  Estimate value, baseline_value;  // nats per token, over the documents in both
  Estimate nll_difference;         // nats per token
  Estimate nll_difference_macro;   // the same
  Estimate perplexity_ratio;
  Estimate perplexity;  // exp(value)
};

struct SettingSummary;

struct CorpusSummary {
  std::uint64_t n_documents = 0;  // rows of /documents, failed ones included
  std::uint64_t n_failed = 0;
  std::uint64_t n_unscored = 0;                // enter none of what follows
  std::vector<FailedDocument> first_failures;  // at most kMostFirstFailures
  // Over the scored documents:
  std::uint64_t n_tokens = 0, n_scored = 0, n_words = 0, n_bytes = 0;
  double nll_sum = 0.0;                                                         // nats
  Estimate perplexity_token, perplexity_word, bits_per_byte;                    // micro
  Estimate perplexity_token_macro, perplexity_word_macro, bits_per_byte_macro;  // macro
  double mean_attended = 0.0;  // tokens attended per query, layer and head group
  // Values of a job that writes texts; the perplexities above are then NaN, for nothing is scored.
  bool generates = false;
  std::uint64_t n_generations = 0, n_new_tokens = 0;
  std::uint64_t n_stop = 0, n_length = 0;  // texts by their FinishReason
  std::uint64_t n_with_references = 0;     // texts that have scores
  std::uint64_t n_without_words = 0;       // ... none of whose references has a word for ROUGE
  // By kTextScoreNames: the highest over a text's references, the mean over them.
  std::array<Estimate, kTextScoreNames.size()> text_best{}, text_mean{};
  // Of a sweep, in the order of its settings; the perplexities above are then NaN.
  std::vector<SettingSummary> settings;
  std::string results_path;
};

struct SettingSummary {
  std::string name;
  bool is_baseline = false;
  CorpusSummary summary;
  PairedSummary paired;  // with the baseline
  // Of the steps of a rank, from the footers of the journals; 0: not known.
  double tokens_per_second = 0.0, seconds_computing = 0.0;
};

class SummaryBuilder {
 public:
  // `generates`: the job writes texts and scores nothing; so does a record with texts.
  explicit SummaryBuilder(bool generates = false) { totals_.generates = generates; }
  void add(const DocumentRecord& record);
  CorpusSummary finish() const;

 private:
  struct Sums {
    double nll;
    std::uint64_t n_scored, n_words, n_bytes;
  };
  // Sums over the texts of a document that have scores, and how many these are.
  struct TextSums {
    TextScores scores;
    std::uint64_t n = 0;
  };
  void add_texts(const std::vector<Generation>& generations);

  std::vector<Sums> documents_;  // the scored ones: 32 bytes each
  std::vector<TextSums> texts_;  // the documents with scored texts: 88 bytes each
  CorpusSummary totals_;
  std::uint64_t n_attended_ = 0, n_queries_ = 0;
};

// One sentence for the attribute `ppl_definition`.
extern const char* const kPerplexityDefinition;
// The same for `text_scores_definition`. `stems`: words of ROUGE were stemmed.
std::string text_scores_definition(bool stems);

}  // namespace tovamill
