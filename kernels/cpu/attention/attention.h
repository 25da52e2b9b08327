// Attention of a step's blocks over their bounded states (kernels/README.md, "Evictions" to
// "Positions"), cut into tiles of consecutive queries. A tile is appended to the state, scored
// against all of it at once, scanned for evictions, multiplied with the values, and the survivors
// move together. Tiles of one stream follow each other; streams, heads and parts of a tile go side
// by side. Blocks of one token take a way of their own (attention_decode.h).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/attention/tile.h"

namespace tovamill::cpu {

class Attention {
 public:
  Attention(const BackendOptions& options, ComputeType type, ThreadPool& pool,
            const IsaKernels& isa);

  // What is the same for all layers.
  const AttentionModel& model() const { return models_.front(); }

  // Checks the blocks (check_block), grows states that must and what depends on their size, makes
  // the angles of the step's rows.
  void begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows);
  // qkv (n_rows, q_size + 2 kv_size) float32, overwritten; out (n_rows, q_size) in the compute
  // type.
  void run(std::int32_t layer, const AttentionWeights& weights, float* qkv, void* out,
           std::span<BlockEvents> events);

  std::uint64_t workspace_bytes() const { return rows_.bytes() + scratch_.bytes(); }
  std::uint64_t workspace_bytes_for(std::int64_t n_tokens, bool keeps_all) const;

 private:
  void fit_states();
  void give_back_room(const StepBlock& block) const;
  // A tile of the block's next queries, `done` of which are through.
  Tile next_tile(std::int32_t layer, const StepBlock& block, std::int64_t done,
                 TileScratch& scratch) const;
  void run_batch(const LayerPass& pass, std::span<const std::size_t> blocks,
                 std::span<BlockEvents> events);
  bool lay_out_tiles(const LayerPass& pass, std::span<const std::size_t> blocks);
  void attend_tiles(const LayerPass& pass);
  void move_survivors(const LayerPass& pass, std::span<BlockEvents> events);
  // Calls body(tile, kv, thread) for the batch's tiles and KV heads; body(tile, kv, part, thread)
  // for their parts, too.
  template <class Body>
  void for_each_head(const AttentionModel& model, Body&& body);
  template <class Body>
  void for_each_part(const AttentionModel& model, Body&& body);

  const AttentionModel& model_of(std::int32_t layer) const {
    return models_[model_of_layer_[static_cast<std::size_t>(layer)]];
  }

  std::vector<AttentionModel> models_;       // a layer's heads, all that there are
  std::vector<std::size_t> model_of_layer_;  // (n_layers)
  const AttentionModel& model_;              // the first
  ThreadPool& pool_;
  const IsaKernels& isa_;
  AttentionRows rows_;
  AttentionScratch scratch_;
  std::vector<StepBlock> blocks_;
  std::vector<std::size_t> single_, longer_;  // blocks of one token, of more
  // The tile batch: its tiles, the block of each, and queries done of each block.
  std::vector<Tile> tiles_;
  std::vector<std::size_t> tile_blocks_;
  std::vector<std::int64_t> done_;
};

}  // namespace tovamill::cpu
