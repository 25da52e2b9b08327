// Routing: a warp a row chooses, a block an expert collects its rows in order. Reads the logits
// once, and the choices (4 n_rows n_used bytes) once for each expert; adding up reads 4 n_used n
// bytes a row.
#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/experts/expert_rows.h"
#include "kernels/types/model_limits.h"

namespace tovamill::cuda {
namespace {

constexpr unsigned kThreads = 256;

struct Best {
  float logit;
  std::int32_t expert;  // -1: none
};

// Whether `a` is chosen before `b`.
__device__ bool is_before(Best a, Best b) {
  if (a.expert < 0 || b.expert < 0) return a.expert >= 0;
  return a.logit > b.logit || (!(b.logit > a.logit) && a.expert < b.expert);
}

// Of the lanes, in all of them.
__device__ Best best_of_warp(Best best) {
  for (int i = kLanes / 2; i > 0; i /= 2) {
    const Best other{__shfl_xor_sync(kAllLanes, best.logit, i),
                     __shfl_xor_sync(kAllLanes, best.expert, i)};
    if (is_before(other, best)) best = other;
  }
  return {__shfl_sync(kAllLanes, best.logit, 0), __shfl_sync(kAllLanes, best.expert, 0)};
}

// By one thread: in the order of experts.
__device__ void sort_choices(std::int32_t* experts, float* weights, std::int32_t n) {
  for (std::int32_t i = 1; i < n; ++i) {
    const std::int32_t e = experts[i];
    const float w = weights[i];
    std::int32_t j = i;
    for (; j > 0 && experts[j - 1] > e; --j) {
      experts[j] = experts[j - 1];
      weights[j] = weights[j - 1];
    }
    experts[j] = e;
    weights[j] = w;
  }
}

__global__ void choose_kernel(const float* logits, ExpertsShape shape, ExpertRouting routing) {
  __shared__ float row[kMaxExperts];
  __shared__ bool is_taken[kMaxExperts];
  __shared__ std::int32_t experts[kMaxUsedExperts];
  __shared__ float weights[kMaxUsedExperts];
  const std::int64_t r = blockIdx.x;
  const auto lane = static_cast<std::int32_t>(threadIdx.x);
  for (std::int32_t e = lane; e < shape.n_experts; e += kLanes) {
    row[e] = logits[r * shape.n_experts + e];
    is_taken[e] = false;
  }
  __syncthreads();
  float highest = 0.0f;
  for (std::int32_t i = 0; i < shape.n_used; ++i) {
    Best best{0.0f, -1};
    for (std::int32_t e = lane; e < shape.n_experts; e += kLanes) {
      const Best other{row[e], e};
      if (!is_taken[e] && is_before(other, best)) best = other;
    }
    best = best_of_warp(best);
    if (i == 0) highest = best.logit;
    if (lane == 0) {
      is_taken[best.expert] = true;
      experts[i] = best.expert;
      weights[i] = expf(best.logit - highest);
    }
    __syncthreads();
  }
  float sum = 0.0f;
  for (std::int32_t e = lane; e < shape.n_experts; e += kLanes) sum += expf(row[e] - highest);
  sum = warp_sum(sum);
  if (shape.normalized) {
    sum = 0.0f;
    for (std::int32_t i = 0; i < shape.n_used; ++i) sum += weights[i];
  }
  if (lane == 0) sort_choices(experts, weights, shape.n_used);
  __syncthreads();
  for (std::int32_t i = lane; i < shape.n_used; i += kLanes) {
    routing.experts[r * shape.n_used + i] = experts[i];
    routing.weights[r * shape.n_used + i] = weights[i] / sum;
  }
}

// How many of the block's threads before this one have `flag`; `total` of all.
__device__ std::int32_t rank_in_block(bool flag, std::int32_t* shared, std::int32_t* total) {
  const unsigned bits = __ballot_sync(kAllLanes, flag);
  const unsigned lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes;
  __syncthreads();  // threads may still read the one before
  if (lane == 0) shared[warp] = __popc(bits);
  __syncthreads();
  std::int32_t rank = __popc(bits & ((1u << lane) - 1u));
  *total = 0;
  for (unsigned w = 0; w < blockDim.x / kLanes; ++w) {
    if (w < warp) rank += shared[w];
    *total += shared[w];
  }
  return rank;
}

// A block an expert; n choices.
__global__ void place_kernel(ExpertsShape shape, ExpertRouting routing, std::int32_t n) {
  __shared__ std::int32_t shared[kThreads / kLanes];
  const auto expert = static_cast<std::int32_t>(blockIdx.x);
  std::int32_t begin = 0;
  for (std::int32_t first = 0; first < n; first += static_cast<std::int32_t>(kThreads)) {
    const std::int32_t i = first + static_cast<std::int32_t>(threadIdx.x);
    std::int32_t n_before = 0;
    rank_in_block(i < n && routing.experts[i] < expert, shared, &n_before);
    begin += n_before;
  }
  std::int32_t place = begin;
  for (std::int32_t first = 0; first < n; first += static_cast<std::int32_t>(kThreads)) {
    const std::int32_t i = first + static_cast<std::int32_t>(threadIdx.x);
    const bool is_its = i < n && routing.experts[i] == expert;
    std::int32_t n_its = 0;
    const std::int32_t at = place + rank_in_block(is_its, shared, &n_its);
    if (is_its) {
      routing.places[i] = at;
      routing.rows[at] = i / shape.n_used;
    }
    place += n_its;
  }
  if (threadIdx.x != 0) return;
  routing.begins[expert] = begin;
  if (expert == shape.n_experts - 1) routing.begins[expert + 1] = n;
}

// One block: which tiles there are, those beyond them empty.
__global__ void tile_kernel(ExpertsShape shape, ExpertRouting routing, std::int32_t n_tiles) {
  __shared__ std::int32_t firsts[kMaxExperts + 1];
  if (threadIdx.x == 0) {
    firsts[0] = 0;
    for (std::int32_t e = 0; e < shape.n_experts; ++e) {
      const std::int32_t n = routing.begins[e + 1] - routing.begins[e];
      firsts[e + 1] = firsts[e] + (n + kExpertTile - 1) / kExpertTile;
    }
  }
  __syncthreads();
  for (auto e = static_cast<std::int32_t>(threadIdx.x); e < shape.n_experts;
       e += static_cast<std::int32_t>(blockDim.x)) {
    for (std::int32_t t = firsts[e]; t < firsts[e + 1]; ++t) {
      const std::int32_t first = routing.begins[e] + (t - firsts[e]) * kExpertTile;
      routing.tiles[t] = {e, first, min(kExpertTile, routing.begins[e + 1] - first)};
    }
  }
  for (std::int32_t t = firsts[shape.n_experts] + static_cast<std::int32_t>(threadIdx.x);
       t < n_tiles; t += static_cast<std::int32_t>(blockDim.x))
    routing.tiles[t] = {0, 0, 0};
}

__global__ void add_products_kernel(const float* products, std::int32_t n_used,
                                    ExpertRouting routing, std::int32_t n, float* hidden) {
  const std::int64_t row = blockIdx.x;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < n;
       i += static_cast<std::int32_t>(blockDim.x)) {
    float sum = hidden[row * n + i];
    for (std::int32_t j = 0; j < n_used; ++j) {
      const std::int64_t place = routing.places[row * n_used + j];
      sum += routing.weights[row * n_used + j] * products[place * n + i];
    }
    hidden[row * n + i] = sum;
  }
}

template <class T>
__global__ void add_weighted_kernel(const float* y, const T* x, const float* gate, std::int32_t n,
                                    float* hidden) {
  __shared__ float shared[kThreads / kLanes];
  const std::int64_t row = blockIdx.x;
  const auto first = static_cast<std::int32_t>(threadIdx.x),
             by = static_cast<std::int32_t>(blockDim.x);
  float sum = 0.0f;
  for (std::int32_t i = first; i < n; i += by) sum += to_float(x[row * n + i]) * gate[i];
  const float weight = 1.0f / (1.0f + expf(-block_sum(sum, shared)));
  for (std::int32_t i = first; i < n; i += by) hidden[row * n + i] += weight * y[row * n + i];
}

Grid blocks_of(std::int32_t n, unsigned threads) {
  return {.blocks = dim3(static_cast<unsigned>(n)), .threads = dim3(threads)};
}

}  // namespace

void route_rows(const float* logits, const ExpertsShape& shape, const ExpertRouting& routing,
                std::int32_t n_rows, const Stream& stream) {
  launch(choose_kernel, "choose_experts", blocks_of(n_rows, kLanes), stream, logits, shape,
         routing);
  launch(place_kernel, "place_by_expert", blocks_of(shape.n_experts, kThreads), stream, shape,
         routing, n_rows * shape.n_used);
  launch(tile_kernel, "expert_tiles", blocks_of(1, kThreads), stream, shape, routing,
         most_expert_tiles(n_rows, shape));
}

void add_products(const float* products, const ExpertsShape& shape, const ExpertRouting& routing,
                  std::int32_t n, float* hidden, std::int32_t n_rows, const Stream& stream) {
  launch(add_products_kernel, "add_products", blocks_of(n_rows, kThreads), stream, products,
         shape.n_used, routing, n, hidden);
}

template <class T>
void add_weighted_rows(const float* y, const T* x, const float* gate, std::int32_t n, float* hidden,
                       std::int32_t n_rows, const Stream& stream) {
  launch(add_weighted_kernel<T>, "add_weighted", blocks_of(n_rows, kThreads), stream, y, x, gate, n,
         hidden);
}

template void add_weighted_rows<float>(const float*, const float*, const float*, std::int32_t,
                                       float*, std::int32_t, const Stream&);
template void add_weighted_rows<Bf16>(const float*, const Bf16*, const float*, std::int32_t, float*,
                                      std::int32_t, const Stream&);

}  // namespace tovamill::cuda
