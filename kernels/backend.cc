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

std::unique_ptr<Backend> make_backend(DeviceKind device, const BackendOptions& options) {
  switch (device) {
    case DeviceKind::cpu:
      return make_cpu_backend(options);
    case DeviceKind::cuda:
      return make_cuda_backend(options);
    case DeviceKind::reference:
      return make_reference_backend(options);
  }
  throw Error(ExitCode::internal, "make_backend: a device out of range");
}

}  // namespace tovamill
