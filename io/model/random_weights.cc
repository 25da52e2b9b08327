#include "io/model/random_weights.h"

#include <algorithm>
#include <array>
#include <system_error>
#include <thread>
#include <vector>

#include "kernels/types/tensor.h"

namespace tovamill {
namespace {

// The sum of four random bytes, 0 to 1020: its distribution is nearly normal with the standard
// deviation sqrt(4 (256^2 - 1) / 12): the weight of bf16 with the standard deviation 0.02. One
// rounding of a float32 product, so that every machine has the same.
std::array<std::uint16_t, 1021> weights_by_sum() {
  constexpr float kScale = 0.02f / 147.801f;
  std::array<std::uint16_t, 1021> weights{};
  for (std::size_t sum = 0; sum < weights.size(); ++sum)
    weights[sum] = bf16_from_float((static_cast<float>(sum) - 510.0f) * kScale);
  return weights;
}

constexpr std::uint32_t sum_of_bytes(std::uint32_t x) {
  const std::uint32_t pairs = (x & 0x00ff00ffu) + ((x >> 8) & 0x00ff00ffu);
  return (pairs & 0xffffu) + (pairs >> 16);
}

}  // namespace

// One counter gives two weights.
void fill_with_random_weights(std::span<std::uint16_t> pool) {
  const std::array<std::uint16_t, 1021> weights = weights_by_sum();
  const auto fill_part = [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; i += 2) {
      const std::uint64_t bits = random_bits(i / 2);
      pool[i] = weights[sum_of_bytes(static_cast<std::uint32_t>(bits))];
      if (i + 1 < last) pool[i + 1] = weights[sum_of_bytes(static_cast<std::uint32_t>(bits >> 32))];
    }
  };
  constexpr std::size_t kLeastPart = 1 << 20;  // less is not worth a thread
  const std::size_t n_threads =
      std::min<std::size_t>(std::clamp(std::thread::hardware_concurrency(), 1u, 16u),
                            std::max<std::size_t>(1, pool.size() / kLeastPart));
  const std::size_t part = (pool.size() / n_threads + 2) / 2 * 2;
  std::vector<std::jthread> others;
  for (std::size_t first = part; first < pool.size(); first += part) {
    const std::size_t last = std::min(pool.size(), first + part);
    try {
      others.emplace_back(fill_part, first, last);
    } catch (const std::system_error&) {
      fill_part(first, last);  // no more threads are to be had
    }
  }
  fill_part(0, std::min(pool.size(), part));
}

}  // namespace tovamill
