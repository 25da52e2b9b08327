#include "kernels/cuda/step/in_flight_step.h"

#include <algorithm>
#include <cstring>

namespace tovamill::cuda {

InFlightStep::InFlightStep(const BackendOptions& options, const AttentionModel& model,
                           RowGemm& gemm, Arena& arena, TraceSum& trace)
    : type_(model.type()),
      norm_(options.shape.norm),
      eps_(options.shape.norm_eps),
      logit_cap_(options.shape.logit_cap),
      head_rows_(std::min(kHeadRows, options.max_rows)),
      gemm_(gemm),
      trace_(trace),
      timer_(options.traces),
      attention_(model, arena, stream_, timer_),
      workspace_(gemm.make_workspace(arena)),
      experts_(options.shape, options.max_rows, type_, arena) {
  const ModelShape& shape = options.shape;
  const auto rows = static_cast<std::size_t>(options.max_rows),
             head_rows = static_cast<std::size_t>(head_rows_), each = element_bytes(type_);
  gate_up_ = arena.take(rows * 2 * static_cast<std::size_t>(shape.intermediate_size) * each,
                        "gate and up projections");
  logits_ =
      arena.take(head_rows * static_cast<std::size_t>(shape.vocab_size) * sizeof(float), "logits");
  gathered_ = arena.take(head_rows * static_cast<std::size_t>(shape.hidden_size) * each,
                         "the rows whose logits are read");
  ids_ = arena.take(rows * sizeof(std::int32_t), "tokens");
  targets_ = arena.take(rows * sizeof(std::int32_t), "targets");
  nll_ = arena.take(rows * sizeof(float), "likelihoods");
  host_ids_ = PinnedMemory(rows * sizeof(std::int32_t));
  host_targets_ = PinnedMemory(rows * sizeof(std::int32_t));
  host_nll_ = PinnedMemory(rows * sizeof(float));
}

std::uint64_t InFlightStep::workspace_bytes() const {
  return attention_.workspace_bytes() + workspace_.size() + gate_up_.size() + logits_.size() +
         experts_.n_bytes() + gathered_.size() + ids_.size() + targets_.size() + nll_.size();
}

std::uint64_t InFlightStep::workspace_bytes_for(std::int64_t n_slots) const {
  return workspace_bytes() - attention_.workspace_bytes() + attention_.workspace_bytes_for(n_slots);
}

// ---- a step from its beginning to its end

void InFlightStep::begin(StepNumber step, std::span<const StepBlock> blocks, std::int32_t n_rows) {
  step_ = step;
  is_open_ = true;
  ids_staged_ = targets_staged_ = false;
  n_rows_ = n_rows;
  requested_events_.clear();
  requested_nll_ = {};
  cut_segments(blocks, n_rows);
  timer_.begin(StepPart::states, stream_);
  attention_.begin_step(blocks, n_rows);
  defers_ = can_repeat();
}

// Whether the next steps are likely to launch the same kernels: all blocks are of one token and
// evict one at the most. Events between the parts of a step do not go into a graph.
bool InFlightStep::can_repeat() const {
  const std::vector<TileBatch>& batches = attention_.layout().batches();
  const bool all_decode = std::all_of(batches.begin(), batches.end(), [](const TileBatch& b) {
    return b.kind == TileKind::decode && b.max_evictions <= 1;
  });
  return !timer_.is_on() && all_decode && segments_.size() == 1 &&
         segments_.front().kind == RowKind::decode;
}

// Rows of blocks of one token, rows of longer ones, in runs. Rows of no block are as of long ones.
void InFlightStep::cut_segments(std::span<const StepBlock> blocks, std::int32_t n_rows) {
  std::vector<RowKind> kinds(static_cast<std::size_t>(n_rows), RowKind::prefill);
  for (const StepBlock& b : blocks) {
    if (b.n_tokens == 1) kinds[static_cast<std::size_t>(b.first_row)] = RowKind::decode;
  }
  segments_.clear();
  for (std::int32_t r = 0; r < n_rows; ++r) {
    const RowKind kind = kinds[static_cast<std::size_t>(r)];
    if (segments_.empty() || segments_.back().kind != kind) segments_.push_back({r, 0, kind});
    ++segments_.back().n_rows;
  }
}

RowKind InFlightStep::kind_of(std::int32_t row) const {
  for (const Segment& s : segments_) {
    if (row >= s.first && row < s.first + s.n_rows) return s.kind;
  }
  return RowKind::prefill;
}

// Copies through page-locked memory that is free since the step before in its place has been
// finished; where it has been used in this step already, once the stream has come past that.
const std::int32_t* InFlightStep::stage(std::span<const std::int32_t> numbers, std::byte* host,
                                        const ArenaBlock& to, bool& is_staged) {
  if (is_staged) stream_.synchronize();
  is_staged = true;
  std::memcpy(host, numbers.data(), numbers.size_bytes());
  TOVAMILL_CUDA(cudaMemcpyAsync(to.data(), host, numbers.size_bytes(), cudaMemcpyHostToDevice,
                                stream_.get()));
  return static_cast<const std::int32_t*>(to.data());
}

void InFlightStep::set_ids(std::span<const std::int32_t> ids) {
  flush();  // who reads those before
  stage(ids, host_ids_.data(), ids_, ids_staged_);
}

void InFlightStep::close() {
  if (!is_open_) return;
  flush();
  is_open_ = defers_ = false;
  if (!requested_events_.empty()) attention_.fetch_events();
  if (!requested_nll_.empty())
    TOVAMILL_CUDA(cudaMemcpyAsync(host_nll_.data(), nll_.data(), requested_nll_.size_bytes(),
                                  cudaMemcpyDeviceToHost, stream_.get()));
  timer_.end(stream_);
  end_.record(stream_);
}

void InFlightStep::order(const Stream& other) {
  flush();
  if (&other == &stream_) return;
  called_.record(stream_);
  other.wait(called_);
}

void InFlightStep::wait(const Event& event) {
  flush();  // which waits for nothing; and no graph holds a wait
  stream_.wait(event);
}

void InFlightStep::synchronize() {
  flush();
  stream_.synchronize();
}

void InFlightStep::finish() {
  close();
  end_.synchronize();
  for (const auto& [layer, events] : requested_events_) {
    for (std::size_t b = 0; b < events.size(); ++b) attention_.read_events(layer, b, events[b]);
  }
  if (!requested_nll_.empty())
    std::memcpy(requested_nll_.data(), host_nll_.data(), requested_nll_.size_bytes());
  requested_events_.clear();
  requested_nll_ = {};
  timer_.read(trace_);
}

}  // namespace tovamill::cuda
