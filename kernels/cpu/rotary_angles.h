// Cosines and sines of rotary angles, exact to float32 at any position (angles are reduced in
// float64).
#pragma once

#include <cstdint>
#include <vector>

namespace tovamill::cpu {

class RotaryAngles {
 public:
  // inv_freq (head_dim / 2) radians per token. Positions below `n_table` are looked up, others
  // computed.
  RotaryAngles(const std::vector<double>& inv_freq, std::int64_t n_table);

  std::int32_t half() const { return static_cast<std::int32_t>(inv_freq_.size()); }
  // cosines and sines (half each) of position * inv_freq.
  void fill(std::int64_t position, float* cosines, float* sines) const;
  std::uint64_t n_bytes() const;

 private:
  // position = kFine * high + low: cos and sin of the sum from two small tables.
  static constexpr std::int64_t kFine = 256;
  std::vector<double> inv_freq_;
  std::vector<double> fine_, coarse_;  // (kFine | n_coarse, 2, half)
  std::int64_t n_coarse_ = 0;
};

}  // namespace tovamill::cpu
