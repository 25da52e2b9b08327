// What --nll-by-position and --analyze count of a document on its way through the model
// (pipeline/run_directory/document_analysis.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/classes/token_classes.h"
#include "kernels/backend.h"
#include "pipeline/run_directory/document_analysis.h"
#include "workers/options/run_options.h"

namespace tovamill {

// Null without --analyze. Reads the file of --lexicon: throws Error(no_input), BadData.
std::shared_ptr<const TokenClassifier> classifier_of(const RunOptions& options,
                                                     const Tokenizer& tokenizer);

struct AnalysisSetting {
  bool has_positions = false;
  PositionBins bins;
  bool has_classes = false;  // --analyze: where texts come with a classifier
  // Tokens of a full state; 0 where none ever is.
  std::int32_t state_tokens = 0;
};

AnalysisSetting analysis_setting(const RunOptions& options);

class StreamAnalysis {
 public:
  explicit StreamAnalysis(const AnalysisSetting& setting) : setting_(setting) {}

  // `labels` of all tokens, those around the text included; none without a classifier. Makes `sums`
  // what it is before the first step.
  void begin(const TokenClassifier* classifier, TokenLabels labels, std::size_t n_layers,
             DocumentAnalysis& sums);
  bool is_on() const { return setting_.has_positions || setting_.has_classes; }

  // Positions count from the chunk's first token, `token` from the document's.
  void scored(std::uint64_t position, double nll, DocumentAnalysis& sums) const;
  void evicted(std::size_t layer, std::size_t token, const Eviction& eviction,
               DocumentAnalysis& sums) const;
  // At the end of a chunk of `n` tokens.
  void survived(std::size_t layer, std::size_t token, std::uint64_t position, std::uint64_t n,
                DocumentAnalysis& sums) const;
  // Leaves out classes that do not occur.
  static void finish(DocumentAnalysis& sums);
  // Whether `saved` can be what `begin` has made of `sums`, with counts.
  static bool fits(const DocumentAnalysis& saved, const DocumentAnalysis& sums);

 private:
  struct Stay {
    std::uint64_t position, steps;  // steps after which the token was in the state
  };
  void count(const Stay& stay, StateCounters& state) const;
  template <class Count>
  void each_class(std::size_t layer, std::size_t token, DocumentAnalysis& sums,
                  const Count& count) const;
  std::uint64_t full_steps(const Stay& stay, std::uint64_t most) const;

  AnalysisSetting setting_;
  TokenLabels labels_;
};

}  // namespace tovamill
