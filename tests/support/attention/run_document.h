// One document of given ids through a model on a chosen backend: what the golden tests compare.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace tovamill::testing {

struct RunSetting {
  DeviceKind device = DeviceKind::cpu;  // cpu, reference
  ComputeType dtype = ComputeType::f32;
  int n_threads = 2;
  std::int32_t block = 256;  // tokens a step
  CacheOptions cache;
  std::uint64_t random_key = 0;  // StepBlock::random_key
};

struct RunResult {
  std::vector<float> nll;                   // (n_tokens - 1), of ids[1:]
  std::vector<std::int32_t> eviction_step;  // (n_layers, n_eviction_groups, n_tokens), -1 never
  std::vector<std::uint64_t>
      attended;  // (n_layers), tokens attended summed over queries and groups
  std::int32_t n_layers = 0, n_eviction_groups = 1;
};

RunResult run_document(const std::string& model_path, const std::vector<std::int32_t>& ids,
                       const RunSetting& setting);

}  // namespace tovamill::testing
