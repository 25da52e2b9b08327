// Budgets of layers (--budgets): how much each layer's attention loses at which size, measured by
// `tovamill tune`, and the sizes of equal total that lose least.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/types/cache_options.h"
#include "kernels/types/model_shape.h"

namespace tovamill {

struct RunOptions;

inline constexpr const char* kNoBudgets = "none";

// What was measured on one text.
struct BudgetTable {
  std::string model;                        // its description, for people
  std::int32_t merge = 0;                   // places of merged tokens that a layer had beside
  std::vector<std::int32_t> sizes;          // tokens of a state, ascending
  std::vector<std::vector<double>> errors;  // (n_layers, sizes) mean squared error that a layer's
                                            // attention adds to the residual stream, relative to it
};

// Throws Error(no_input) where the file is missing, BadData where it is no such table.
BudgetTable read_budgets(const std::string& path);
nlohmann::json json_of(const BudgetTable& table);

// The cache size of each layer, `cache.merge` included, their mean cache.cache_size: the next few
// tokens always go to the layer whose error they lower most; errors between the sizes and beyond
// are interpolated in their logarithms. Each layer keeps at least 32 tokens, or all its share of
// smaller states, and more than are pinned. Throws Error(configuration) where that is impossible.
std::vector<std::int32_t> allocate(const BudgetTable& table, const CacheOptions& cache);

// What bounds the states of a run: the options of the state with the sizes of --budgets.
CacheOptions with_budgets(const RunOptions& options);
// Throws Error(configuration) unless the budgets are of so many layers.
void check_budgets(const CacheOptions& cache, const ModelShape& shape);

}  // namespace tovamill
