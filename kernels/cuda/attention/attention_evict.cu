// Evicts what the eviction scan chose, so that the slots of a state stay together: survivors from
// the end move into the slots that have become free. Slots carry no order.
//
// evict_kernel: a thread block takes an eviction group of a tile; its threads record a query each,
// its first warp lists the moves and moves the numbers that the group keeps of a slot (position,
// what the policy remembers).
// compact_kernel: a thread block takes one array (values, rotated or unrotated keys) of a KV head
// and copies the rows of those moves, 16 bytes a thread.
//
// Bytes of a layer and tile: eviction steps 4 n_eviction_groups n_slots; rows of at most as many
// tokens as were evicted, each read and written once, and of those that were appended in the
// scratch and stay.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/device/warp.h"

namespace tovamill::cuda {
namespace {

constexpr unsigned kThreads = 256;

// An eviction group of a tile: what its block reads and writes.
struct EvictingGroup {
  const EvictArguments& a;
  const TileInfo& tile;
  LayerView layer;
  std::int32_t tile_index, group;
  std::int64_t list;                  // of its queries and moves in the scratch
  std::int32_t* positions;            // (n_slots)
  const std::int32_t* eviction_step;  // (n_slots)

  __device__ EvictingGroup(const EvictArguments& arguments, std::int32_t index, std::int32_t g)
      : a(arguments),
        tile(a.tiles[index]),
        layer(tile.state, a.layout, tile.capacity, a.layer),
        tile_index(index),
        group(g),
        list(a.scratch.list(index, g, a.shape.n_eviction_groups)),
        positions(layer.positions(g)),
        eviction_step(a.scratch.eviction_steps(index, g, a.shape.n_eviction_groups)) {}
};

// The evicted token's weight from the query, the mean over all heads.
__device__ float mean_head_weight(const EvictingGroup& e, std::int32_t query) {
  const std::int32_t n_heads = e.a.shape.n_heads;
  float sum = 0.0f;
  for (std::int32_t h = 0; h < n_heads; ++h)
    sum += e.a.scratch.head_weight[e.a.scratch.row(e.tile_index, h, query, n_heads)];
  return sum / static_cast<float>(n_heads);
}

// Slots that the query attends to: those that are live and that the sliding window shows.
__device__ std::int32_t count_attended(const EvictingGroup& e, std::int32_t query) {
  const std::int32_t sliding_window = e.a.shape.sliding_window;
  std::int32_t n = 0;
  for (std::int32_t j = 0; sliding_window > 0 && j <= e.tile.n_state + query; ++j) {
    n += e.eviction_step[j] >= query &&
                 is_visible(sliding_window, e.tile.position + query, e.positions[j])
             ? 1
             : 0;
  }
  return n;
}

// Writes the event of each query of the thread; says how many of them evicted a token.
__device__ std::int32_t record_events(const EvictingGroup& e) {
  std::int32_t n_evicted = 0;
  for (auto query = static_cast<std::int32_t>(threadIdx.x); query < e.tile.n_queries;
       query += static_cast<std::int32_t>(kThreads)) {
    const std::int32_t slot = e.tile.evicts != 0 ? e.a.scratch.evicted[e.list + query] : -1;
    EventRecord record{-1, 0.0f, 0};
    if (slot >= 0) {
      ++n_evicted;
      record.position = e.positions[slot];
      record.weight = e.a.scratch.evicted_weight[e.list + query];
      // `window`, which has one eviction group
      if (e.a.sums_heads) record.weight = mean_head_weight(e, query);
    }
    record.n_attended = count_attended(e, query);
    e.a.events[(static_cast<std::int64_t>(e.tile.event_row) + query) * e.a.shape.n_eviction_groups +
               e.group] = record;
  }
  return n_evicted;
}

// Lists the free slots below n_left, and as many survivors above, each in order of slots; says how
// many there are. By one warp.
__device__ std::int32_t list_moves(const EvictingGroup& e, std::int32_t n_left) {
  constexpr int kBatch = 8;  // slots of a lane that are read together
  const auto lane = static_cast<std::int32_t>(threadIdx.x) % kLanes;
  const std::int32_t n_slots = e.tile.n_slots();
  std::int32_t n_to = 0, n_from = 0;
  for (std::int32_t begin = 0; begin < n_slots; begin += kBatch * kLanes) {
    std::int32_t steps[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b)
      steps[b] = e.eviction_step[min(begin + b * kLanes + lane, n_slots - 1)];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const std::int32_t j = begin + b * kLanes + lane;
      const bool exists = j < n_slots, is_live = exists && steps[b] == kLive;
      const unsigned holes = __ballot_sync(kAllLanes, exists && !is_live && j < n_left);
      const unsigned fillers = __ballot_sync(kAllLanes, is_live && j >= n_left);
      const unsigned before = (1u << lane) - 1u;
      if ((holes >> lane & 1u) != 0)
        e.a.scratch.move_to[e.list + n_to + __popc(holes & before)] = j;
      if ((fillers >> lane & 1u) != 0)
        e.a.scratch.move_from[e.list + n_from + __popc(fillers & before)] = j;
      n_to += __popc(holes);
      n_from += __popc(fillers);
    }
  }
  __syncwarp();
  return n_to;
}

// Moves what the group keeps of a slot. By one warp.
__device__ void move_slots(const EvictingGroup& e, std::int32_t n_moves) {
  const auto lane = static_cast<std::int32_t>(threadIdx.x) % kLanes;
  for (std::int32_t i = lane; i < n_moves; i += kLanes) {
    const std::int32_t from = e.a.scratch.move_from[e.list + i],
                       to = e.a.scratch.move_to[e.list + i];
    e.positions[to] = e.positions[from];
    if (e.a.layout.remembers) e.layer.memory(e.group)[to] = e.layer.memory(e.group)[from];
    if (!e.a.layout.averages) continue;
    e.layer.decay_power(e.group)[to] = e.layer.decay_power(e.group)[from];
    e.layer.value_norm(e.group)[to] = e.layer.value_norm(e.group)[from];
  }
}

// Grid: tiles, eviction groups.
__global__ void evict_kernel(EvictArguments a) {
  __shared__ float reduced[kThreads / kLanes];
  const EvictingGroup e(a, static_cast<std::int32_t>(blockIdx.x),
                        static_cast<std::int32_t>(blockIdx.y));
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  const auto n_evicted =
      static_cast<std::int32_t>(block_sum(static_cast<float>(record_events(e)), reduced));
  if (thread >= kLanes) return;
  std::int32_t n_moves = 0;
  if (e.tile.evicts != 0 && n_evicted > 0) n_moves = list_moves(e, e.tile.n_slots() - n_evicted);
  if (thread == 0) a.scratch.n_moves[e.tile_index * a.shape.n_eviction_groups + e.group] = n_moves;
  move_slots(e, n_moves);
}

// What comes into a state's rows: the moves, and tokens that were appended in the scratch and stay
// where they are in the order of slots.
struct Gathering {
  const std::int32_t *move_from, *move_to, *eviction_step;
  std::int32_t n_moves, n_appended;

  // By a block, rows of `n_parts` of V.
  template <class V, class T>
  __device__ void run(const TileRows<T>& rows, std::int32_t n_parts) const {
    copy_all<V>((n_moves + n_appended) * n_parts, [&](std::int32_t i) {
      const std::int32_t part = i % n_parts, row = i / n_parts;
      const bool moves = row < n_moves;
      const std::int32_t from = moves ? move_from[row] : rows.n_stored + row - n_moves,
                         to = moves ? move_to[row] : from;
      const bool stays = !moves && eviction_step[from] == kLive;  // else another moves there
      V* stored = reinterpret_cast<V*>(rows.stored) + static_cast<std::int64_t>(to) * n_parts;
      return Copy<V>{reinterpret_cast<const V*>(rows.at(from)) + part,
                     moves || stays ? stored + part : nullptr};
    });
  }
};

// Grid: tiles, KV heads, arrays.
template <class T>
__global__ void compact_kernel(EvictArguments a) {
  const auto tile_index = static_cast<std::int32_t>(blockIdx.x),
             kv = static_cast<std::int32_t>(blockIdx.y);
  const TileInfo& tile = a.tiles[tile_index];
  const std::int32_t group = kv / a.shape.kv_heads_per_group, d = a.shape.head_dim;
  const std::int64_t list = a.scratch.list(tile_index, group, a.shape.n_eviction_groups);
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const HeadArray array = blockIdx.z == 0   ? HeadArray::values
                          : blockIdx.z == 1 ? HeadArray::rotated
                                            : HeadArray::unrotated;
  const TileRows<T> rows(layer, tile, tile_index, kv, array, a.scratch.appended);
  const Gathering gathering{a.scratch.move_from + list, a.scratch.move_to + list,
                            a.scratch.eviction_steps(tile_index, group, a.shape.n_eviction_groups),
                            a.scratch.n_moves[tile_index * a.shape.n_eviction_groups + group],
                            max(0, min(tile.n_slots(), tile.rule.cache_size) - tile.n_stored)};
  if (d % kWide<T> == 0) {
    gathering.run<uint4>(rows, d / kWide<T>);
  } else {
    gathering.run<T>(rows, d);
  }
}

}  // namespace

void evict(const EvictArguments& a, std::int32_t n_tiles, const Stream& stream) {
  launch(evict_kernel, "evict",
         {.blocks = dim3(static_cast<unsigned>(n_tiles),
                         static_cast<unsigned>(a.shape.n_eviction_groups)),
          .threads = dim3(kThreads)},
         stream, a);
}

template <class T>
void compact(const EvictArguments& a, std::int32_t n_tiles, const Stream& stream) {
  launch(compact_kernel<T>, "compact",
         {.blocks = dim3(static_cast<unsigned>(n_tiles), static_cast<unsigned>(a.shape.n_kv_heads),
                         static_cast<unsigned>(a.layout.n_head_arrays())),
          .threads = dim3(kThreads)},
         stream, a);
}

template void compact<float>(const EvictArguments&, std::int32_t, const Stream&);
template void compact<Bf16>(const EvictArguments&, std::int32_t, const Stream&);

}  // namespace tovamill::cuda
