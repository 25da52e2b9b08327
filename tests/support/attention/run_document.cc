#include "tests/support/attention/run_document.h"

#include <algorithm>
#include <optional>

#include "engine/model/forward.h"
#include "engine/model/model_config.h"
#include "io/model/model_files.h"
#include "tests/support/attention/devices.h"

namespace tovamill::testing {

RunResult run_document(const std::string& model_path, const std::vector<std::int32_t>& ids,
                       const RunSetting& setting) {
  const auto files = ModelFiles::open(model_path, ModelFiles::Parts::weights_only);
  const FindTensor find = [&](const std::string& name) { return files->find_tensor(name); };
  const bool is_hf = files->format() == ModelFiles::Format::hugging_face;
  const ModelConfig config = is_hf ? config_from_hf(files->config(), model_path)
                                   : config_from_gguf(files->config(), find, model_path);
  const ModelWeights weights = collect_weights(config, find, model_path);
  refuse_unused_tensors(config, files->tensor_names(), model_path);
  const BackendOptions options{.shape = config.shape,
                               .cache = setting.cache,
                               .dtype = setting.dtype,
                               .n_threads = setting.n_threads,
                               .max_rows = setting.block,
                               .max_block = setting.block,
                               .device_bytes = kTestDeviceBytes};
  const auto backend = make_backend(setting.device, options);
  const Model model = pack_model(config, weights, backend->device());
  Forward forward(model, *backend, setting.block, 1, setting.block);
  const auto state = backend->make_state();

  RunResult result;
  const std::size_t n = ids.size(), layers = model.layers.size();
  result.n_layers = static_cast<std::int32_t>(layers);
  result.n_eviction_groups = n_eviction_groups(setting.cache, config.shape);
  const auto groups = static_cast<std::size_t>(result.n_eviction_groups);
  result.eviction_step.assign(layers * groups * n, -1);
  result.attended.assign(layers, 0);
  for (std::size_t begin = 0; begin < n; begin += static_cast<std::size_t>(setting.block)) {
    const std::size_t count = std::min(static_cast<std::size_t>(setting.block), n - begin);
    std::vector<std::int32_t> targets(
        ids.begin() + static_cast<std::ptrdiff_t>(begin) + 1,
        ids.begin() + static_cast<std::ptrdiff_t>(std::min(begin + count + 1, n)));
    targets.resize(count, -1);
    const StepBlock block{.state = state.get(),
                          .first_row = 0,
                          .n_tokens = static_cast<std::int32_t>(count),
                          .position = static_cast<std::int64_t>(begin),
                          .random_key = setting.random_key};
    const StepOutput out = forward.run({.blocks = std::span(&block, 1),
                                        .ids = std::span(ids).subspan(begin, count),
                                        .targets = targets});
    for (std::size_t i = 0; i < count && begin + i + 1 < n; ++i) result.nll.push_back(out.nll[i]);
    for (std::size_t l = 0; l < layers; ++l) {
      result.attended[l] += out.at(l, 0).n_attended;
      for (const Eviction& e : out.at(l, 0).evictions) {
        result.eviction_step[(l * groups + static_cast<std::size_t>(e.group)) * n +
                             static_cast<std::size_t>(e.position)] = e.step;
      }
    }
  }
  return result;
}

}  // namespace tovamill::testing
