// Memory of the emulated device: what nobody has written holds garbage. A program takes nearly all
// of a device and uses little of it, so a page becomes its own only where it is written.
#pragma once

#include <cstddef>

namespace tovamill::emulation {

inline constexpr int kGarbage = 0xC7;  // each byte

// `n_bytes` that begin at a multiple of 256; null where they cannot be had.
void* garbage(std::size_t n_bytes);
void give_back(void* memory, std::size_t n_bytes);

}  // namespace tovamill::emulation
