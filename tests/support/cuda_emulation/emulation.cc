#include "tests/support/cuda_emulation/emulation.h"

#include <algorithm>
#include <boost/context/fiber.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>
#include <boost/context/preallocated.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#if defined(TOVAMILL_SANITIZED)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#include "tests/support/cuda_emulation/garbage.h"

namespace tovamill::emulation {
namespace {

namespace context = boost::context;

constexpr unsigned kLanes = 32;
constexpr std::size_t kStackBytes = 128 << 10;

Order the_order = Order::random;
std::uint64_t the_seed = 1;

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "CUDA emulation: %s\n", what);
  std::abort();
}

// So many threads meet, again and again.
struct Barrier {
  unsigned n_expected = 0, n_arrived = 0;
  std::uint64_t n_meetings = 0;

  bool arrive() {
    if (++n_arrived < n_expected) return false;
    n_arrived = 0;
    ++n_meetings;
    return true;
  }
  // A thread that has ended is not waited for.
  void leave() {
    if (--n_expected > 0 && n_arrived == n_expected) {
      n_arrived = 0;
      ++n_meetings;
    }
  }
};

// What the lanes of a warp bring to an exchange: two sets, for a lane may bring to the next one
// before another has read of this one.
struct Warp {
  std::uint64_t values[2][kLanes] = {};
  std::uint32_t arrived = 0;
  std::uint64_t n_meetings = 0;
};

struct Block {
  Extent index;
  std::vector<std::byte> shared;
  Barrier barrier;
  std::vector<Warp> warps;
};

struct Cluster {
  std::vector<Block> blocks;
  Barrier barrier;
};

// What the address sanitizer is told of a switch between stacks; nothing where there is none.
struct Stack {
  void* frames = nullptr;  // the sanitizer's own, of a stack that has been left
  const void* bottom = nullptr;
  std::size_t size = 0;
};
#if defined(TOVAMILL_SANITIZED)
// Before and after; a stack that is left for ever is null.
void leave(Stack* from, const Stack& to) {
  __sanitizer_start_switch_fiber(from == nullptr ? nullptr : &from->frames, to.bottom, to.size);
}
void arrive(const Stack& at, Stack* from) {
  __sanitizer_finish_switch_fiber(at.frames, from == nullptr ? nullptr : &from->bottom,
                                  from == nullptr ? nullptr : &from->size);
}
// Frames of a thread that ran on this stack before are no frames any more.
void clean(const Stack& stack) { __asan_unpoison_memory_region(stack.bottom, stack.size); }
#else
void leave(Stack*, const Stack&) {}
void arrive(const Stack&, Stack*) {}
void clean(const Stack&) {}
#endif

struct Thread {
  context::fiber fiber;
  Stack stack;
  Place place;
  unsigned rank = 0;  // of its block in the cluster
  unsigned lane = 0, warp = 0;
  bool has_ended = false;
  // It waits while this number is `seen`; null: it does not wait.
  const std::uint64_t* watched = nullptr;
  std::uint64_t seen = 0;
};

Cluster* cluster = nullptr;
Thread* running = nullptr;
context::fiber* scheduler = nullptr;
Stack scheduler_stack;
std::uint64_t n_events = 0;  // meetings and ends so far: none in a whole round is a deadlock

Block& own_block() { return cluster->blocks[running->rank]; }

void yield() {
  Thread* self = running;
  leave(&self->stack, scheduler_stack);
  *scheduler = std::move(*scheduler).resume();
  arrive(self->stack, &scheduler_stack);
  running = self;
}

// Until `n_meetings`, which is `meeting` now, has changed.
void wait_for(const std::uint64_t& n_meetings, std::uint64_t meeting) {
  running->watched = &n_meetings;
  running->seen = meeting;
  yield();
  running->watched = nullptr;
}

void wait(Barrier& barrier) {
  const std::uint64_t meeting = barrier.n_meetings;
  if (barrier.arrive()) {
    ++n_events;
    return;
  }
  wait_for(barrier.n_meetings, meeting);
}

// The values that all lanes of `mask` bring.
const std::uint64_t* meet(std::uint32_t mask, std::uint64_t value) {
  Warp& warp = own_block().warps[running->warp];
  const std::uint32_t self = 1u << running->lane;
  if ((mask & self) == 0) give_up("a lane takes part in an exchange whose mask is without it");
  const std::uint64_t meeting = warp.n_meetings;
  std::uint64_t* values = warp.values[meeting % 2];
  values[running->lane] = value;
  warp.arrived |= self;
  if ((warp.arrived & ~mask) != 0) give_up("lanes of a warp exchange by different masks at a time");
  if (warp.arrived == mask) {
    warp.arrived = 0;
    ++warp.n_meetings;
    ++n_events;
  } else {
    wait_for(warp.n_meetings, meeting);
  }
  return values;
}

std::size_t count(const Extent& e) { return std::size_t{e.x} * e.y * e.z; }

Extent at(std::size_t i, const Extent& size) {
  return {static_cast<unsigned>(i % size.x), static_cast<unsigned>(i / size.x % size.y),
          static_cast<unsigned>(i / size.x / size.y)};
}

void run_cluster(const Launch& launch, const std::function<void()>& kernel, std::size_t first_block,
                 std::mt19937_64& random) {
  static context::pooled_fixedsize_stack stacks(kStackBytes);
  const std::size_t n_threads = count(launch.block);
  Cluster c;
  c.blocks.resize(launch.cluster);
  c.barrier.n_expected = static_cast<unsigned>(n_threads * launch.cluster);
  std::vector<Thread> threads(n_threads * launch.cluster);
  context::fiber own;
  for (std::size_t i = 0; i < threads.size(); ++i) {
    Thread& t = threads[i];
    t.rank = static_cast<unsigned>(i / n_threads);
    Block& block = c.blocks[t.rank];
    if (i % n_threads == 0) {
      block.index = at(first_block + t.rank, launch.grid);
      block.shared.assign(launch.shared_bytes, static_cast<std::byte>(kGarbage));
      block.barrier.n_expected = static_cast<unsigned>(n_threads);
      block.warps.resize((n_threads + kLanes - 1) / kLanes);
    }
    const std::size_t in_block = i % n_threads;
    t.place = {at(in_block, launch.block), block.index, launch.block, launch.grid};
    t.lane = static_cast<unsigned>(in_block % kLanes);
    t.warp = static_cast<unsigned>(in_block / kLanes);
    const context::stack_context memory = stacks.allocate();
    t.stack = {nullptr, static_cast<const std::byte*>(memory.sp) - memory.size, memory.size};
    clean(t.stack);
    t.fiber =
        context::fiber(std::allocator_arg, context::preallocated(memory.sp, memory.size, memory),
                       stacks, [&t, &own, &kernel](context::fiber&& back) {
                         arrive(t.stack, &scheduler_stack);
                         own = std::move(back);
                         running = &t;
                         kernel();
                         t.has_ended = true;
                         leave(nullptr, scheduler_stack);
                         return std::move(own);
                       });
  }
  cluster = &c;
  scheduler = &own;
  std::vector<std::size_t> order(threads.size());
  std::iota(order.begin(), order.end(), 0u);
  if (the_order == Order::descending) std::reverse(order.begin(), order.end());
  for (std::size_t n_left = threads.size(); n_left > 0;) {
    if (the_order == Order::random) std::shuffle(order.begin(), order.end(), random);
    const std::uint64_t before = n_events;
    for (const std::size_t i : order) {
      Thread& t = threads[i];
      if (t.has_ended || (t.watched != nullptr && *t.watched == t.seen)) continue;
      running = &t;
      leave(&scheduler_stack, t.stack);
      t.fiber = std::move(t.fiber).resume();
      arrive(scheduler_stack, nullptr);
      if (!t.has_ended) continue;
      --n_left;
      ++n_events;
      c.blocks[t.rank].barrier.leave();
      c.barrier.leave();
    }
    if (n_events == before)
      give_up("threads wait for each other for ever: a barrier that not all of them reach");
  }
  cluster = nullptr;
  running = nullptr;
}

}  // namespace

void set_order(Order order, std::uint64_t seed) {
  the_order = order;
  the_seed = seed;
}

void run(const Launch& launch, const std::function<void()>& kernel) {
  if (running != nullptr) give_up("a kernel starts a kernel");
  const std::size_t n_blocks = count(launch.grid);
  if (launch.cluster == 0 || launch.grid.x % launch.cluster != 0)
    give_up("the grid is no multiple of the cluster");
  std::mt19937_64 random(the_seed++);
  for (std::size_t b = 0; b < n_blocks; b += launch.cluster) {
    const std::size_t first = the_order == Order::descending ? n_blocks - launch.cluster - b : b;
    run_cluster(launch, kernel, first, random);
  }
}

const Place& place() { return running->place; }
void wait_for_block() { wait(own_block().barrier); }
void wait_for_cluster() { wait(cluster->barrier); }

std::uint64_t exchange(std::uint32_t mask, std::uint64_t value, unsigned from) {
  const std::uint64_t* values = meet(mask, value);
  return (mask >> (from % kLanes) & 1u) != 0 ? values[from % kLanes] : value;
}

std::uint32_t ballot(std::uint32_t mask, bool value) {
  const std::uint64_t* values = meet(mask, value ? 1 : 0);
  std::uint32_t bits = 0;
  for (unsigned i = 0; i < kLanes; ++i) {
    if ((mask >> i & 1u) != 0 && values[i] != 0) bits |= 1u << i;
  }
  return bits;
}

void exchange_all(std::uint32_t mask, std::uint64_t value, std::uint64_t (&all)[32]) {
  std::copy_n(meet(mask, value), kLanes, all);
}

unsigned lane() { return running->lane; }
unsigned cluster_rank() { return running->rank; }
unsigned cluster_size() { return static_cast<unsigned>(cluster->blocks.size()); }
std::byte* shared_memory() { return own_block().shared.data(); }

void* in_block(const void* own, unsigned rank) {
  const auto offset = static_cast<const std::byte*>(own) - own_block().shared.data();
  return cluster->blocks[rank].shared.data() + offset;
}

}  // namespace tovamill::emulation
