#include "workers/loaded_model.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "kernels/error.h"
#include "workers/memory_plan.h"
#include "workers/model_parts.h"
#include "workers/packed_weights.h"

namespace tovamill {

std::string describe_model(const ModelFiles& files, const ModelConfig& config) {
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

ModelHead open_model(const std::string& path) {
  ModelHead head;
  head.files = ModelFiles::open(path, ModelFiles::Parts::all);
  head.config = config_of(*head.files);
  head.tokenizer = tokenizer_of(*head.files);
  return head;
}

namespace {

// Fits streams and step to `budget` bytes beside the weights.
void make_forward(LoadedModel& loaded, const RunOptions& options, std::uint64_t budget) {
  StepPlan& plan = loaded.plan;
  const auto forward = [&] {
    return std::make_unique<Forward>(loaded.model, *loaded.backend, plan.max_rows, plan.n_streams,
                                     plan.block);
  };
  const std::uint64_t buffers = forward()->buffer_bytes();
  fit_streams(plan, options, *loaded.backend, buffers, budget);
  set_rows(plan);
  loaded.runner = forward();
  loaded.states = loaded.backend.get();
}

LoadedModel with_head(ModelHead head, const RunOptions& options) {
  LoadedModel loaded;
  loaded.files = std::move(head.files);
  loaded.config = std::move(head.config);
  loaded.tokenizer = std::move(head.tokenizer);
  loaded.plan = plan_rows(options);
  set_rows(loaded.plan);
  loaded.description = describe_model(*loaded.files, loaded.config);
  return loaded;
}

}  // namespace

LoadedModel load_model(ModelHead head, const RunOptions& options, int n_threads,
                       std::uint64_t available_bytes, const WeightSharing& how) {
  LoadedModel loaded = with_head(std::move(head), options);
  const std::uint64_t left = obtain_weights(loaded, options, n_threads, available_bytes, how);
  make_forward(loaded, options, options.memory_budget > 0 ? options.memory_budget : left / 10 * 8);
  return loaded;
}

// All of a GPU's memory was there for the taking, so what is missing will not come by itself.
LoadedModel load_model_on_gpu(ModelHead head, const RunOptions& options, int n_threads,
                              const GpuPart& gpu) {
  LoadedModel loaded = with_head(std::move(head), options);
  try {
    const std::uint64_t left = obtain_gpu_weights(loaded, options, n_threads, gpu);
    make_forward(loaded, options,
                 options.memory_budget > 0 ? std::min(left, options.memory_budget) : left);
  } catch (const OutOfMemory& e) {
    throw Error(ExitCode::configuration,
                "the GPU's memory, or --memory-budget, is not enough for the weights and one step "
                "(" +
                    std::string(e.what()) +
                    "): give more memory, a smaller --cache-size or fewer --streams");
  }
  return loaded;
}

}  // namespace tovamill
