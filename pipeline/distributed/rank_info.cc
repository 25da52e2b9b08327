#include "pipeline/distributed/rank_info.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <map>

namespace tovamill {
namespace {

using Mask = std::array<std::uint64_t, ProcessFacts::kMaskWords>;

int n_bits(const Mask& mask) {
  int n = 0;
  for (const std::uint64_t word : mask) n += std::popcount(word);
  return n;
}

// FNV-1a, 64 bits.
std::uint64_t hash_of(const std::string& text) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3u;
  }
  return hash;
}

std::uint64_t identity_of_host(const std::string& host) {
  std::string boot_id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot_id;
  struct stat processes {};
  struct stat memory {};
  // Without these, sharing cannot be determined: to be alone is the safe answer.
  if (boot_id.empty() || stat("/proc/self/ns/pid", &processes) != 0 ||
      stat("/dev/shm", &memory) != 0) {
    return hash_of(host + " " + std::to_string(getpid()));
  }
  return hash_of(boot_id + " " + std::to_string(processes.st_ino) + " " +
                 std::to_string(memory.st_dev));
}

Mask cores_of_this_process() {
  Mask mask{};
  static_assert(sizeof(mask) % sizeof(unsigned long) == 0);
  cpu_set_t* set = CPU_ALLOC(64 * mask.size());
  if (set != nullptr) {
    const std::size_t n_bytes = CPU_ALLOC_SIZE(64 * mask.size());
    CPU_ZERO_S(n_bytes, set);
    if (sched_getaffinity(0, n_bytes, set) == 0) {
      for (std::size_t core = 0; core < 64 * mask.size(); ++core) {
        if (CPU_ISSET_S(core, n_bytes, set)) mask[core / 64] |= std::uint64_t{1} << (core % 64);
      }
    }
    CPU_FREE(set);
  }
  if (n_bits(mask) == 0) mask[0] = 1;
  return mask;
}

struct Host {
  int index = 0;
  int n_ranks = 0;
  Mask cores{};
};

}  // namespace

ProcessFacts facts_of_this_process(std::span<const std::uint64_t> gpus) {
  ProcessFacts facts;
  if (gethostname(facts.host.data(), facts.host.size() - 1) != 0) facts.host.front() = '\0';
  facts.pid = static_cast<std::int32_t>(getpid());
  facts.host_identity = identity_of_host(facts.host.data());
  facts.cores = cores_of_this_process();
  const std::size_t n = std::min(gpus.size(), facts.gpus.size());
  facts.n_gpus = static_cast<std::int32_t>(n);
  std::copy_n(gpus.begin(), n, facts.gpus.begin());
  return facts;
}

std::vector<RankInfo> place_ranks(std::span<const ProcessFacts> facts) {
  std::map<std::uint64_t, Host> hosts;
  std::vector<RankInfo> ranks(facts.size());
  for (std::size_t r = 0; r < facts.size(); ++r) {
    const auto [found, is_new] = hosts.try_emplace(facts[r].host_identity);
    Host& host = found->second;
    if (is_new) host.index = static_cast<int>(hosts.size()) - 1;
    for (std::size_t w = 0; w < host.cores.size(); ++w) host.cores[w] |= facts[r].cores[w];
    const auto& name = facts[r].host;
    ranks[r] = {.rank = static_cast<int>(r),
                .pid = facts[r].pid,
                .host = std::string(name.begin(), std::find(name.begin(), name.end(), '\0')),
                .host_identity = facts[r].host_identity,
                .local_rank = host.n_ranks++,
                .host_index = host.index,
                .n_cores = std::max(1, n_bits(facts[r].cores)),
                .gpus = {facts[r].gpus.begin(), facts[r].gpus.begin() + facts[r].n_gpus}};
  }
  for (RankInfo& rank : ranks) {
    const Host& host = hosts.at(rank.host_identity);
    rank.n_local = host.n_ranks;
    rank.n_hosts = static_cast<int>(hosts.size());
    rank.n_host_cores = std::max(1, n_bits(host.cores));
  }
  return ranks;
}

}  // namespace tovamill
