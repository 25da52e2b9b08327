#include "kernels/cuda/step/experts.h"

#include <algorithm>
#include <vector>

#include "kernels/cuda/experts/expert_gemm.h"
#include "kernels/cuda/gemm/elementwise.h"
#include "kernels/cuda/step/device.h"
#include "kernels/cuda/step/in_flight_step.h"

namespace tovamill::cuda {

std::unique_ptr<Experts> CudaDevice::pack_experts(std::span<const ExpertTensors> experts) {
  MatrixSource gate_up, down;
  for (const ExpertTensors& e : experts) {
    gate_up.parts.insert(gate_up.parts.end(), {e.gate, e.up});
    gate_up.biases.insert(gate_up.biases.end(), {e.gate_bias, e.up_bias});
    down.parts.push_back(e.down);
    down.biases.push_back(e.down_bias);
  }
  auto all = std::make_unique<CudaExperts>();
  all->gate_up = pack(gate_up);
  all->down = pack(down);
  return all;
}

ExpertScratch::ExpertScratch(const ModelShape& shape, std::int32_t max_rows, ComputeType type,
                             Arena& arena) {
  const ExpertsShape widest = shape.widest_experts();
  if (widest.n_experts == 0) return;
  max_rows_ = std::min(max_rows, kMostRows);
  const auto each = element_bytes(type);
  const auto places = static_cast<std::size_t>(max_rows_) * static_cast<std::size_t>(widest.n_used),
             inner = static_cast<std::size_t>(widest.intermediate_size),
             n_experts = static_cast<std::size_t>(widest.n_experts),
             hidden = static_cast<std::size_t>(shape.hidden_size);
  const auto take = [&](std::size_t n_bytes) { return arena.take(n_bytes, "the rows of experts"); };
  logits_ = take(static_cast<std::size_t>(max_rows) * n_experts * sizeof(float));
  experts_ = take(places * sizeof(std::int32_t));
  weights_ = take(places * sizeof(float));
  places_ = take(places * sizeof(std::int32_t));
  rows_ = take(places * sizeof(std::int32_t));
  begins_ = take((n_experts + 1) * sizeof(std::int32_t));
  tiles_ =
      take(static_cast<std::size_t>(most_expert_tiles(max_rows_, widest)) * sizeof(ExpertTile));
  gate_up_ = take(places * 2 * inner * each);
  gated_ = take(places * inner * each);
  products_ = take(places * hidden * sizeof(float));
}

std::uint64_t ExpertScratch::n_bytes() const {
  std::uint64_t sum = 0;
  for (const ArenaBlock* block : {&logits_, &experts_, &weights_, &places_, &rows_, &begins_,
                                  &tiles_, &gate_up_, &gated_, &products_})
    sum += block->size();
  return sum;
}

ExpertRouting ExpertScratch::routing() const {
  return {.experts = static_cast<std::int32_t*>(experts_.data()),
          .weights = static_cast<float*>(weights_.data()),
          .places = static_cast<std::int32_t*>(places_.data()),
          .rows = static_cast<std::int32_t*>(rows_.data()),
          .begins = static_cast<std::int32_t*>(begins_.data()),
          .tiles = static_cast<ExpertTile*>(tiles_.data())};
}

// The router for all rows, as dense products are; then rows and their experts, a band at a time.
template <class T>
void InFlightStep::add_experts(const Call& call) {
  const ExpertCall& e = call.experts;
  const std::int32_t n_experts = e.shape.n_experts, hidden = call.n_in;
  const ExpertRouting routing = experts_.routing();
  timer_.enter(StepPart::gemm, stream_);
  Call router = call;
  router.n_out = n_experts;
  router.adds = false;
  multiply(router, experts_.logits(), ComputeType::f32);
  if (call.bias != nullptr) add_bias(experts_.logits(), call.bias, n_experts, n_rows_, stream_);
  for (std::int32_t first = 0; first < n_rows_; first += experts_.max_rows()) {
    const std::int32_t n = std::min(experts_.max_rows(), n_rows_ - first),
                       n_tiles = most_expert_tiles(n, e.shape), inner = e.shape.intermediate_size;
    const auto at = static_cast<std::int64_t>(first);
    timer_.enter(StepPart::rows, stream_);
    route_rows(experts_.logits() + at * n_experts, e.shape, routing, n, stream_);
    timer_.enter(StepPart::gemm, stream_);
    auto* gate_up = static_cast<T*>(experts_.gate_up());
    auto* gated = static_cast<T*>(experts_.gated());
    multiply_experts<T, T>({.x = static_cast<const T*>(call.in) + at * hidden,
                            .rows = routing.rows,
                            .weights = static_cast<const T*>(e.gate_up),
                            .bias = e.gate_up_bias,
                            .n_out = 2 * inner,
                            .n_in = hidden,
                            .tiles = routing.tiles},
                           gate_up, n_tiles, stream_);
    gate_rows(gate_up, {.activation = call.activation, .is_gated = true, .n = inner}, gated,
              n * e.shape.n_used, stream_);
    multiply_experts<T, float>({.x = gated,
                                .weights = static_cast<const T*>(e.down),
                                .bias = e.down_bias,
                                .n_out = hidden,
                                .n_in = inner,
                                .tiles = routing.tiles},
                               experts_.products(), n_tiles, stream_);
    timer_.enter(StepPart::rows, stream_);
    add_products(experts_.products(), e.shape, routing, hidden,
                 static_cast<float*>(call.out) + at * hidden, n, stream_);
  }
}

template void InFlightStep::add_experts<float>(const Call&);
template void InFlightStep::add_experts<Bf16>(const Call&);

}  // namespace tovamill::cuda
