// Which token comes next, from the logits of the newest.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/sampling/logit_scan.h"
#include "engine/tokenizer/token_id.h"

namespace tovamill {

struct SamplingOptions {
  double temperature = 0.0;  // 0: the highest logit (greedy)
  std::int32_t top_k = 0;    // only the k highest; 0 is all
  double top_p = 1.0;        // only the fewest highest whose probabilities sum to p; at least one
  double min_p = 0.0;        // only those of at least p times the highest probability
  // Logits of tokens that the prompt or the text holds are divided by it where positive, else
  // multiplied (Keskar et al. 2019); 1 is none.
  double repetition_penalty = 1.0;
  std::uint64_t seed = 0;
};
// Throws Error(configuration) naming the option, its value and its range.
void validate(const SamplingOptions& options);

// Ids of a vocabulary, one bit each.
class TokenSet {
 public:
  TokenSet() = default;
  explicit TokenSet(std::int32_t vocab_size);
  // An id outside the vocabulary is left out: no logit is its.
  void insert(TokenId id);
  bool contains(TokenId id) const;
  // Id 64 i + j is bit j of the i-th.
  std::span<const std::uint64_t> bits() const { return bits_; }

 private:
  std::int32_t vocab_size_ = 0;
  std::vector<std::uint64_t> bits_;
};

// What a random number depends on beside the seed: the text it is for and the place in it.
struct RandomPlace {
  std::uint64_t text = 0;      // document, question and sample
  std::uint64_t position = 0;  // of the new token in its text
};
// In [0, 1), 53 bits of a counter-based generator (Philox 4x32-10, Salmon et al. 2011): the key is
// the seed, the counter the place.
double random_number(std::uint64_t seed, const RandomPlace& place);

struct TokenProbability {
  TokenId id = kNoToken;
  double probability = 0.0;
};

// The order is that of Hugging Face transformers: repetition penalty, `forbidden`, temperature,
// top-k, top-p, min-p. Ties of equal logits go to the lowest id, in the choice of the highest as in
// every cut. The chosen token depends on the arguments alone. Logits (vocab_size) are overwritten.
// NaN logits and forbidden tokens are never chosen; where none is left the result is -1. Where the
// highest logit is infinite, the first of that value is chosen.
// After the first call of a vocabulary's size nothing is allocated. One object per thread.
class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options) : options_(options) {}
  // Whether choose() is the first of the highest logits where nothing is forbidden.
  bool takes_argmax() const { return options_.temperature == 0.0 && !needs_seen(); }
  bool needs_seen() const { return options_.repetition_penalty != 1.0; }
  // `seen`: the ids of prompt and text so far; looked at with needs_seen() only. Ids outside the
  // vocabulary, here and in `forbidden`, do nothing.
  TokenId choose(std::span<float> logits, const TokenSet& seen, std::span<const TokenId> forbidden,
                 const RandomPlace& place);
  // What choose() draws from, the most probable first; one token where it does not draw. Logits are
  // overwritten as there.
  std::vector<TokenProbability> distribution(std::span<float> logits, const TokenSet& seen,
                                             std::span<const TokenId> forbidden);

 private:
  struct Candidate {
    float logit;
    TokenId id;
    // The most probable first.
    bool operator<(const Candidate& other) const {
      return logit > other.logit || (logit == other.logit && id < other.id);
    }
  };

  // Returns the highest logit that is left.
  float prepare(std::span<float> logits, const TokenSet& seen,
                std::span<const TokenId> forbidden) const;
  bool draws(float highest) const;
  bool cuts(std::size_t vocab_size) const;
  void keep_candidates(std::span<const float> logits, const RelativeProbability& probability);
  double sum_of_weights() const;
  double greatest_depth() const;
  void gather_top_k(std::span<const float> logits, const RelativeProbability& probability,
                    std::size_t n);
  void gather_within(std::span<const float> logits, const RelativeProbability& probability,
                     double depth);
  void gather_enough(std::span<const float> logits, const RelativeProbability& probability,
                     double needed);
  void cut_top_p(double needed);
  void cut_min_p();
  TokenId draw_from_all(std::span<const float> logits, const RelativeProbability& probability,
                        double random);
  TokenId draw_from_candidates(double random) const;

  SamplingOptions options_;
  std::vector<Candidate> candidates_;
  std::vector<double> weights_;                       // of the candidates: relative probabilities
  std::vector<std::pair<Candidate, double>> border_;  // candidates of which top-p keeps some
  std::vector<double> blocks_;                        // sums of kScanBlock relative probabilities
};

}  // namespace tovamill
