// Shapes of models of other families than Llama's, for models of random weights: the values of the
// config.json of each, and which tensors it has.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

namespace tovamill {

struct RandomFamily {
  const char* name;
  const char* config;  // JSON, without what all random models have alike
  bool adds_bos;
};

std::span<const RandomFamily> random_families();

}  // namespace tovamill
