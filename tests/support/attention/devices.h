// On which devices tests run. `cuda` is a GPU where the build has CUDA and the machine a GPU; in a
// build without CUDA its kernels run on the CPU (cuda_emulation), some hundred times slower, so
// that tests run a part of their settings there: all of them with TOVAMILL_EMULATE_ALL=1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/types/device_kind.h"

namespace tovamill::testing {

// How much of a GPU's memory a backend of the tests takes, several of which stand side by side.
inline constexpr std::uint64_t kTestDeviceBytes = std::uint64_t{128} << 20;

// Those of `wanted` that are there.
std::vector<DeviceKind> devices(const std::vector<DeviceKind>& wanted);
// Whether setting number `i` of a test, from 0 on, runs on the device: on a slow one each
// `every`-th does.
inline constexpr std::size_t kNever = 0, kFirst = SIZE_MAX;
bool runs_on(DeviceKind device, std::size_t i, std::size_t every);

}  // namespace tovamill::testing
