#include "workers/options/budgets.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "io/files/json_file.h"
#include "kernels/types/error.h"
#include "workers/options/run_options.h"

namespace tovamill {
namespace {

constexpr const char* kFormat = "tovamill budgets";
constexpr std::int32_t kVersion = 1, kFewestTokens = 32;
constexpr std::size_t kMostBytes = 16u << 20, kMostLayers = 10'000, kMostSizes = 1'000;

[[noreturn]] void refuse_file(const std::string& path, const std::string& what) {
  throw BadData("--budgets " + path + ": " + what + ": give a file that tovamill tune has written");
}

std::vector<std::int32_t> read_sizes(const nlohmann::json& json, const std::string& path) {
  std::vector<std::int32_t> sizes;
  for (const nlohmann::json& size : json) {
    if (!size.is_number_integer() || size.get<std::int64_t>() < 1 ||
        size.get<std::int64_t>() > (1 << 24))
      refuse_file(path, "a size is no number of tokens");
    sizes.push_back(size.get<std::int32_t>());
  }
  const bool ascends =
      std::adjacent_find(sizes.begin(), sizes.end(), std::greater_equal<>()) == sizes.end();
  if (sizes.size() < 2 || sizes.size() > kMostSizes || !ascends)
    refuse_file(path, "'sizes' are not two or more ascending numbers");
  return sizes;
}

std::vector<double> read_errors(const nlohmann::json& json, std::size_t n_sizes,
                                const std::string& path) {
  std::vector<double> errors;
  if (json.is_array() && json.size() == n_sizes) {
    for (const nlohmann::json& e : json) {
      if (e.is_number() && e.get<double>() >= 0.0 && std::isfinite(e.get<double>()))
        errors.push_back(e.get<double>());
    }
  }
  if (errors.size() != n_sizes)
    refuse_file(path, "a layer has not an error for each size, finite and not negative");
  return errors;
}

// A layer's error by its number of tokens: never rising, straight between the sizes and beyond in
// logarithms of both.
class ErrorCurve {
 public:
  ErrorCurve(const std::vector<std::int32_t>& sizes, const std::vector<double>& errors) {
    double least = 0.0;
    for (std::size_t i = sizes.size(); i-- > 0;) {
      least = std::max({least, errors[i], 1e-12});
      x_.push_back(std::log(static_cast<double>(sizes[i])));
      y_.push_back(std::log(least));
    }
    std::reverse(x_.begin(), x_.end());
    std::reverse(y_.begin(), y_.end());
  }
  double at(std::int32_t size) const {
    const double x = std::log(static_cast<double>(size));
    const auto above = std::lower_bound(x_.begin(), x_.end(), x) - x_.begin();
    const auto i = static_cast<std::size_t>(
        std::clamp<std::ptrdiff_t>(above - 1, 0, static_cast<std::ptrdiff_t>(x_.size()) - 2));
    return std::exp(y_[i] + (y_[i + 1] - y_[i]) * (x - x_[i]) / (x_[i + 1] - x_[i]));
  }

 private:
  std::vector<double> x_, y_;
};

}  // namespace

BudgetTable read_budgets(const std::string& path) {
  const nlohmann::json json = read_json_object(path, kMostBytes);
  if (json.value("format", nlohmann::json()) != kFormat) refuse_file(path, "it is none");
  if (json.value("version", nlohmann::json()) != kVersion)
    refuse_file(path, "its version is unknown");
  const auto at = [&](const char* key) {
    const auto found = json.find(key);
    if (found == json.end()) refuse_file(path, "it has no '" + std::string(key) + "'");
    return *found;
  };
  BudgetTable table;
  if (at("model").is_string()) table.model = at("model").get<std::string>();
  if (!at("merge").is_number_integer()) refuse_file(path, "'merge' is no number");
  table.merge = at("merge").get<std::int32_t>();
  if (!at("sizes").is_array() || !at("errors").is_array())
    refuse_file(path, "'sizes' or 'errors' are no lists");
  table.sizes = read_sizes(at("sizes"), path);
  for (const nlohmann::json& layer : at("errors"))
    table.errors.push_back(read_errors(layer, table.sizes.size(), path));
  if (table.errors.empty() || table.errors.size() > kMostLayers)
    refuse_file(path, "it is of no layer");
  return table;
}

nlohmann::json json_of(const BudgetTable& table) {
  return {{"format", kFormat},    {"version", kVersion},  {"model", table.model},
          {"merge", table.merge}, {"sizes", table.sizes}, {"errors", table.errors}};
}

std::vector<std::int32_t> allocate(const BudgetTable& table, const CacheOptions& cache) {
  const std::int32_t share = cache.cache_size - cache.merge,
                     fewest = std::max(std::min(kFewestTokens, share), cache.pin + 1);
  if (fewest > share) {
    throw Error(ExitCode::configuration,
                "--budgets: " + std::to_string(cache.pin) + " pinned and " +
                    std::to_string(cache.merge) + " merged tokens leave nothing of --cache-size " +
                    std::to_string(cache.cache_size) + ": give a larger one");
  }
  const auto n_layers = table.errors.size();
  const std::int32_t step = std::max(1, share / 16);
  std::vector<ErrorCurve> curves;
  for (const std::vector<double>& errors : table.errors) curves.emplace_back(table.sizes, errors);
  std::vector<std::int32_t> sizes(n_layers, fewest);
  std::int64_t left = static_cast<std::int64_t>(n_layers) * (share - fewest);
  while (left > 0) {
    const auto next = static_cast<std::int32_t>(std::min<std::int64_t>(step, left));
    std::size_t best = 0;
    double most = -1.0;
    for (std::size_t l = 0; l < n_layers; ++l) {
      const double gain = curves[l].at(sizes[l]) - curves[l].at(sizes[l] + next);
      if (gain > most) {
        most = gain;
        best = l;
      }
    }
    sizes[best] += next;
    left -= next;
  }
  for (std::int32_t& size : sizes) size += cache.merge;
  return sizes;
}

CacheOptions with_budgets(const RunOptions& options) {
  CacheOptions cache = options.cache;
  if (options.budgets == kNoBudgets || !traits_of(cache.policy).takes(kTakesMerge)) return cache;
  cache.layer_sizes = allocate(read_budgets(options.budgets), cache);
  return cache;
}

void check_budgets(const CacheOptions& cache, const ModelShape& shape) {
  const std::size_t n = shape.layers.size();
  if (cache.layer_sizes.empty() || cache.layer_sizes.size() == n) return;
  throw Error(ExitCode::configuration, "--budgets: the file is of a model of " +
                                           std::to_string(cache.layer_sizes.size()) +
                                           " layers, this one has " + std::to_string(n) +
                                           ": measure them with tovamill tune");
}

}  // namespace tovamill
