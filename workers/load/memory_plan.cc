#include "workers/load/memory_plan.h"

#include <algorithm>

#include "kernels/cpu/cpu_info.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "workers/options/sweep.h"
#include "workers/stages/stage_cut.h"

namespace tovamill {
namespace {

constexpr std::int32_t kFewestRows = 512;

struct DeviceLimits {
  // Enough rows for the matrix products to run at their full rate; more would only cost memory.
  std::int32_t full_rows;
  // Documents side by side at most: short ones fill a step together.
  std::int32_t most_streams;
  // Texts written side by side in a step: more than that gain little on a CPU, and only wait
  // longer. On a GPU the weights are read once for all of them. Of stages each has a step of its
  // own.
  std::int32_t most_writers;
  // While one step's scan keeps a few multiprocessors busy, the products of another fill the rest.
  // Where texts are written each step would read the weights for itself.
  std::int32_t score_in_flight;
};

DeviceLimits limits_of(DeviceKind device) {
  switch (device) {
    case DeviceKind::cuda:
      return {.full_rows = 8192, .most_streams = 64, .most_writers = 1024, .score_in_flight = 2};
    case DeviceKind::cpu:
    case DeviceKind::reference:
      break;
  }
  return {.full_rows = 1024, .most_streams = 16, .most_writers = 64, .score_in_flight = 1};
}

// How many there are by themselves where memory does not bound them.
std::int32_t automatic_streams(const RunOptions& options, const DeviceLimits& limits) {
  if (options.job_kind == Job::score) return limits.most_streams;
  return options.memory_budget > 0 ? std::max(limits.full_rows, limits.most_writers)
                                   : limits.most_writers * options.stages;
}

// How many there are where nothing but memory and the corpus bounds them.
std::int32_t wanted_streams(const RunOptions& options, const DeviceLimits& limits) {
  if (options.streams > 0) return options.streams;
  const std::int32_t n = automatic_streams(options, limits);
  return options.useful_streams > 0 ? std::min(n, options.useful_streams) : n;
}

std::int32_t widest_layer(const CacheOptions& cache) {
  const std::vector<std::int32_t>& sizes = cache.layer_sizes;
  return sizes.empty() ? cache.cache_size : *std::max_element(sizes.begin(), sizes.end());
}

// Bytes of the activations of a row, roughly: what Forward and a backend keep for each, its scores
// included.
std::uint64_t row_bytes(const ModelShape& s, const CacheOptions& cache) {
  const auto hidden = static_cast<std::uint64_t>(s.hidden_size),
             q = static_cast<std::uint64_t>(s.q_size()),
             kv = static_cast<std::uint64_t>(s.kv_size()),
             inner = static_cast<std::uint64_t>(s.intermediate_size);
  const auto columns = static_cast<std::uint64_t>(
      (is_bounded(cache) ? widest_layer(cache) : s.trained_context) + kRopeSegmentTokens);
  const ExpertsShape experts = s.widest_experts();
  const std::uint64_t of_experts =
      static_cast<std::uint64_t>(experts.n_used) *
      (6 * hidden + 12 * static_cast<std::uint64_t>(experts.intermediate_size));
  return of_experts + 8 * hidden + 12 * q + 8 * kv + 12 * inner +
         16 * static_cast<std::uint64_t>(s.n_layers) +
         4 * columns * static_cast<std::uint64_t>(s.n_heads);
}

}  // namespace

std::uint64_t packed_bytes(const ModelShape& shape, const LayerRange& range, StorageType storage) {
  return bytes_of_elements(storage, matrix_parameters(shape, range));
}

StepPlan plan_rows(const RunOptions& options) {
  StepPlan plan;
  plan.block = options.block > 0 ? options.block : kRopeSegmentTokens;
  const DeviceLimits limits = limits_of(device_of(options));
  plan.n_streams = wanted_streams(options, limits);
  plan.n_in_flight = options.job_kind == Job::score ? limits.score_in_flight : 1;
  plan.full_rows = limits.full_rows / plan.n_in_flight;
  return plan;
}

void set_rows(StepPlan& plan) {
  const std::int64_t all = static_cast<std::int64_t>(plan.n_streams) * plan.block;
  plan.max_rows =
      static_cast<std::int32_t>(std::min<std::int64_t>(all, std::max(plan.block, plan.full_rows)));
}

void limit_rows(StepPlan& plan, const ModelShape& shape, std::span<const CacheOptions> caches,
                std::uint64_t available_bytes) {
  std::uint64_t each = 0;
  for (const CacheOptions& cache : caches)
    each += row_bytes(shape, cache) * static_cast<std::uint64_t>(plan.n_in_flight);
  while (plan.full_rows > kFewestRows &&
         each * static_cast<std::uint64_t>(plan.full_rows) > available_bytes / 4)
    plan.full_rows /= 2;
  set_rows(plan);
}

bool halve_rows(StepPlan& plan) {
  if (plan.full_rows <= kFewestRows) return false;
  plan.full_rows /= 2;
  set_rows(plan);
  return true;
}

bool has_constant_states(const RunOptions& options) {
  if (is_sweep(options) && options.job_kind != Job::score) {
    const std::vector<SweepSetting> settings = sweep_of(options).settings;
    return std::all_of(settings.begin(), settings.end(),
                       [](const SweepSetting& s) { return has_constant_states(s.options); });
  }
  return options.job_kind == Job::score ||
         (is_bounded(options.cache) && options.generation.prefill == Prefill::stream);
}

void StreamBytes::add(const Backend& backend, std::uint64_t buffer_bytes) {
  each += backend.state_bytes();
  workspace += backend.workspace_bytes();
  buffers += buffer_bytes;
}

void fit_streams(StepPlan& plan, const RunOptions& options, const StreamBytes& bytes,
                 std::uint64_t budget) {
  const std::uint64_t fixed = bytes.workspace + bytes.buffers,
                      each = std::max<std::uint64_t>(1, bytes.each);
  // Generation may keep one state for the next text while one is written.
  const std::uint64_t n_least = options.job_kind == Job::score ? 1 : 2;
  const std::uint64_t least = has_constant_states(options) ? n_least * each : 1;
  if (budget < fixed + least) {
    throw Error(ExitCode::configuration,
                "--memory-budget " + std::to_string(budget) + ": one stream takes " +
                    with_thousands(n_least * each) + " bytes of state and " +
                    with_thousands(fixed) + " of workspace: give more memory, " +
                    (is_sweep(options) ? "fewer settings to --sweep"
                                       : "a smaller --cache-size or fewer --threads"));
  }
  plan.state_budget = budget - fixed;
  if (!has_constant_states(options)) return;  // each document shows what it takes
  const std::uint64_t fit = plan.state_budget / each;
  if (options.streams > 0 && fit < static_cast<std::uint64_t>(options.streams)) {
    throw Error(ExitCode::configuration, "--streams " + std::to_string(options.streams) +
                                             ": the memory is enough for " + with_thousands(fit) +
                                             " streams of " + with_thousands(each) +
                                             " bytes: give fewer, or a larger --memory-budget");
  }
  plan.n_wanted = plan.n_streams;
  plan.n_streams = static_cast<std::int32_t>(
      std::min<std::uint64_t>(fit, static_cast<std::uint64_t>(plan.n_streams)));
}

}  // namespace tovamill
