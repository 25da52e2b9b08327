// How many rows of a long table of alike ones a test takes.
#pragma once

#include <cstddef>

namespace tovamill::testing {

// One in so many: all, but where the sanitizers take ten times as long for each.
constexpr std::size_t row_step([[maybe_unused]] std::size_t sanitized) {
#if defined(TOVAMILL_SANITIZED)
  return sanitized;
#else
  return 1;
#endif
}

}  // namespace tovamill::testing
