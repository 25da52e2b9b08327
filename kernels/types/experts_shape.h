// A feed-forward of experts (mixture of experts), of which each token takes a few:
//   x += sum over the used experts e of w_e down_e(activation(gate_e y) * (up_e y))
// with y = norm(x) and w_e from the softmax of a router's logits.
#pragma once

#include <cstdint>

namespace tovamill {

struct ExpertsShape {
  std::int32_t n_experts = 0;          // 0: one feed-forward for all tokens
  std::int32_t n_used = 0;             // for each token: those of the highest logits
  std::int32_t intermediate_size = 0;  // of each expert
  bool normalized = true;              // w is the softmax over the used experts, else over all
  bool router_bias = false;
  bool bias = false;  // of gate, up and down
  // Beside them a feed-forward that all tokens take (LayerShape::intermediate_size), which is
  // multiplied with the sigmoid of a projection of y.
  bool has_shared = false;
  bool has_shared_gate = false;

  bool operator==(const ExpertsShape&) const = default;
};

}  // namespace tovamill
