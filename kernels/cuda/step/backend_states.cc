// States between steps; saving them stands in saved_state.cc.
#include <algorithm>
#include <cstring>

#include "kernels/cuda/step/backend.h"

namespace tovamill::cuda {
namespace {

CudaState& cast(StreamState& s) { return static_cast<CudaState&>(s); }
const CudaState& cast(const StreamState& s) { return static_cast<const CudaState&>(s); }

}  // namespace

std::unique_ptr<StreamState> CudaBackend::make_state() { return states_->make(); }

std::uint64_t CudaBackend::state_bytes() const {
  return state_bytes_for(options_.cache.chunk_tokens > 0 ? options_.cache.chunk_tokens
                                                         : options_.shape.trained_context,
                         false);
}

std::uint64_t CudaBackend::state_bytes_for(std::int64_t n_tokens, bool keeps_all) const {
  return model_.state_bytes(model_.capacity(n_tokens, keeps_all));
}

std::uint64_t CudaBackend::workspace_bytes() const { return in_flight_.workspace_bytes(); }

std::uint64_t CudaBackend::workspace_bytes_for(std::int64_t n_tokens, bool keeps_all) const {
  return in_flight_.workspace_bytes_for(model_.capacity(n_tokens, keeps_all));
}

void CudaBackend::reset(StreamState& state) {
  CudaState& s = cast(state);
  s.n_held = s.n_grown = s.n_tokens = s.rotation = s.segment_base = 0;
  s.pin = 0;
  if (is_bounded(options_.cache)) states_->resize(s, model_.capacity(0, false));
}

void CudaBackend::reserve(StreamState& state, std::int64_t n_tokens, bool keeps_all) {
  CudaState& s = cast(state);
  states_->resize(s, std::max(s.capacity, model_.capacity(n_tokens, keeps_all)));
}

void CudaBackend::copy(const StreamState& from, StreamState& to) {
  states_->copy(cast(from), cast(to));
}

std::int64_t CudaBackend::n_tokens(const StreamState& state) const { return cast(state).n_tokens; }

std::vector<std::int32_t> CudaBackend::read_positions(const StreamState& state, std::int32_t layer,
                                                      std::int32_t group) const {
  const CudaState& s = cast(state);
  const std::int32_t n_merged = model_.shape(layer).n_merged;
  std::vector<std::int32_t> positions(
      static_cast<std::size_t>(model_.n_slots(s, layer) - n_merged));
  const LayerView view = model_.view(s, layer);
  const Stream& stream = states_->after(s);
  TOVAMILL_CUDA(cudaMemcpyAsync(positions.data(), view.positions(group) + n_merged,
                                positions.size() * sizeof(std::int32_t), cudaMemcpyDeviceToHost,
                                stream.get()));
  stream.synchronize();
  std::sort(positions.begin(), positions.end());
  return positions;
}

// A copy of all layers for each group, 4 bytes a column, and one wait.
std::vector<std::vector<std::int32_t>> CudaBackend::read_all_positions(
    const StreamState& state) const {
  const CudaState& s = cast(state);
  const StateLayout& layout = model_.layout();
  if (model_.layers_differ())
    return read_each_position(*this, state, layout.n_layers, layout.n_eviction_groups);
  const auto layers = static_cast<std::size_t>(layout.n_layers),
             groups = static_cast<std::size_t>(layout.n_eviction_groups),
             n = static_cast<std::size_t>(s.n_held), row = n * sizeof(std::int32_t);
  std::vector<std::vector<std::int32_t>> all(layers * groups, std::vector<std::int32_t>(n));
  if (n == 0) return all;
  const PinnedMemory host(layers * groups * row);  // (n_eviction_groups, n_layers, n)
  const LayerView first(s.data(), layout, s.capacity, 0);
  const Stream& stream = states_->after(s);
  for (std::size_t g = 0; g < groups; ++g) {
    TOVAMILL_CUDA(cudaMemcpy2DAsync(host.data() + g * layers * row, row,
                                    first.positions(static_cast<std::int32_t>(g)),
                                    static_cast<std::size_t>(layout.layer_bytes(s.capacity)), row,
                                    layers, cudaMemcpyDeviceToHost, stream.get()));
  }
  stream.synchronize();
  for (std::size_t l = 0; l < layers; ++l) {
    for (std::size_t g = 0; g < groups; ++g) {
      std::vector<std::int32_t>& positions = all[l * groups + g];
      std::memcpy(positions.data(), host.data() + (g * layers + l) * row, row);
      std::sort(positions.begin(), positions.end());
    }
  }
  return all;
}

}  // namespace tovamill::cuda
