#include "tests/support/attention/devices.h"

#include <cstdlib>
#include <map>

#include "kernels/backend.h"
#include "kernels/types/error.h"

namespace tovamill::testing {
namespace {

bool is_there(const std::string& device) {
  if (device != "cuda") return true;
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

bool is_slow(const std::string& device) {
#ifdef TOVAMILL_EMULATES_CUDA
  return device == "cuda" && std::getenv("TOVAMILL_EMULATE_ALL") == nullptr;
#else
  return device.empty();
#endif
}

}  // namespace

std::vector<std::string> devices(const std::vector<std::string>& names) {
  static std::map<std::string, bool> known;
  std::vector<std::string> there;
  for (const std::string& name : names) {
    if (!known.contains(name)) known[name] = is_there(name);
    if (known[name]) there.push_back(name);
  }
  return there;
}

bool runs_on(const std::string& device, std::size_t i, std::size_t every) {
  return !is_slow(device) || (every != kNever && i % every == 0);
}

}  // namespace tovamill::testing
