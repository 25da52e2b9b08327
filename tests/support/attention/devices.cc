#include "tests/support/attention/devices.h"

#include <cstdlib>
#include <map>

#include "kernels/backend.h"
#include "kernels/types/error.h"

namespace tovamill::testing {
namespace {

bool is_there(DeviceKind device) {
  if (device != DeviceKind::cuda) return true;
  const BackendOptions smallest{.shape = {.n_layers = 1,
                                          .hidden_size = 8,
                                          .intermediate_size = 8,
                                          .n_heads = 1,
                                          .n_kv_heads = 1,
                                          .head_dim = 8,
                                          .vocab_size = 8,
                                          .trained_context = 512,
                                          .ropes = {{1.0, 0.5, 0.25, 0.125}},
                                          .layers = {{}}},
                                .cache = {.cache_size = 8},
                                .dtype = ComputeType::bf16,
                                .max_rows = 8,
                                .max_block = 8,
                                .device_bytes = kTestDeviceBytes};
  try {
    make_backend(device, smallest);
  } catch (const Error& e) {
    if (e.code() != ExitCode::no_device) throw;
    return false;
  }
  return true;
}

bool is_slow(DeviceKind device) {
#ifdef TOVAMILL_EMULATES_CUDA
  return device == DeviceKind::cuda && std::getenv("TOVAMILL_EMULATE_ALL") == nullptr;
#else
  static_cast<void>(device);
  return false;
#endif
}

}  // namespace

std::vector<DeviceKind> devices(const std::vector<DeviceKind>& wanted) {
  static std::map<DeviceKind, bool> known;
  std::vector<DeviceKind> there;
  for (const DeviceKind device : wanted) {
    if (!known.contains(device)) known[device] = is_there(device);
    if (known[device]) there.push_back(device);
  }
  return there;
}

bool runs_on(DeviceKind device, std::size_t i, std::size_t every) {
  return !is_slow(device) || (every != kNever && i % every == 0);
}

}  // namespace tovamill::testing
