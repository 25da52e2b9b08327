// The kernels of kernels/gpu_measure.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/device/device_code.h"
#include "kernels/cuda/device/runtime.h"

namespace tovamill::cuda {

// Nearly normal numbers with the standard deviation 0.02, as weights have: a GPU multiplies zeros
// at a higher clock. Writes n elements.
void fill_with_noise(Bf16* out, std::size_t n, const Stream& stream);
void fill_with_noise(float* out, std::size_t n, const Stream& stream);

// Threads that read_all uses, each of which writes one word.
inline constexpr std::size_t kReaders = 256 * 4096;
// out (kReaders): together, by exclusive or, that of all words of `data` (n_bytes, a multiple of
// 16). Reads n_bytes, writes 4 MiB.
void read_all(const void* data, std::size_t n_bytes, std::uint32_t* out, const Stream& stream);

}  // namespace tovamill::cuda
