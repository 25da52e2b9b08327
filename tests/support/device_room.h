// How much of a GPU's memory a backend of the tests takes: several stand side by side.
#pragma once

#include <cstdint>

namespace tovamill::testing {

inline constexpr std::uint64_t kTestDeviceBytes = std::uint64_t{48} << 20;

}  // namespace tovamill::testing
