#include "workers/loaded_model.h"

#include <cmath>
#include <map>

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

LoadedModel load_model(ModelHead head, const RunOptions& options, int n_threads,
                       std::uint64_t available_bytes, const WeightSharing& how) {
  LoadedModel loaded;
  loaded.files = std::move(head.files);
  loaded.config = std::move(head.config);
  loaded.tokenizer = std::move(head.tokenizer);
  loaded.plan = plan_rows(options);
  set_rows(loaded.plan);
  const std::uint64_t left = obtain_weights(loaded, options, n_threads, available_bytes, how);
  const std::uint64_t buffers = Forward(loaded.model, *loaded.backend, loaded.plan.max_rows,
                                        loaded.plan.n_streams, loaded.plan.block)
                                    .buffer_bytes();
  fit_streams(loaded.plan, options, *loaded.backend, buffers,
              options.memory_budget > 0 ? options.memory_budget : left / 10 * 8);
  set_rows(loaded.plan);
  loaded.forward = std::make_unique<Forward>(loaded.model, *loaded.backend, loaded.plan.max_rows,
                                             loaded.plan.n_streams, loaded.plan.block);
  loaded.description = describe_model(*loaded.files, loaded.config);
  return loaded;
}

}  // namespace tovamill
