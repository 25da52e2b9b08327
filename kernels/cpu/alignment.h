// Where rows and packed weights begin: at multiples of a cache line.
#pragma once

#include <cstddef>

namespace tovamill::cpu {

constexpr std::size_t kAlign = 64;  // bytes; oneDNN reads packed weights by cache lines
constexpr std::size_t align_up(std::size_t n) { return (n + kAlign - 1) / kAlign * kAlign; }

}  // namespace tovamill::cpu
