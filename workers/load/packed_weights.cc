#include "workers/load/packed_weights.h"

#include <algorithm>
#include <string>

#include "io/model/digest.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "kernels/types/version.h"
#include "workers/load/choose_dtype.h"
#include "workers/load/memory_plan.h"
#include "workers/load/model_parts.h"
#include "workers/options/budgets.h"
#include "workers/options/sweep.h"
#include "workers/stages/stage_cut.h"

namespace tovamill {
namespace {

// What must be equal for two ranks to use the same packed bytes. That oneDNN chooses the same
// layout the backend checks matrix by matrix; the number of threads does not matter.
std::uint64_t identity_of(const std::string& model_digest, DeviceKind device, ComputeType dtype) {
  Digest digest;
  const std::string program = program_version(), version = git_hash(), onednn = onednn_version();
  for (const std::string_view part :
       {std::string_view(model_digest), name_of(device), name_of(dtype), std::string_view(program),
        std::string_view(version), std::string_view(onednn)})
    digest.add(part);
  return digest.value();
}

// Makes backend and weights of a model whose head is there already, in one of three ways.
class Packing {
 public:
  Packing(LoadedModel& loaded, const RunOptions& options, int n_threads)
      : loaded_(loaded),
        options_(options),
        n_threads_(n_threads),
        range_(loaded.model.range),
        weights_(weights_of(*loaded.files, loaded.config)) {}

  void pack(ComputeType dtype, WeightStore* store) {
    const StepPlan& plan = loaded_.plan;
    for (const CacheOptions& cache : caches_of(options_))
      check_budgets(cache, loaded_.config.shape);
    loaded_.backend_options = {.shape = shape_of(loaded_.config.shape, range_),
                               .cache = caches_of(options_).front(),
                               .dtype = dtype,
                               .n_threads = n_threads_,
                               .max_rows = plan.max_rows,
                               .max_block = plan.block,
                               .weights = store,
                               .device_index = gpu_.index,
                               .n_in_flight = plan.n_in_flight,
                               .device_bytes = gpu_.n_bytes,
                               .group = gpu_.group};
    loaded_.backend = make_backend(device_of(options_), loaded_.backend_options);
    loaded_.model = pack_layers(loaded_.config, weights_, range_, loaded_.backend->device());
    loaded_.private_weight_bytes = loaded_.model.weight_bytes();
  }

  // False, with the reason in `sharing_note`, where it cannot be.
  bool pack_for_all(ComputeType dtype) {
    try {
      loaded_.shared = SharedWeights::create(
          most_packed_bytes(loaded_.config.shape, expanded_to(dtype)), identity(dtype));
      pack(dtype, &loaded_.shared->store());
      if (loaded_.shared->n_bytes() == 0) return give_up("this device shares no weights");
      loaded_.weights_place = loaded_.shared->seal();
      loaded_.sharing_note =
          "weights shared with this host's ranks (" + human_bytes(loaded_.shared->n_bytes()) + ")";
      return true;
    } catch (const Error& e) {
      return give_up(e.what());
    }
  }

  // From the group's file, or from this rank's own where the group fails.
  void pack_on(GpuPart gpu, ComputeType dtype) {
    gpu_ = gpu;
    if (gpu_.group) {
      gpu_.group->content = identity(dtype);
      try {
        pack(dtype, nullptr);
        loaded_.sharing_note =
            "weights read once for " + std::to_string(gpu.group->n_ranks) + " GPUs";
        return;
      } catch (const NcclGroupError& e) {
        gpu_.group.reset();
        give_up(e.what());
      }
    }
    pack(dtype, nullptr);
  }

  // The same. `auto` is what the leader chose.
  bool attach(const WeightsPlace& place) {
    ComputeType dtype = options_.dtype.value_or(automatic_dtype(device_of(options_)));
    if (!options_.dtype && identity(ComputeType::bf16) == place.identity) dtype = ComputeType::bf16;
    try {
      std::string why;
      loaded_.shared = SharedWeights::attach(place, identity(dtype), why);
      if (loaded_.shared == nullptr) return give_up(why);
      pack(dtype, &loaded_.shared->store());
      if (!loaded_.shared->all_taken()) return give_up("the leader packed other matrices");
      loaded_.private_weight_bytes = 0;
      loaded_.sharing_note = "weights of process " + std::to_string(place.pid) + " (" +
                             human_bytes(loaded_.shared->n_bytes()) + ")";
      return true;
    } catch (const Error& e) {
      return give_up(e.what());
    }
  }

 private:
  std::uint64_t identity(ComputeType dtype) {
    if (digest_.empty()) digest_ = loaded_.files->digest();
    return identity_of(digest_, device_of(options_), dtype);
  }
  bool give_up(const std::string& why) {
    loaded_.sharing_note = "weights of its own: " + why;
    loaded_.weights_place = {};
    loaded_.model = {};
    loaded_.backend.reset();
    loaded_.shared.reset();
    return false;
  }

  LoadedModel& loaded_;
  const RunOptions& options_;
  int n_threads_;
  LayerRange range_;
  GpuPart gpu_;
  ModelWeights weights_;
  std::string digest_;
};

}  // namespace

std::uint64_t obtain_weights(LoadedModel& loaded, const RunOptions& options, int n_threads,
                             std::uint64_t available_bytes, const WeightSharing& how) {
  using Role = WeightSharing::Role;
  const auto n_ranks = static_cast<std::uint64_t>(std::max(1, how.n_ranks_on_host));
  const auto dtype_within = [&](std::uint64_t bytes) {
    return choose_dtype(options, loaded.config.shape, bytes);
  };
  Packing packing(loaded, options, n_threads);
  if (how.role == Role::follower && packing.attach(how.place)) return available_bytes / n_ranks;
  if (how.role == Role::leader && packing.pack_for_all(dtype_within(available_bytes))) {
    const std::uint64_t taken = loaded.private_weight_bytes;
    return (available_bytes > taken ? available_bytes - taken : 0) / n_ranks;
  }
  // A follower's memory is measured when the leader has its weights already.
  const std::uint64_t packers =
      how.role == Role::follower ? std::max<std::uint64_t>(1, n_ranks - 1) : n_ranks;
  const std::uint64_t share = available_bytes / packers;
  packing.pack(dtype_within(share), nullptr);
  const std::uint64_t taken = loaded.private_weight_bytes;
  return share > taken ? share - taken : 0;
}

std::uint64_t obtain_gpu_weights(LoadedModel& loaded, const RunOptions& options, int n_threads,
                                 const GpuPart& gpu) {
  const ModelShape& shape = loaded.config.shape;
  const ComputeType dtype = choose_dtype(options, shape, gpu.n_bytes);
  const StorageType storage = expanded_to(dtype).storage;
  const LayerRange range = loaded.model.range;
  const std::uint64_t embedding =  // as large as the head
      range.has_embedding() ? bytes_of_elements(storage, head_parameters(shape)) : 0;
  const std::uint64_t weights = packed_bytes(shape, range, storage) + embedding;
  limit_rows(loaded.plan, shape_of(shape, range), caches_of(options),
             gpu.n_bytes > weights ? gpu.n_bytes - weights : 0);
  GpuPart part = gpu;
  if (options.memory_budget > 0)
    part.n_bytes = std::min(part.n_bytes, weights + options.memory_budget);
  Packing packing(loaded, options, n_threads);
  packing.pack_on(part, dtype);
  // The workspace is taken already.
  return loaded.backend->device().device_bytes_left().value_or(0) +
         loaded.backend->workspace_bytes();
}

// oneDNN pads a chunk's columns to its blocks (64 at most), a chunk being at least 256 columns wide
// unless it is the only or the last one, and the rows to 64; label and bias come on top.
std::uint64_t most_packed_bytes(const ModelShape& s, MatrixType type) {
  const auto matrix = [&](std::int64_t n_out, std::int64_t n_in) {
    const auto columns = static_cast<std::uint64_t>(n_out + n_out / 4 + 128);
    const auto rows = static_cast<std::uint64_t>((n_in + 63) / 64 * 64);
    const auto chunks = static_cast<std::uint64_t>(n_out / 256 + 3);
    return bytes_of_elements(type.storage, columns * rows) + static_cast<std::uint64_t>(n_out) * 4 +
           chunks * 64;
  };
  const auto feed_forward = [&](std::int32_t inner) {
    return inner == 0 ? 0 : matrix(2 * inner, s.hidden_size) + matrix(s.hidden_size, inner);
  };
  std::uint64_t sum = matrix(s.vocab_size, s.hidden_size);
  const auto n_layers = static_cast<std::int32_t>(s.layers.size());
  if (s.per_layer_size > 0) sum += matrix(n_layers * s.per_layer_size, s.hidden_size);
  for (const LayerShape& layer : s.layers) {
    const ExpertsShape& experts = layer.experts;
    if (s.per_layer_size > 0)
      sum += matrix(s.per_layer_size, s.hidden_size) + matrix(s.hidden_size, s.per_layer_size);
    sum += matrix(s.q_size() + 2 * s.kv_size(), s.hidden_size) + matrix(s.hidden_size, s.q_size()) +
           feed_forward(s.inner_size(layer));
    if (experts.n_experts == 0) continue;
    sum += matrix(experts.n_experts, s.hidden_size) +
           static_cast<std::uint64_t>(experts.n_experts) * feed_forward(experts.intermediate_size);
  }
  return sum;
}

}  // namespace tovamill
