// Cache options by name, for tests of all policies.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/types/cache_options.h"

namespace tovamill::testing {

struct NamedCache {
  std::string name;
  CacheOptions cache;
};

// Every policy that bounds a state of `k` tokens.
inline std::vector<NamedCache> bounded_policies(std::int32_t k) {
  return {{"tova", {.policy = Policy::tova, .cache_size = k}},
          {"tova_pin", {.policy = Policy::tova, .cache_size = k, .pin = 4}},
          {"tova_head", {.policy = Policy::tova_head, .cache_size = k}},
          {"tova_ema", {.policy = Policy::tova_ema, .cache_size = k}},
          {"h2o", {.policy = Policy::h2o, .cache_size = k}},
          {"h2o_head", {.policy = Policy::h2o_head, .cache_size = k}},
          {"random", {.policy = Policy::random, .cache_size = k}},
          {"random_pin", {.policy = Policy::random, .cache_size = k, .pin = 4}},
          {"window", {.policy = Policy::window, .cache_size = k}},
          {"window_sinks", {.policy = Policy::window, .cache_size = k, .sinks = 4}}};
}

// And `full`.
inline std::vector<NamedCache> all_policies(std::int32_t k) {
  std::vector<NamedCache> all = bounded_policies(k);
  all.push_back({"full", {.policy = Policy::full, .cache_size = k}});
  return all;
}

// All of them with all kinds of positions.
inline std::vector<NamedCache> policies_and_positions(std::int32_t k) {
  std::vector<NamedCache> all;
  for (const NamedCache& p : all_policies(k)) {
    for (Positions positions : {Positions::clipped, Positions::absolute, Positions::in_state}) {
      NamedCache c = p;
      c.cache.positions = positions;
      c.cache.clip_distance = positions == Positions::clipped ? 100 : 0;
      c.name += "_" + std::string(name_of(positions));
      all.push_back(c);
    }
  }
  return all;
}

}  // namespace tovamill::testing
