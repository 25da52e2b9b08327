#include "kernels/cuda/step/state_pool.h"

#include <algorithm>
#include <string>

#include "kernels/types/error.h"

namespace tovamill::cuda {
namespace {

// Copies `n` rows of `width` bytes.
void copy_rows(unsigned char* to, std::int64_t to_pitch, const unsigned char* from,
               std::int64_t from_pitch, std::int64_t width, std::int64_t n, const Stream& stream) {
  TOVAMILL_CUDA(cudaMemcpy2DAsync(to, static_cast<std::size_t>(to_pitch), from,
                                  static_cast<std::size_t>(from_pitch),
                                  static_cast<std::size_t>(width), static_cast<std::size_t>(n),
                                  cudaMemcpyDeviceToDevice, stream.get()));
}

}  // namespace

CudaState::~CudaState() {
  if (const auto owner = pool.lock()) owner->forget(*this);
}

std::unique_ptr<CudaState> CudaStatePool::make() {
  auto state = std::make_unique<CudaState>(weak_from_this());
  resize(*state, model_.capacity(0, false));
  return state;
}

const Stream& CudaStatePool::after(const CudaState& state) {
  in_flight_.order_after(state.last_step, stream_);
  return stream_;
}

// Frees what is kept for steps whose calls have all come, waiting for them. Whether there was any.
bool CudaStatePool::release_all() {
  if (kept_.empty()) return false;
  in_flight_.synchronize();
  const InFlightStep& newest = in_flight_.newest();
  const std::size_t n = std::erase_if(
      kept_, [&](const Kept& k) { return !newest.is_open() || k.until != newest.step(); });
  return n > 0;
}

ArenaBlock CudaStatePool::take(std::int64_t capacity) {
  constexpr const char* kWhat = "the state of a sequence";
  const std::size_t n_bytes = model_.state_bytes(capacity);
  try {
    return arena_->take(n_bytes, kWhat);
  } catch (const OutOfMemory&) {
    if (!release_all()) throw;
  }
  return arena_->take(n_bytes, kWhat);
}

// Takes the state to `memory`; `memory` is then what it had. Bytes: those of the new capacity
// written once, of the tokens held read and written once.
void CudaStatePool::move(CudaState& state, ArenaBlock& memory, std::int64_t capacity,
                         const Stream& stream) {
  // Values that no token has written are multiplied by a weight of 0: they must be numbers.
  TOVAMILL_CUDA(cudaMemsetAsync(memory.data(), 0, model_.state_bytes(capacity), stream.get()));
  for (std::int32_t l = 0; l < model_.model().n_layers && state.n_held > 0; ++l) {
    const StateLayout& layout = model_.layout(l);
    const std::int64_t row = static_cast<std::int64_t>(layout.head_dim) * layout.element_bytes,
                       n_heads = layout.n_kv_heads * layout.n_head_arrays();
    const std::int64_t n_slots = model_.n_slots(state, l),
                       before = model_.layer_capacity(l, state.capacity),
                       after = model_.layer_capacity(l, capacity);
    const unsigned char* from = state.data() + model_.layer_offset(l, state.capacity);
    auto* to = static_cast<unsigned char*>(memory.data()) + model_.layer_offset(l, capacity);
    copy_rows(to, layout.head_bytes(after), from, layout.head_bytes(before), row * n_slots, n_heads,
              stream);
    from += n_heads * layout.head_bytes(before);
    to += n_heads * layout.head_bytes(after);
    copy_rows(to, layout.slot_array_bytes(after), from, layout.slot_array_bytes(before),
              4 * n_slots, layout.n_eviction_groups * layout.n_slot_arrays(), stream);
  }
  std::swap(state.memory, memory);
  state.capacity = capacity;
}

void CudaStatePool::resize(CudaState& state, std::int64_t capacity) {
  if (state.capacity == capacity) return;
  ArenaBlock memory = take(capacity);
  const Stream& stream = after(state);
  move(state, memory, capacity, stream);
  stream.synchronize();  // what it had may be another state's from now on
}

void CudaStatePool::copy(const CudaState& from, CudaState& to) {
  if (&from == &to) return;
  ArenaBlock memory;
  if (to.capacity != from.capacity) memory = take(from.capacity);
  after(from);
  const Stream& stream = after(to);
  if (memory.data() != nullptr) std::swap(to.memory, memory);
  TOVAMILL_CUDA(cudaMemcpyAsync(to.data(), from.data(), model_.state_bytes(from.capacity),
                                cudaMemcpyDeviceToDevice, stream.get()));
  stream.synchronize();
  to.capacity = from.capacity;
  to.n_held = from.n_held;
  to.n_grown = from.n_grown;
  to.n_tokens = from.n_tokens;
  to.rotation = from.rotation;
  to.segment_base = from.segment_base;
  to.pin = from.pin;
}

// ---- in a step

void CudaStatePool::check(const StepBlock& block) const {
  const auto& state = *static_cast<const CudaState*>(block.state);
  for (std::int32_t l = 0; l < (model_.layers_differ() ? model_.model().n_layers : 1); ++l)
    check_block(model_.cache(), block, model_.places(l), model_.n_slots(state, l));
  if (block.position != state.n_tokens)
    throw Error(ExitCode::internal, "a block begins at position " + std::to_string(block.position) +
                                        " where its sequence is at " +
                                        std::to_string(state.n_tokens));
}

// Whether a layer holds more than its places.
bool CudaStatePool::is_over(const CudaState& state) const {
  const std::int32_t n_layers = model_.layers_differ() ? model_.model().n_layers : 1;
  for (std::int32_t l = 0; l < n_layers; ++l) {
    if (model_.n_slots(state, l) > model_.places(l).size) return true;
  }
  return false;
}

// Makes room for the blocks, in their states and in the scratch.
void CudaStatePool::grow(std::span<const StepBlock> blocks, InFlightStep& in_flight) {
  const CacheOptions& cache = model_.cache();
  for (const StepBlock& block : blocks) {
    auto& state = *static_cast<CudaState*>(block.state);
    const bool grows = !is_bounded(cache) || block.keeps_all || is_over(state);
    if (!grows) continue;
    const std::int64_t wanted = model_.capacity(state.n_held + block.n_tokens, true);
    if (wanted > state.capacity) {
      ArenaBlock memory = take(wanted);
      move(state, memory, wanted, in_flight.stream());
      kept_.push_back({in_flight_.next_step(), std::move(memory)});
    }
    try {
      in_flight.attention().make_room(wanted);
    } catch (const OutOfMemory&) {
      if (!release_all()) throw;
      in_flight.attention().make_room(wanted);
    }
  }
}

void CudaStatePool::prepare(std::span<const StepBlock> blocks) {
  for (const StepBlock& block : blocks) check(block);
  InFlightStep& in_flight = in_flight_.next();
  in_flight_.newest().close();
  std::vector<StepNumber> before;
  for (const StepBlock& block : blocks)
    before.push_back(static_cast<const CudaState*>(block.state)->last_step);
  std::sort(before.begin(), before.end());
  before.erase(std::unique(before.begin(), before.end()), before.end());
  for (const StepNumber step : before) in_flight_.order_after(step, in_flight.stream());
  const StepNumber number = in_flight_.next_step();
  try {
    grow(blocks, in_flight);
  } catch (...) {
    in_flight.stream().synchronize();  // what has moved is where it is
    std::erase_if(kept_, [&](const Kept& k) { return k.until == number; });
    throw;
  }
  for (const StepBlock& block : blocks) {
    auto& state = *static_cast<CudaState*>(block.state);
    state.last_step = number;
    if (is_bounded(model_.cache()) && !block.keeps_all &&
        state.capacity > model_.capacity(0, false))
      brought_down_.push_back({number, &state});
  }
}

void CudaStatePool::finish(StepNumber step) {
  std::erase_if(kept_, [&](const Kept& k) { return k.until <= step; });
  for (const Shrunk& b : brought_down_) {
    if (b.step != step || b.state->last_step != step) continue;
    try {
      resize(*b.state, model_.capacity(0, false));
    } catch (const OutOfMemory&) {  // it stays large until its next step
    }
  }
  std::erase_if(brought_down_, [&](const Shrunk& b) { return b.step <= step; });
}

void CudaStatePool::forget(CudaState& state) {
  std::erase_if(brought_down_, [&](const Shrunk& b) { return b.state == &state; });
  if (!in_flight_.is_finished(state.last_step))
    kept_.push_back({state.last_step, std::move(state.memory)});
}

}  // namespace tovamill::cuda
