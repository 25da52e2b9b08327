// Merged tokens (kernels/README.md, "Merged tokens") in float64: what a KV head keeps of the tokens
// that left it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tovamill::reference {

// A place of the state for a merged token. Keys are rotated as one at `rotary` would be.
struct MergedToken {
  bool is_used = false;
  double position = 0.0;  // mean of those that it stands for
  double rotary = 0.0;    // rotary position that its key was last rotated to
  double bias = 0.0;      // of its logits
  std::vector<double> key = {}, value = {};
};

// A token that left since the last merge.
struct LeftToken {
  double position = 0.0;
  std::vector<double> key = {}, value = {};  // (head_dim), the key rotated
};

// Sums over the rotated queries of one head since the last merge; (head_dim) each.
struct QuerySums {
  std::vector<double> first = {}, second = {};
};

struct MergeState {
  std::vector<MergedToken> places;  // as many as CacheOptions::merge, in layers that have them
  std::vector<LeftToken> left;      // in order of leaving
  std::vector<QuerySums> queries;   // of the query heads of the KV head
  std::int64_t n_queries = 0;       // that are summed
};

void add_query(const double* query, std::int32_t head_dim, QuerySums& sums);

// Takes the tokens that left into the places. `live`: rotated keys of the tokens that are still
// there, (head_dim) each; all keys are rotated for the same RoPE segment. `scale`: of the scores.
void merge(MergeState& state, std::span<const std::vector<double>> live, double scale);

}  // namespace tovamill::reference
