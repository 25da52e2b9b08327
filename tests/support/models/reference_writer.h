// What a model writes after a prompt, token by token in float64: what generation is compared with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace tovamill::testing {

struct WriterSetting {
  CacheOptions cache;
  std::int32_t max_new_tokens = 32;
  std::vector<std::int32_t> end_ids;
  std::int32_t pin = 0;
  bool keeps_prompt = false;  // --prefill full
  // Two highest logits that are nearer than this make a near-tie.
  double near = 1e-3;
};

struct WrittenText {
  std::vector<std::int32_t> ids;
  std::vector<bool> is_near_tie;  // of each id
};

// Greedy, by the reference backend, one token a step.
WrittenText write_by_reference(const std::string& model_path,
                               const std::vector<std::int32_t>& prompt,
                               const WriterSetting& setting);

// Whether `ids` are the reference's up to the first near-tie at which they part; otherwise says
// where they differ.
std::string difference(const WrittenText& reference, const std::vector<std::int32_t>& ids);

}  // namespace tovamill::testing
