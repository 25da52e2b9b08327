// Attention of a step's blocks over their bounded states on a GPU (design 3.1 to 3.4). A block is
// cut where a group of 256 positions ends, so a tile has at most 256 queries; blocks of one token
// take a way of their own (attention_decode.cu). A tile joins the state, is scored against all of
// it, scanned for deaths, multiplied with the values, and the survivors move together.
//
// Tiles of different streams go side by side, as many as the scratch has slots for; those of one
// stream follow each other. How many columns a state has after a tile follows from the options
// alone, so a whole step is laid out before its first kernel starts.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/arena.h"
#include "kernels/cuda/attention_kernels.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/state.h"

namespace tovamill::cuda {

class Attention {
 public:
  Attention(const BackendOptions& options, ElementType type, Arena& arena, const Stream& stream);

  const StateLayout& layout() const { return layout_; }
  std::int64_t capacity(std::int64_t n_tokens, bool keeps_all) const;
  // Makes room for exactly `capacity` columns, keeping what is there. Throws OutOfMemory; nothing
  // has changed then.
  void resize(CudaState& state, std::int64_t capacity);
  void copy(const CudaState& from, CudaState& to);

  // Checks the blocks, grows states that must, lays out the step, and takes the states to where
  // they will be after it.
  void begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows);
  // qkv (n_rows, q_size + 2 kv_size) float32; out (n_rows, q_size) in the compute type; norms
  // (head_dim) or null.
  void run(std::int32_t layer, const float* q_norm, const float* k_norm, const float* qkv,
           void* out);
  // Begins to bring what left the states to the host; afterwards, once the stream has been waited
  // for, what block `block` left in `layer`.
  void fetch_events();
  // Once the step is through: states that have been brought down give the memory of their growth
  // back.
  void finish_step();
  void read_events(std::int32_t layer, std::size_t block, BlockEvents& events) const;

  // What the rotated keys of a state are relative to while the query at `position` is at work.
  std::int64_t wanted_rotation(std::int64_t position) const;
  std::uint64_t workspace_bytes() const;
  std::uint64_t workspace_bytes_for(std::int64_t n_tokens, bool keeps_all) const;

 private:
  enum class Way : std::uint8_t { scanned, planned, single };
  // Tiles [first, first + n_tiles) of the step that run side by side.
  struct Wave {
    Way way;
    std::int32_t first = 0, n_tiles = 0;
    std::int32_t max_columns = 0, max_steps = 0, max_drops = 0;
    std::int32_t rotates = 0;
  };
  struct Drops {
    std::int32_t layer, group;
    std::size_t block;
    std::vector<EventRecord> records;
  };

  std::size_t event_bytes(std::int32_t n_rows) const;
  EventRecord* events_of(std::int32_t layer) const;
  std::int64_t slot_bytes(std::int64_t ld) const;
  std::int64_t single_bytes(std::int64_t ld) const;
  std::int64_t scratch_bytes(std::int64_t n_columns) const;
  void make_room(std::int64_t n_columns);
  void copy_arrays(unsigned char* to, std::int64_t to_pitch, const unsigned char* from,
                   std::int64_t from_pitch, std::int64_t width, std::int64_t n) const;

  std::int64_t held_after(const StepBlock& block, std::int64_t n_held, std::int64_t n) const;
  void fit(const StepBlock& block);
  Way way_of(const StepBlock& block) const;
  void lay_out();
  void add_waves(const std::vector<std::pair<TileInfo, std::size_t>>& tiles, Way way);
  TileInfo next_tile(const StepBlock& block, std::int32_t done);
  void place_rows(const TileInfo& tile, const CudaState& state);
  void upload();
  template <class T>
  void run_wave(const Wave& wave, std::int32_t layer, const float* q_norm, const float* k_norm,
                const float* qkv, T* out);
  template <class T>
  void run_singles(const Wave& wave, std::int32_t layer, T* out);
  void keep_drops(const Wave& wave, std::int32_t layer, const EventRecord* drops);

  BackendOptions options_;
  const ModelShape& model_;
  CacheOptions cache_;
  ElementType type_;
  Arena& arena_;
  const Stream& stream_;
  StateLayout layout_;
  AttentionShape shape_;
  std::int64_t clip_ = 0;
  std::vector<StepBlock> blocks_;
  std::int32_t n_rows_ = 0;
  std::vector<TileInfo> tiles_;
  std::vector<std::size_t> tile_blocks_;  // which block each tile is of
  std::vector<Wave> waves_;
  std::vector<std::int64_t> positions_;    // (n_rows) rotary
  std::vector<std::int32_t> row_tile_;     // (n_rows) index of tiles_
  std::vector<std::int64_t> held_before_;  // (blocks) columns of their states before the step
  std::vector<Drops> drops_;

  ArenaPiece scratch_;                // of the tiles of a wave
  std::int64_t scratch_columns_ = 0;  // for which there is a slot at least
  ArenaPiece device_tiles_, device_row_tile_, device_positions_, angles_, inv_freq_, queries_,
      events_;
  PinnedMemory staging_, host_events_;
  Event uploaded_;
};

}  // namespace tovamill::cuda
