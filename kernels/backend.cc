#include "kernels/backend.h"

#include "kernels/types/error.h"

namespace tovamill {

std::vector<std::vector<std::int32_t>> read_each_position(const Backend& backend,
                                                          const StreamState& state,
                                                          std::int32_t n_layers,
                                                          std::int32_t n_eviction_groups) {
  std::vector<std::vector<std::int32_t>> all;
  for (std::int32_t layer = 0; layer < n_layers; ++layer) {
    for (std::int32_t group = 0; group < n_eviction_groups; ++group)
      all.push_back(backend.read_positions(state, layer, group));
  }
  return all;
}

std::unique_ptr<Backend> make_backend(const std::string& device, const BackendOptions& options) {
  if (device == "auto" || device == "cpu") return make_cpu_backend(options);
  if (device == "reference") return make_reference_backend(options);
  if (device == "cuda") return make_cuda_backend(options);
  throw Error(ExitCode::usage,
              "--device '" + device + "' is not known: choose one of auto, cpu, cuda");
}

}  // namespace tovamill
