// How many threads a rank computes with.
#pragma once

#include <cstdint>
#include <optional>

namespace tovamill {

struct ThreadChoice {
  std::int32_t asked = 0;                          // --threads; 0: auto
  std::optional<std::int32_t> from_environment{};  // SLURM_CPUS_PER_TASK, else OMP_NUM_THREADS
  std::int32_t n_host_cores = 1;  // that any rank of this host may use (RankInfo::n_host_cores)
  std::int32_t n_own_cores = 1;   // that this rank may use (CpuInfo::n_cores_usable)
  std::int32_t n_local = 1;       // ranks of this host
};

// The threads of a rank: what was asked for as it is; otherwise, never more than its own cores and
// at least 1, what the environment says, or its share of the cores of its host's ranks. mpirun may
// bind each rank to cores of its own, to a socket that several share, or to nothing: the union
// divided by the ranks is right for all three.
std::int32_t choose_threads(const ThreadChoice& choice);

}  // namespace tovamill
