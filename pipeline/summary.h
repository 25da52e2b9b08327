// The corpus numbers of /summary, from the sums of its documents in (file, offset) order, in
// float64.
//
// Perplexity per token, micro: exp(r), r = sum nll_i / sum n_i over the D scored documents, n_i
// their scored tokens. r is a ratio estimator; its standard error is
//   se(r) = sqrt( D/(D-1) * sum (nll_i - r n_i)^2 ) / sum n_i
// and by the delta method that of exp(r) is exp(r) se(r). Per word n_i are the words; bits per byte
// are r / ln 2 with n_i the bytes. Macro: the mean over documents of each one's own number, with
// the standard error of a mean. Documents whose n_i is 0 (white space has no words) enter no macro
// mean. NaN: a standard error of fewer than two documents, any number of none.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/document_record.h"

namespace tovamill {

// A number and its standard error over documents.
struct Estimate {
  double value = 0.0;
  double standard_error = 0.0;
};

struct CorpusSummary {
  std::uint64_t n_documents = 0;  // rows of /documents, failed ones included
  std::uint64_t n_failed = 0;
  // Over the scored documents:
  std::uint64_t n_tokens = 0, n_scored = 0, n_words = 0, n_bytes = 0;
  double nll_sum = 0.0;                                                         // nats
  Estimate perplexity_token, perplexity_word, bits_per_byte;                    // micro
  Estimate perplexity_token_macro, perplexity_word_macro, bits_per_byte_macro;  // macro
  double mean_attended = 0.0;  // tokens attended per query, layer and head group
  std::string results_path;
};

class SummaryBuilder {
 public:
  void add(const DocumentRecord& record);
  CorpusSummary finish() const;

 private:
  struct Sums {
    double nll;
    std::uint64_t n_scored, n_words, n_bytes;
  };
  std::vector<Sums> documents_;  // the scored ones: 32 bytes each
  CorpusSummary totals_;
  std::uint64_t n_attended_ = 0, n_queries_ = 0;
};

// One sentence for the attribute `ppl_definition`.
extern const char* const kPerplexityDefinition;

}  // namespace tovamill
