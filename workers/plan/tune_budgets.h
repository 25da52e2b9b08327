// `tovamill tune`: measures on some texts of a corpus what each layer loses at which state size.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "workers/options/budgets.h"
#include "workers/options/run_options.h"

namespace tovamill {

struct TuneSetting {
  int n_threads = 1;
  std::int32_t n_texts = 4;      // documents that are read at most, the first long enough
  std::int32_t n_tokens = 3072;  // of each at most; what counts are those behind the first third
  std::vector<std::int32_t> sizes = {32, 64, 128, 192, 256, 384, 512, 768};
  // Told after each step: tokens done and in all.
  std::function<void(std::int64_t n_done, std::int64_t n_all)> tell;
};

struct Tuning {
  BudgetTable table;
  std::int64_t n_tokens = 0;  // that were counted
  std::int32_t n_texts = 0;
};

// `options`: model, corpus, policy with its options, dtype and device. Throws Error(configuration)
// for a setting out of range, Error(no_input) where no document is long enough, and what loading
// the model throws.
Tuning tune_budgets(const RunOptions& options, const TuneSetting& setting);

}  // namespace tovamill
