// Where the packed weights of a host are, for its other ranks to map.
#pragma once

#include <cstdint>

namespace tovamill {

// A file in memory: descriptor `fd` of process `pid`; pid 0 is nowhere.
struct WeightsPlace {
  std::int32_t pid = 0;
  std::int32_t fd = -1;
  std::uint64_t n_bytes = 0;   // of the file
  std::uint64_t identity = 0;  // of what is packed and how
  bool operator==(const WeightsPlace&) const = default;
};

}  // namespace tovamill
