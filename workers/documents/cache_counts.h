// What the states of a document's sequences did, layer by layer: evictions as they happen,
// survivors where a sequence ends. A document that is read once and answered several times counts
// what was read once once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/tokenizer/token_id.h"
#include "kernels/backend.h"
#include "pipeline/run_directory/document_record.h"

namespace tovamill {

// The id of the token at a position of the sequence.
using TokenAt = std::function<TokenId(std::int64_t position)>;

// The step at which the first token of a sequence left each layer and group, -1 while it stays.
class FirstEvictions {
 public:
  FirstEvictions() = default;
  FirstEvictions(std::int32_t n_layers, std::int32_t n_eviction_groups)
      : steps_(static_cast<std::size_t>(n_layers) * static_cast<std::size_t>(n_eviction_groups),
               -1) {}
  std::vector<std::int32_t>& steps() { return steps_; }
  const std::vector<std::int32_t>& steps() const { return steps_; }

 private:
  std::vector<std::int32_t> steps_;  // (n_layers, n_eviction_groups)
};

class CacheCounts {
 public:
  CacheCounts(std::int32_t n_layers, std::int32_t n_eviction_groups);

  // What one layer did in one block of a sequence.
  void count(std::size_t layer, const BlockEvents& events, FirstEvictions& first,
             const TokenAt& at);
  // The sequence ends after `n_tokens`: what its state holds now has survived.
  void end(const StateKeeper& states, const StreamState& state, std::int64_t n_tokens,
           const FirstEvictions& first, const TokenAt& at);

  const std::vector<LayerCounters>& layers() const { return layers_; }
  std::vector<TokenLifetime> lifetimes() const;  // ascending id
  // As they were when saved. The layers must be as many as before.
  void restore(std::vector<LayerCounters> layers, const std::vector<TokenLifetime>& lifetimes);

 private:
  void add_lifetime(TokenId id, std::uint64_t steps);

  std::int32_t n_eviction_groups_;
  std::vector<LayerCounters> layers_;
  std::unordered_map<TokenId, TokenLifetime> lifetimes_;
};

}  // namespace tovamill
