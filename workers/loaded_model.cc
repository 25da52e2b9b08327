#include "workers/loaded_model.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "kernels/error.h"
#include "workers/model_parts.h"
#include "workers/packed_weights.h"

namespace tovamill {
namespace {

// Enough rows for the matrix products to run at their full rate; more would only cost memory.
constexpr std::int32_t kFullRows = 1024;
// Documents side by side at most: short ones fill a step together.
constexpr std::int32_t kMostStreams = 16;

std::string describe(const ModelFiles& files, const ModelConfig& config) {
  std::map<std::string, int> types;
  double parameters = 0.0;
  for (const TensorView& t : files.tensors()) {
    types[std::string(block_format(t.dtype).name)] += 1;
    parameters += static_cast<double>(t.n_elements());
  }
  std::string names;
  for (const auto& [name, n] : types) names += (names.empty() ? "" : "+") + name;
  const double millions = parameters / 1e6;
  const std::string size =
      millions < 1000.0
          ? std::to_string(static_cast<long>(std::lround(millions))) + " M"
          : std::to_string(static_cast<long>(std::lround(millions / 100.0)) / 10) + "." +
                std::to_string(static_cast<long>(std::lround(millions / 100.0)) % 10) + " G";
  return config.architecture + ", " + std::to_string(config.shape.n_layers) + " layers, " + size +
         " parameters, " + names;
}

StepPlan plan_rows(const RunOptions& options) {
  StepPlan plan;
  plan.block = options.block > 0 ? options.block : kGroupTokens;
  plan.n_streams = options.streams > 0 ? options.streams : kMostStreams;
  return plan;
}

void set_rows(StepPlan& plan) {
  const std::int64_t all = static_cast<std::int64_t>(plan.n_streams) * plan.block;
  plan.max_rows =
      static_cast<std::int32_t>(std::min<std::int64_t>(all, std::max(plan.block, kFullRows)));
}

// As many streams as fit the budget, at most those planned.
void fit_streams(StepPlan& plan, const RunOptions& options, const Backend& backend,
                 std::uint64_t budget) {
  const std::uint64_t fixed = backend.workspace_bytes(),
                      each = std::max<std::uint64_t>(1, backend.state_bytes());
  if (budget < fixed + each) {
    throw Error(ExitCode::configuration,
                "--memory-budget " + std::to_string(budget) + ": one stream takes " +
                    std::to_string(each) + " bytes of state and " + std::to_string(fixed) +
                    " of workspace: give more memory, a smaller --cache-size or fewer --threads");
  }
  const std::uint64_t fit = (budget - fixed) / each;
  if (options.streams > 0 && fit < static_cast<std::uint64_t>(options.streams)) {
    throw Error(ExitCode::configuration, "--streams " + std::to_string(options.streams) +
                                             ": the memory is enough for " + std::to_string(fit) +
                                             " streams of " + std::to_string(each) +
                                             " bytes: give fewer, or a larger --memory-budget");
  }
  plan.n_streams = static_cast<std::int32_t>(
      std::min<std::uint64_t>(fit, static_cast<std::uint64_t>(plan.n_streams)));
}

}  // namespace

ModelHead open_model(const std::string& path) {
  ModelHead head;
  head.files = ModelFiles::open(path, ModelFiles::Parts::all);
  head.config = config_of(*head.files);
  head.tokenizer = tokenizer_of(*head.files);
  return head;
}

LoadedModel load_model(ModelHead head, const RunOptions& options, int n_threads,
                       std::uint64_t available_bytes, const WeightSharing& how) {
  LoadedModel loaded;
  loaded.files = std::move(head.files);
  loaded.config = std::move(head.config);
  loaded.tokenizer = std::move(head.tokenizer);
  loaded.plan = plan_rows(options);
  set_rows(loaded.plan);
  const std::uint64_t left = obtain_weights(loaded, options, n_threads, available_bytes, how);
  fit_streams(loaded.plan, options, *loaded.backend,
              options.memory_budget > 0 ? options.memory_budget : left / 10 * 8);
  set_rows(loaded.plan);
  loaded.forward = std::make_unique<Forward>(loaded.model, *loaded.backend, loaded.plan.max_rows,
                                             loaded.plan.n_streams, loaded.plan.block);
  loaded.description = describe(*loaded.files, loaded.config);
  return loaded;
}

}  // namespace tovamill
