// What a GPU reaches by itself, for benchmarks to hold a run against: matrix products of cuBLASLt,
// and the bandwidth of its memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/types/compute_type.h"

namespace tovamill {

// The release of the cuBLAS library that is loaded, "13.1.0"; empty in a build without CUDA.
std::string cublas_version();

// A weight matrix (n_out, n_in) to multiply by.
struct GemmShape {
  std::int32_t n_out = 0, n_in = 0;
};

struct GemmTiming {
  double seconds = 0.0;  // of one product: 2 n_rows n_out n_in operations
  int n_algorithms = 0;  // that were tried
};

struct GemmInput {
  int device_index = 0;
  ComputeType dtype = ComputeType::bf16;  // of operands and results; f32 is without TF32
  std::int32_t n_rows = 1;
  int most_algorithms = 12;   // of those that cuBLASLt names, the best by its reckoning first
  double seconds_each = 0.3;  // that the best algorithm of a shape is timed for
};

// For each shape the time of x (n_rows, n_in) W^T on random numbers by the fastest algorithm: all
// are timed, then the best again for long enough that the GPU's clock settles. Takes memory for the
// largest of them. Throws Error(no_device) as the backend does, OutOfMemory.
std::vector<GemmTiming> measure_gpu_gemm(const GemmInput& input, std::span<const GemmShape> shapes);

// Bytes per second.
struct GpuBandwidth {
  double copy = 0.0;  // of a copy within the device's memory: read and written bytes together
  double read = 0.0;  // of a kernel that reads and writes hardly anything
};

// Rates over `n_bytes` of the device's memory (half of them are copied to the other half), many
// times what its caches hold; 0: an eighth of what is free, at most 8 GiB. Throws as above.
GpuBandwidth measure_gpu_bandwidth(int device_index, std::uint64_t n_bytes = 0);

}  // namespace tovamill
