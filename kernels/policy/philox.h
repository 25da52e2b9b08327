// Philox 4x32-10, a counter-based random generator (Salmon, Moraes, Dror, Shaw 2011, section 4.3):
// a bijection of 128 bits under a key of 64, whose outputs for successive counters are random.
#pragma once

#include <cstdint>

#include "kernels/policy/host_device.h"

namespace tovamill {

struct PhiloxCounter {
  std::uint32_t at[4];
  bool operator==(const PhiloxCounter&) const = default;
};
struct PhiloxKey {
  std::uint32_t at[2];
};

TOVAMILL_HOST_DEVICE constexpr PhiloxCounter philox(PhiloxCounter counter, PhiloxKey key) {
  constexpr std::uint64_t kMultiplier0 = 0xd2511f53, kMultiplier1 = 0xcd9e8d57;
  constexpr std::uint32_t kWeyl0 = 0x9e3779b9, kWeyl1 = 0xbb67ae85;  // golden ratio, sqrt(3) - 1
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = kMultiplier0 * counter.at[0], b = kMultiplier1 * counter.at[2];
    counter = {{static_cast<std::uint32_t>(b >> 32) ^ counter.at[1] ^ key.at[0],
                static_cast<std::uint32_t>(b),
                static_cast<std::uint32_t>(a >> 32) ^ counter.at[3] ^ key.at[1],
                static_cast<std::uint32_t>(a)}};
    key = {{key.at[0] + kWeyl0, key.at[1] + kWeyl1}};
  }
  return counter;
}

}  // namespace tovamill
