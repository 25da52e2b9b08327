// Where the ranks of a run are: which of them share a machine, and the cores they have there.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace tovamill {

// What a process tells all others at start-up, as it lies in memory: the ranks of a run are one
// program on one kind of machine.
struct ProcessFacts {
  static constexpr int kMaskWords = 128;  // 8,192 hardware threads
  static constexpr int kMostGpus = 32;

  std::uint64_t host_identity = 0;
  std::int32_t pid = 0;
  std::array<char, 256> host{};                   // its name, ended by a zero
  std::array<std::uint64_t, kMaskWords> cores{};  // affinity mask, bit c % 64 of word c / 64
  std::int32_t n_gpus = 0;
  std::array<std::uint64_t, kMostGpus> gpus{};  // the identities of those that it can use
};
static_assert(std::is_trivially_copyable_v<ProcessFacts>);

struct RankInfo {
  int rank = 0;
  int pid = 0;
  std::string host;  // for people: names of hosts need not be unique
  // Equal for ranks that see each other's processes in /proc and share /dev/shm: a hash of the
  // kernel's boot id, the namespace of the process ids and the device of /dev/shm, not of names.
  std::uint64_t host_identity = 0;
  int local_rank = 0;    // among the ranks of its host, in the order of ranks
  int n_local = 1;       // ranks of its host
  int host_index = 0;    // hosts are counted in the order of their first ranks
  int n_hosts = 1;       // of the run
  int n_cores = 1;       // that this rank may run on (its affinity mask)
  int n_host_cores = 1;  // that any rank of its host may run on (the union of their masks)
  std::vector<std::uint64_t> gpus{};  // the identities of those that it can use, in its own order
};

// Never fails: if something cannot be determined, this process is a host of its own with one core.
// `gpus` are the identities of those that it can use, if it is to; kMostGpus at most.
ProcessFacts facts_of_this_process(std::span<const std::uint64_t> gpus = {});

// facts[r] is of rank r; the result has the same order.
std::vector<RankInfo> place_ranks(std::span<const ProcessFacts> facts);

}  // namespace tovamill
