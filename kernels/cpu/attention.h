// Attention of a step's blocks over their bounded states (kernels/README.md,
// "Evictions" to "Positions"), cut into tiles of
// consecutive queries. A tile joins the state, is scored against all of it at once, scanned for
// deaths, multiplied with the values, and the survivors move together. Tiles of one stream follow
// each other; streams, heads and parts of a tile go side by side. Blocks of one token take a way of
// their own (attention_decode.cc).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/rotary.h"
#include "kernels/cpu/state.h"
#include "kernels/cpu/thread_pool.h"

namespace tovamill::cpu {

// Queries of a tile where the policy needs the weights: fewer columns are scored in vain, yet
// products stay dense.
inline constexpr std::int32_t kScanTile = 64;

class Attention {
 public:
  Attention(const BackendOptions& options, ComputeType type, ThreadPool& pool,
            const IsaKernels& isa);

  StateLayout layout() const { return layout_; }
  // Columns that a state has room for once its stream has taken `n_tokens`, with
  // StepBlock::keeps_all in all blocks or in none.
  std::int64_t capacity(std::int64_t n_tokens, bool keeps_all) const;

  // Checks the blocks (check_block), grows states that must and what depends on their size, makes
  // the angles of the step's rows.
  void begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows);
  // qkv (n_rows, q_size + 2 kv_size) float32, overwritten; out (n_rows, q_size) in the compute
  // type.
  void run(std::int32_t layer, std::span<const float> q_norm, std::span<const float> k_norm,
           float* qkv, void* out, std::span<BlockEvents> events);

  // What the rotated keys of a state are relative to while the query at `position` is at work
  // (CpuState::rotation).
  std::int64_t wanted_rotation(std::int64_t position) const;
  std::uint64_t workspace_bytes() const;
  std::uint64_t workspace_bytes_for(std::int64_t n_tokens, bool keeps_all) const;

 private:
  struct Tile;
  // Scratch of one tile in flight.
  struct Slot {
    AlignedBytes keys, values, weights, policy;
    std::vector<std::int32_t> evicted, move_from, move_to,
        n_moves;                        // (n_eviction_groups, tile) | (n_eviction_groups)
    std::vector<float> evicted_weight;  // (n_eviction_groups, tile)
    std::vector<double>
        head_weight;  // (n_kv_heads, tile) weights of the evicted, where nothing is scanned
  };
  struct ThreadScratch {
    AlignedBytes weights, rows;
    std::vector<float> angles;
    std::vector<std::int32_t> order, rank;
    std::vector<float> inverse_sum;     // (n_heads) of one token
    std::vector<std::int32_t> dropped;  // columns that leave after one token, as if in this order
  };
  struct RestoreContext;
  // Of one slot: keys to policy; of one thread: panel (ThreadScratch::weights), rows, lists.
  struct RoomBytes {
    std::size_t keys, values, weights, policy, panel, rows, lists;
  };

  RoomBytes room_bytes(std::int64_t n_columns, bool keeps_all) const;
  void make_room(std::int64_t n_columns, bool keeps_all);
  std::uint64_t workspace_bytes_of(std::int64_t n_columns, bool keeps_all) const;
  void fit_states();
  void fill_angles(const StepBlock& block);
  void prepare_rows(std::span<const float> q_norm, std::span<const float> k_norm, float* qkv);
  void run_wave(std::int32_t layer, std::span<const std::size_t> wave, void* out,
                std::span<BlockEvents> events);
  bool next_tile(std::size_t block, std::int64_t& done, Tile& tile) const;
  bool is_scanned(const Tile& tile) const;
  bool may_drop(const Tile& tile) const;
  void join(std::int32_t layer, Tile& tile);
  void append(std::int32_t layer, const Tile& tile, std::int32_t kv, int thread);
  void compact(std::int32_t layer, const Tile& tile, std::int32_t kv);
  void refresh_rotation(std::int32_t layer, const Tile& tile, std::int32_t kv, int thread);
  void score(std::int32_t layer, const Tile& tile, std::int32_t kv, std::int32_t part);
  ScanTile scan_tile(std::int32_t layer, const Tile& tile, std::int32_t group) const;
  void scan(std::int32_t layer, const Tile& tile, std::int32_t group);
  void restore(const RestoreContext& row, std::int32_t head, std::int32_t step) const;
  void weigh_values(std::int32_t layer, const Tile& tile, std::int32_t kv, std::int32_t part,
                    void* out, int thread);
  void attend_unscanned(std::int32_t layer, const Tile& tile, std::int32_t kv, std::int32_t part,
                        void* out, int thread);
  void plan_window_deaths(std::int32_t layer, const Tile& tile);
  void leave(std::int32_t layer, const Tile& tile, std::int32_t group);
  void report(std::int32_t layer, const Tile& tile, BlockEvents& events) const;
  void move_memory(CpuState& state, std::int32_t layer, std::int32_t group, std::int32_t from,
                   std::int32_t to) const;
  void move_rows(CpuState& state, std::int32_t layer, std::int32_t kv, std::int32_t from,
                 std::int32_t to) const;

  void decode(std::int32_t layer, std::size_t block, void* out, BlockEvents& events, int thread);
  void store_row(std::int32_t layer, const Tile& tile, std::int32_t kv, std::int64_t row,
                 std::int64_t column) const;
  void decode_head(std::int32_t layer, const Tile& tile, std::int32_t kv, void* out, int thread);
  std::int32_t decode_drops(std::int32_t layer, const Tile& tile, std::int32_t group,
                            BlockEvents& events, int thread);
  float* decode_weights(const Tile& tile, std::int32_t head) const;
  void choose_lowest(std::int32_t layer, const Tile& tile, std::int32_t group, const float* mean,
                     std::int32_t n_drops, std::vector<std::int32_t>& chosen) const;
  float mean_weight(const Tile& tile, std::int32_t column, int thread) const;
  void close_gaps(std::int32_t layer, const Tile& tile, std::int32_t group,
                  std::span<const std::int32_t> dropped) const;
  void give_back(const StepBlock& block) const;
  void write_out(const Tile& tile, std::int32_t kv, std::int32_t row, const float* sums,
                 float factor, void* out) const;

  const float* query(const Tile& tile, std::int32_t kv, std::int32_t row) const;
  float* weight_rows(const Slot& slot, std::int32_t ld, std::int32_t kv) const;
  std::int32_t* death(const Slot& slot, std::int32_t group) const;
  const float* packed_values(std::int32_t layer, const Tile& tile, std::int32_t kv) const;
  std::int64_t rotary_position(std::int64_t position, std::int64_t group_base) const;
  std::int32_t hidden_below(std::int64_t position) const;
  std::int32_t n_parts(const Tile& tile) const;
  std::byte* storage_row(std::byte* head, std::int64_t column) const;
  void to_storage(const float* row, std::byte* to) const;

  BackendOptions options_;
  ModelShape shape_;
  CacheOptions cache_;
  ComputeType type_;     // of what the matrix products read
  ComputeType storage_;  // of keys and values
  ThreadPool& pool_;
  const IsaKernels& isa_;
  StateLayout layout_;
  std::int32_t tile_ = 0;        // queries of a tile
  std::int32_t part_steps_ = 0;  // queries of a part
  std::int32_t groups_ = 1, kv_per_group_ = 1, heads_per_group_ = 1, per_kv_ = 1;
  std::int32_t padded_dim_ = 0;  // head_dim in whole vectors
  std::int64_t columns_ = 0;     // that slots and thread scratch have room for
  bool keeps_all_ = false;       // whether they have it for blocks in which nothing leaves, too
  std::int64_t clip_ = 0;
  float scale_ = 1.0f;
  RotaryAngles angles_;
  std::vector<Slot> slots_;
  std::vector<ThreadScratch> scratch_;
  std::vector<StepBlock> blocks_;
  std::vector<std::size_t> single_, longer_;  // blocks of one token, of more
  std::int32_t n_rows_ = 0;
  std::vector<float> row_angles_;    // (max_rows, 2, head_dim / 2)
  std::vector<float> rotated_keys_;  // (max_rows, kv_size)
  std::vector<float> value_norms_;   // (max_rows)
  const float* qkv_ = nullptr;       // of the layer being run
};

}  // namespace tovamill::cpu
