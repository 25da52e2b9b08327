// Golden numbers made by make_goldens.py, read from tests/support/goldens (format: README.md
// there).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/types/cache_options.h"

namespace tovamill::testing {

struct GoldenCase {
  std::string name{};    // "tova-head-32-clip-60"
  std::string source{};  // "transformers" or "reference_tova"
  CacheOptions options{};
  std::vector<double> nll{};  // (n_tokens - 1), nats, of ids[1:]; no BOS
  std::int32_t n_units = 1;   // n_kv_heads for policies that decide for each head, else 1
  std::vector<std::int32_t>
      eviction_step{};  // (n_layers, n_units, n_tokens), -1 never; empty for `full`
  // (n_layers, n_units, n_tokens) by step: second lowest less lowest score; 0 is an exact tie,
  // infinity where nothing died. About 3 significant digits. Empty where no scores but equal ones
  // ever decided: `full`, `window`, a state that always holds tokens behind the model's sliding
  // window.
  std::vector<float> margin{};
  double relative_margin =
      0;  // the least margin / second lowest score of the case, exact ties aside; infinity if none
  std::int32_t n_ties = 0;  // evictions decided by an exact tie (the oldest died)
};

struct GoldenModel {
  std::string name{};  // "llama3"
  std::vector<std::filesystem::path>
      models{};  // directories or .gguf files that must all give these numbers
  std::int32_t n_layers = 0;
  std::vector<std::int32_t> ids{};  // (n_tokens)
  std::vector<GoldenCase> cases{};  // the first is `full` with absolute positions

  const GoldenCase& at(
      std::string_view case_name) const;  // throws std::out_of_range naming the case
};

// One row of 512 values in a GGUF block type.
struct GoldenQuant {
  std::string type;                  // "Q4_K"
  std::vector<std::uint8_t> blocks;  // as in the file
  std::vector<float> values;         // dequantised
};

std::vector<std::string> golden_names();  // of every golden model, sorted
// Throws std::runtime_error naming the file.
GoldenModel load_golden(const std::string& name);
std::vector<GoldenQuant> load_golden_quants();

}  // namespace tovamill::testing
