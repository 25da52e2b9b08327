// The tables of vectors of GGUF's IQ types: constants of the format, as ggml-common.h of
// github.com/ggml-org/ggml has them (iq1s_grid, iq2xxs_grid and so on; MIT). An entry holds eight
// elements of two bits (IQ1, IQ2) or four of four bits (IQ3), the first in the lowest bits: which
// of the type's numbers it is.
#pragma once

#include <array>
#include <cstdint>

namespace tovamill {

extern const std::array<std::uint16_t, 2048> kIq1Grid;  // also IQ1_M's
extern const std::array<std::uint16_t, 1024> kIq2SGrid;
extern const std::array<std::uint16_t, 512> kIq2XsGrid;
extern const std::array<std::uint16_t, 256> kIq2XxsGrid;
extern const std::array<std::uint16_t, 512> kIq3SGrid;
extern const std::array<std::uint16_t, 256> kIq3XxsGrid;

}  // namespace tovamill
