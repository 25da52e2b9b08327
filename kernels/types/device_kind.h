// On what a backend computes.
#pragma once

#include <cstdint>
#include <string_view>

namespace tovamill {

// `reference` is for tests: float64, whatever the compute type.
enum class DeviceKind : std::uint8_t { cpu, cuda, reference };

// As --device and all files of a run spell it.
constexpr std::string_view name_of(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::cpu:
      return "cpu";
    case DeviceKind::cuda:
      return "cuda";
    case DeviceKind::reference:
      return "reference";
  }
  return "?";
}

}  // namespace tovamill
