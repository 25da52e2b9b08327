// Which experts the rows of a step take, in memory of the device: nothing of it comes to the host.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/runtime.h"
#include "kernels/types/experts_shape.h"

namespace tovamill::cuda {

// Rows of a tile of an expert's rows.
inline constexpr std::int32_t kExpertTile = 64;

// Rows [first, first + n_rows) of the places belong to `expert`; none where n_rows is 0.
struct ExpertTile {
  std::int32_t expert, first, n_rows;
};

// A choice of a row has a place among the choices of all rows, which stand by expert, then by row.
struct ExpertRouting {
  std::int32_t* experts = nullptr;  // (n_rows, n_used) ascending in a row
  float* weights = nullptr;         // (n_rows, n_used)
  std::int32_t* places = nullptr;   // (n_rows, n_used)
  std::int32_t* rows = nullptr;     // (n_rows * n_used) the row of a place
  std::int32_t* begins = nullptr;   // (n_experts + 1) first place of each
  ExpertTile* tiles = nullptr;      // (most_expert_tiles)
};
// Tiles that the places of so many rows may come to.
constexpr std::int32_t most_expert_tiles(std::int32_t n_rows, const ExpertsShape& shape) {
  return n_rows * shape.n_used / kExpertTile + shape.n_experts;
}

// Fills the routing of rows whose logits are (n_rows, n_experts): of equal logits the first expert
// is chosen.
void route_rows(const float* logits, const ExpertsShape& shape, const ExpertRouting& routing,
                std::int32_t n_rows, const Stream& stream);

// hidden (n_rows, n) += weights times products (places, n), in the order of experts.
void add_products(const float* products, const ExpertsShape& shape, const ExpertRouting& routing,
                  std::int32_t n, float* hidden, std::int32_t n_rows, const Stream& stream);

// hidden (n_rows, n) += sigmoid(x . gate) y, x and y (n_rows, n).
template <class T>
void add_weighted_rows(const float* y, const T* x, const float* gate, std::int32_t n, float* hidden,
                       std::int32_t n_rows, const Stream& stream);

}  // namespace tovamill::cuda
