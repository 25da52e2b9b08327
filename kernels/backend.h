// The arithmetic of a decoder-only transformer with bounded states, one operation per sentence of
// the paper's layer. Implemented by reference/ (float64, token by token), cpu/ and cuda/. Calls are
// enqueued in order; only `finish_step` and `read_*` wait, and what calls before them were to write
// to the host is there after them. A backend may keep several steps in flight at
// once, each with buffers of its own; what one step does to a state, a later one finds done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/device.h"
#include "kernels/nccl_group.h"
#include "kernels/state_keeper.h"
#include "kernels/state_plan.h"
#include "kernels/step_trace.h"
#include "kernels/types/cache_options.h"
#include "kernels/types/compute_type.h"
#include "kernels/types/device_kind.h"
#include "kernels/types/model_shape.h"
#include "kernels/weight_store.h"

namespace tovamill {

// One stream's part of a step: `n_tokens` consecutive tokens in rows [first_row, first_row +
// n_tokens) of its buffers.
struct StepBlock {
  StreamState* state = nullptr;
  std::int32_t first_row = 0;
  std::int32_t n_tokens = 0;
  std::int64_t position = 0;  // of the first token, counted from the stream's (chunk's) first
  // Tokens whose position is below never leave, beside those that the cache options pin (tova
  // policies) or keep as sinks (window). Pinned tokens take their places from the cache size, under
  // `window` and h2o from those of the newest tokens. Below the cache size; under `window` the same
  // in all blocks of a stream.
  std::int32_t pin = 0;
  // What random evictions are drawn by (PolicyTraits::draws), the same in all blocks of a stream.
  std::uint64_t random_key = 0;
  // No token leaves in this block and the policy remembers nothing of it: the state grows, as of
  // `full`. A block without it that finds more than the cache size must have one token: what the
  // policy makes of its query's weights brings the state down to the cache size at once (the prompt
  // processing of the paper's authors), and the state's memory to that of a bounded one.
  bool keeps_all = false;
  // Where the stream ends with this block: read_positions will be asked for. Says what to send
  // along to who must send for it; means nothing to a backend.
  bool asks_positions = false;
};

// A token that left a state.
struct Eviction {
  std::int32_t position = 0;  // its place in the stream
  std::int32_t step = 0;      // position of the last query that attended to it
  std::int32_t group = 0;     // the KV head that dropped it (head-wise policies), else 0
  float weight =
      0.0f;  // its attention weight from that query, the mean over the heads that decided
};

// What attention leaves behind of one block in one layer.
struct BlockEvents {
  // Of each group in order of steps, of one step as if one after another.
  std::vector<Eviction> evictions;
  std::uint64_t n_attended = 0;  // tokens attended, summed over the block's queries and the groups
};

// Rows of Q, K and V stacked in one matrix (kernels/README.md, "Blocks", step 1), and what is done
// to them before the rotation.
struct AttentionWeights {
  std::unique_ptr<Matrix> qkv;  // (q_size + 2 * kv_size, hidden_size), biases inside
  std::vector<float> q_norm;    // (head_dim) or, QkNorm::row, (q_size); empty where there is none
  std::vector<float> k_norm;
  std::vector<float> sinks;  // (n_heads) LayerShape::has_sinks, else empty
  // (head_dim) rotated queries are multiplied with it, each head; empty: with nothing. The weights
  // of both norms of QkNorm::rotated_heads, which then have none: norms do not see rotations.
  std::vector<float> q_factor = {};
  std::vector<float> v_norm = {};  // (head_dim) of each head of the values, which are kept so
};

class Backend : public StateKeeper {
 public:
  // What it computes on, as old as the backend itself.
  virtual Device& device() = 0;
  virtual const Device& device() const = 0;
  // Steps that may be in flight at once: begun and not finished.
  virtual std::int32_t n_in_flight() const { return 1; }

  // No allocation in a step but the growth of an unbounded state.

  // Announces the blocks of the next step; later calls refer to them, until the next begin_step.
  // Grows unbounded states, prepares rotations. Throws Error(internal) where a block does not fit
  // its state (StepBlock::pin, keeps_all) or n_in_flight() steps are in flight, OutOfMemory; no
  // state has changed but in size then.
  virtual void begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows) = 0;
  // out[row] = factor * row ids[row] of `embedding`, of as many columns as `out`.
  virtual void embed(std::span<const std::int32_t> ids, const TensorView& embedding, float factor,
                     Buffer& out) = 0;
  // x = factor * x, which is float32.
  virtual void scale(Buffer& x, float factor) = 0;
  // Columns [to_first, to_first + n) of `to` = those from `from_first` on of `from`; both float32.
  virtual void copy_columns(const Buffer& from, std::int32_t from_first, Buffer& to,
                            std::int32_t to_first, std::int32_t n) = 0;
  // x = x * the columns of `by`, which is float32, from `first` on; x is of the compute type.
  virtual void multiply_columns(Buffer& x, const Buffer& by, std::int32_t first) = 0;
  // out = norm(x), of the model's kind.
  virtual void norm(const Buffer& x, const NormWeights& weights, Buffer& out) = 0;
  // hidden += norm(x); of each part by itself, as many columns as there are weights.
  virtual void norm_add(const Buffer& x, const NormWeights& weights, Buffer& hidden) = 0;
  // out = x, rounded to its type; both of hidden_size columns.
  virtual void convert(const Buffer& x, Buffer& out) = 0;
  // out = x W^T + b.
  virtual void project(const Buffer& x, const Matrix& w, Buffer& out) = 0;
  // hidden += x W^T + b.
  virtual void project_add(const Buffer& x, const Matrix& w, Buffer& hidden) = 0;
  // out = activation(x G^T + g) * (x U^T + u).
  virtual void project_gated(const Buffer& x, const Matrix& gate_up, Activation activation,
                             Buffer& out) = 0;
  // out = activation(x U^T + u); `xielu` is read by that one alone.
  virtual void project_activated(const Buffer& x, const Matrix& up, Activation activation,
                                 const Xielu& xielu, Buffer& out) = 0;
  // hidden += what the experts make of x that `router` chooses for each row (ExpertsShape), in the
  // order of experts. `router` gives (n_rows, n_experts) logits; of equal ones the first is chosen.
  // A row comes to the same whatever rows are beside it.
  virtual void add_experts(const Buffer& x, const Matrix& router, const Experts& experts,
                           const LayerShape& layer, Buffer& hidden) = 0;
  // hidden += sigmoid(x . gate) y of each row; x, y and gate (hidden_size) wide.
  virtual void add_weighted(const Buffer& y, const Buffer& x, std::span<const float> gate,
                            Buffer& hidden) = 0;
  // Rotates Q and K, attends exactly as if token by token, lets the policy drop tokens, keeps the
  // survivors (kernels/README.md, "Evictions", "Blocks").
  // `qkv` (n_rows, q_size + 2 kv_size) is overwritten; `out` (n_rows,
  // q_size). events[i] belongs to block i.
  virtual void attend(std::int32_t layer, const AttentionWeights& weights, Buffer& qkv, Buffer& out,
                      std::span<BlockEvents> events) = 0;
  // nll[row] = log sum exp(l) - l[targets[row]] in nats, l = x H^T, capped where the model does;
  // rows with a negative target give 0. Logits exist for a few rows at a time only.
  virtual void target_nll(const Buffer& x, const Matrix& head,
                          std::span<const std::int32_t> targets, std::span<float> nll) = 0;
  // logits[i] = (x H^T + b)[rows[i]], capped where the model does, in float32 on the host: dense
  // (rows.size(), head.n_out()). `rows` of the step in any order; `x` has hidden_size columns. A
  // row gives the same bits in every call that holds it.
  virtual void read_logits(const Buffer& x, const Matrix& head, std::span<const std::int32_t> rows,
                           std::span<float> logits) = 0;

  // ids[i] = the first of the highest logits of row rows[i], as read_logits gives them, without
  // their way to the host; NaN are none, -1 where all are. False, and nothing is done, where the
  // device is the host.
  virtual bool read_argmax(const Buffer&, const Matrix&, std::span<const std::int32_t>,
                           std::span<std::int32_t>) {
    return false;
  }

  // Waits for the oldest step in flight: what its attend and target_nll were to write is there
  // after it. read_logits and read_rows may then be asked of its buffers, until as many more steps
  // have begun as may be in flight.
  virtual void finish_step() {}
  // What has been measured since the last call, where BackendOptions::traces.
  virtual StepTrace take_trace() { return {}; }
};

// What a backend is made for.
struct BackendOptions {
  ModelShape shape;
  CacheOptions cache;
  ComputeType dtype = ComputeType::f32;  // the reference backend makes no use of it
  int n_threads = 1;
  std::int32_t max_rows = 256;   // of a step
  std::int32_t max_block = 256;  // tokens of one stream in a step
  // Of the packed matrices and their biases; null is memory of the backend's own. Outlives the
  // backend. The reference backend makes no use of it.
  WeightStore* weights = nullptr;
  // The device of a backend of the same kind, shape and dtype, which outlives this one: its
  // weights, threads and memory are this backend's, too; steps, buffers and states are not. null: a
  // device of its own.
  Device* beside = nullptr;
  int device_index = 0;          // cuda: which of the GPUs that this process sees
  std::int32_t n_in_flight = 1;  // cuda: steps in flight at once that are wanted
  bool traces = false;           // cuda: measures the parts of each step, at the cost of some speed
  std::uint64_t device_bytes = 0;  // cuda: of its memory at most; 0: 92 %
  // cuda: whose weights one of them reads.
  std::optional<NcclGroupPlace> group = std::nullopt;
};

// Throws Error(no_device) where the device is not there, Error(configuration) where it cannot do
// the dtype.
std::unique_ptr<Backend> make_reference_backend(const BackendOptions& options);
std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options);
std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options);
std::unique_ptr<Backend> make_backend(DeviceKind device, const BackendOptions& options);

// Backend::read_all_positions by a read_positions after another.
std::vector<std::vector<std::int32_t>> read_each_position(const Backend& backend,
                                                          const StreamState& state,
                                                          std::int32_t n_layers,
                                                          std::int32_t n_eviction_groups);

}  // namespace tovamill
