#include "kernels/cpu/attention/attention_rotate.h"

#include <algorithm>
#include <numeric>

#include "kernels/cpu/attention/attention_merge.h"
#include "kernels/cpu/attention/stored_rows.h"

namespace tovamill::cpu {
namespace {

// The age of each of the first `n` slots, 0 of the oldest.
void rank_by_age(const std::int32_t* positions, std::int32_t n, ThreadScratch& scratch) {
  const auto end = scratch.order.begin() + n;
  std::iota(scratch.order.begin(), end, 0);
  std::sort(scratch.order.begin(), end,
            [&](std::int32_t a, std::int32_t b) { return positions[a] < positions[b]; });
  for (std::int32_t i = 0; i < n; ++i)
    scratch.rank[static_cast<std::size_t>(scratch.order[static_cast<std::size_t>(i)])] = i;
}

}  // namespace

void rotate_again(const LayerPass& pass, const Tile& tile, std::int32_t kv, int thread) {
  const CpuState& state = *tile.state;
  const AttentionModel& model = pass.model;
  const std::int64_t shift = model.wanted_rotation(tile.position);
  if (pass.shape.rope == kNoRope || state.rotation(pass.layer) == shift) return;
  ThreadScratch& scratch = pass.scratch(thread);
  const std::int32_t half = model.shape.head_dim / 2;
  const std::int32_t* positions = state.positions(pass.layer, kv / model.kv_per_group);
  const bool in_state = model.cache.positions == Positions::in_state;
  if (in_state) rank_by_age(positions, tile.n_state, scratch);
  float* row = scratch.row_sums();
  rotate_merged(pass, tile, kv, shift, row);
  for (std::int32_t j = state.n_merged(pass.layer); j < tile.n_state; ++j) {
    const std::int64_t place = in_state ? scratch.rank[static_cast<std::size_t>(j)]
                                        : std::max<std::int64_t>(0, positions[j] - shift);
    pass.rows.angles(pass.shape.rope)
        .fill(place, scratch.angles.data(), scratch.angles.data() + half);
    from_storage(pass, row_of(model, state.unrotated(pass.layer, kv), j), row);
    pass.isa.rotate(row, scratch.angles.data(), scratch.angles.data() + half, half, row);
    to_storage(pass, row, row_of(model, state.rotated(pass.layer, kv), j));
  }
}

}  // namespace tovamill::cpu
