// Where a tile stands in its merge interval (kernels/README.md, "Merged tokens"), and the sums over
// the interval's queries. Device code of attention_merge.cu and attention_decode.cu.
#pragma once

#include "kernels/cuda/attention/attention_kernels.h"

namespace tovamill::cuda {

// Every query of a full state lets a token leave: how many left follows from the positions.
struct MergeInterval {
  std::int32_t first_query;           // of the tile that lets one leave
  std::int32_t n_left, n_left_after;  // since the last merge, before the tile and after it
  bool ends;                          // with the tile

  __device__ MergeInterval(const TileInfo& tile, const AttentionShape& shape) {
    const std::int64_t most = shape.cache_size - shape.n_merged, begin = tile.position,
                       end = begin + tile.n_queries,
                       start = begin / kMergeInterval * kMergeInterval;
    const auto all_before = [&](std::int64_t position) {
      return position > most ? position - most : 0;
    };
    const std::int64_t first = most > begin ? most - begin : 0;
    first_query = static_cast<std::int32_t>(first < tile.n_queries ? first : tile.n_queries);
    n_left = static_cast<std::int32_t>(all_before(begin) - all_before(start));
    n_left_after = static_cast<std::int32_t>(all_before(end) - all_before(start));
    ends = end % kMergeInterval == 0;
  }
};

// Adds the tile's queries of a KV head, and their squares, to the sums of its query heads (n_heads,
// 2, head_dim), which begin anew with the interval; by a thread block.
template <class T>
__device__ inline void add_queries(const TileInfo& tile, const AttentionShape& shape,
                                   const T* queries, std::int32_t kv, float* sums) {
  const std::int32_t d = shape.head_dim;
  const bool begins = tile.position % kMergeInterval == 0;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < shape.heads_per_kv * d;
       i += static_cast<std::int32_t>(blockDim.x)) {
    const std::int32_t head = kv * shape.heads_per_kv + i / d, e = i % d;
    float* first = sums + static_cast<std::int64_t>(head) * 2 * d + e;
    float sum = begins ? 0.0f : first[0], squares = begins ? 0.0f : first[d];
    for (std::int32_t q = 0; q < tile.n_queries; ++q) {
      const float x = to_float(
          queries[static_cast<std::int64_t>(tile.first_row + q) * shape.q_size() + head * d + e]);
      sum += x;
      squares += x * x;
    }
    first[0] = sum;
    first[d] = squares;
  }
}

}  // namespace tovamill::cuda
