// Marks functions that the host calls and, where CUDA compiles the file, the device.
#pragma once

#if defined(__CUDACC__)
#define TOVAMILL_HOST_DEVICE __host__ __device__
#else
// Never a function of its own: the CPU's kernels are compiled once for each instruction set, and a
// linker would keep any of the copies for all of them.
#define TOVAMILL_HOST_DEVICE __attribute__((always_inline))
#endif
