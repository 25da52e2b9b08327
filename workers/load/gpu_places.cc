#include "workers/load/gpu_places.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>

#include "kernels/gpu_info.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

std::span<const RankInfo> workers_of(std::span<const RankInfo> ranks, int first_worker) {
  return ranks.subspan(std::min(ranks.size(), static_cast<std::size_t>(first_worker)));
}

std::string named(const RankInfo& rank) {
  return "rank " + std::to_string(rank.rank) + (rank.host.empty() ? "" : " on " + rank.host);
}

}  // namespace

DeviceKind choose_device(std::optional<DeviceKind> asked, std::span<const RankInfo> ranks,
                         int first_worker) {
  if (asked) return *asked;
  const auto workers = workers_of(ranks, first_worker);
  const bool any = std::any_of(workers.begin(), workers.end(),
                               [](const RankInfo& r) { return !r.gpus.empty(); });
  return any ? DeviceKind::cuda : DeviceKind::cpu;
}

std::vector<GpuPlace> place_on_gpus(std::span<const RankInfo> ranks, int first_worker,
                                    int ranks_per_gpu) {
  std::vector<GpuPlace> places(ranks.size());
  std::map<std::uint64_t, int> n_on;  // a GPU has one identity in all containers of a host
  for (const RankInfo& rank : workers_of(ranks, first_worker)) {
    GpuPlace& place = places[static_cast<std::size_t>(rank.rank)];
    int fewest = ranks_per_gpu;
    for (std::size_t i = 0; i < rank.gpus.size(); ++i) {
      if (n_on[rank.gpus[i]] >= fewest) continue;
      fewest = n_on[rank.gpus[i]];
      place.gpu = static_cast<int>(i);
    }
    if (place.gpu >= 0) ++n_on[rank.gpus[static_cast<std::size_t>(place.gpu)]];
  }
  for (const RankInfo& rank : ranks) {
    GpuPlace& place = places[static_cast<std::size_t>(rank.rank)];
    if (place.gpu >= 0) place.n_on_gpu = n_on[rank.gpus[static_cast<std::size_t>(place.gpu)]];
  }
  return places;
}

void check_gpus(std::span<const RankInfo> ranks, int first_worker, int ranks_per_gpu) {
  const std::vector<GpuPlace> places = place_on_gpus(ranks, first_worker, ranks_per_gpu);
  for (const RankInfo& rank : workers_of(ranks, first_worker)) {
    if (places[static_cast<std::size_t>(rank.rank)].gpu >= 0) continue;
    if (rank.gpus.empty()) {
      const GpuInfo info = gpu_info();  // of this process, as likely as not the same there
      const std::string who = ranks.size() > 1 ? named(rank) + " can use no GPU" : "";
      const std::string why =
          info.rejection.empty() || !info.is_built
              ? (info.is_built ? "none is visible there (CUDA_VISIBLE_DEVICES, or the job's --gpus)"
                               : "this build has no CUDA (build with -DTOVAMILL_CUDA=ON)")
              : info.rejection;
      throw Error(ExitCode::no_device, "--device cuda: " + who + (who.empty() ? "" : ": ") + why +
                                           "; use --device cpu, or see tovamill doctor");
    }
    throw Error(ExitCode::no_device,
                "--device cuda: every GPU that " + named(rank) +
                    " can use has a rank already: start one rank a GPU, give each rank its own "
                    "(srun --gpus-per-task=1), or let them share with --ranks-per-gpu");
  }
}

std::vector<std::uint64_t> gpu_identities(std::optional<DeviceKind> asked) {
  std::vector<std::uint64_t> identities;
  if (asked && *asked != DeviceKind::cuda) return identities;
  for (const Gpu& gpu : usable_gpus()) identities.push_back(gpu.identity);
  return identities;
}

GpuShare gpu_share(const GpuPlace& place) {
  constexpr std::uint64_t kFillPercent = 92;
  const std::vector<Gpu> gpus = usable_gpus();
  if (place.gpu < 0 || static_cast<std::size_t>(place.gpu) >= gpus.size()) {
    throw Error(ExitCode::no_device,
                "--device cuda: the GPU of this rank is no longer there; see tovamill doctor");
  }
  const Gpu& gpu = gpus[static_cast<std::size_t>(place.gpu)];
  return {.index = gpu.index,
          .n_bytes = gpu.total_bytes / 100 * kFillPercent /
                     static_cast<std::uint64_t>(std::max(1, place.n_on_gpu))};
}

}  // namespace tovamill
