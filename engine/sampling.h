// Which token comes next, from the logits of the newest.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/token_id.h"

namespace tovamill {

struct SamplingOptions {
  double temperature = 0.0;  // 0: the highest logit (greedy)
  std::int32_t top_k = 0;    // only the k highest; 0 is all
  double top_p = 1.0;        // only the fewest highest whose probabilities sum to p
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
  void insert(TokenId id);
  bool contains(TokenId id) const;

 private:
  std::vector<std::uint64_t> bits_;
};

// What a random number depends on beside the seed: the text it is for and the place in it.
struct RandomPlace {
  std::uint64_t text = 0;      // document, question and sample
  std::uint64_t position = 0;  // of the new token in its text
};
// In [0, 1), 53 bits of a counter-based generator (Philox 4x32-10, Salmon et al. 2011).
double random_number(std::uint64_t seed, const RandomPlace& place);

// The order is that of Hugging Face transformers: repetition penalty, `forbidden`, temperature,
// top-k, top-p, min-p. Ties of equal logits go to the lowest id, in the choice of the highest as in
// every cut. The chosen token depends on the arguments alone. Logits (vocab_size) are overwritten.
// NaN logits are never chosen; where none is a number the result is -1.
class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options) : options_(options) {}
  bool needs_seen() const { return options_.repetition_penalty != 1.0; }
  // `seen`: the ids of prompt and text so far; looked at with needs_seen() only.
  TokenId choose(std::span<float> logits, const TokenSet& seen, std::span<const TokenId> forbidden,
                 const RandomPlace& place);

 private:
  SamplingOptions options_;
  std::vector<TokenId> candidates_;
  std::vector<double> weights_;
};

}  // namespace tovamill
