// Runs CUDA kernels, compiled as C++, on the CPU: each thread of a thread block is a fiber, so that
// barriers and exchanges within a warp, a block or a cluster mean what they mean on a GPU, while
// the order in which threads run between two of them is any: ascending, descending or random. What
// only works in one order lacks a barrier. Blocks run one after another, those of a cluster
// together, all on the calling thread.
//
// Not shown by it: what depends on the speed or the weak memory order of a GPU, and races whose
// every order gives the same result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace tovamill::emulation {

struct Extent {
  unsigned x = 1, y = 1, z = 1;
};

// Where the running thread stands.
struct Place {
  Extent thread, block, block_size, grid_size;
};
const Place& place();

enum class Order : std::uint8_t { ascending, descending, random };
// Sets the seed of the random order of threads in all later launches of this process.
void set_order(Order order, std::uint64_t seed = 1);

struct Launch {
  Extent grid, block;
  unsigned cluster = 1;  // blocks of a cluster, which are neighbours along x
  std::size_t shared_bytes = 0;
};
// Runs `kernel` in every thread. Aborts with a message where threads wait for each other for ever:
// a barrier that not all of them reach.
void run(const Launch& launch, const std::function<void()>& kernel);

// What belongs to the running thread; to be called within `run` only.
void wait_for_block();
void wait_for_cluster();
// All lanes of `mask`, the caller's included, must call it with the same mask; what lane `from`
// brought comes back. A lane that is not in the mask gives what the caller brought.
std::uint64_t exchange(std::uint32_t mask, std::uint64_t value, unsigned from);
// Bit i: what lane i of the mask brought is not zero.
std::uint32_t ballot(std::uint32_t mask, bool value);
// What all lanes of the mask brought.
void exchange_all(std::uint32_t mask, std::uint64_t value, std::uint64_t (&all)[32]);
unsigned lane();
unsigned cluster_rank();
unsigned cluster_size();
// Shared memory of the running block, and what stands at its place in another block of the cluster.
std::byte* shared_memory();
void* in_block(const void* own, unsigned rank);

}  // namespace tovamill::emulation
