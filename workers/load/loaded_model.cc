#include "workers/load/loaded_model.h"

#include <algorithm>
#include <limits>
#include <map>

#include "engine/model/rotary_config.h"
#include "kernels/state_plan.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "kernels/types/printable.h"
#include "workers/load/memory_plan.h"
#include "workers/load/model_parts.h"
#include "workers/load/packed_weights.h"
#include "workers/options/sweep.h"
#include "workers/stages/stage_cut.h"
#include "workers/stages/staged_model.h"

namespace tovamill {

namespace {

constexpr std::size_t kMostKeysShown = 5;

// Keys that no supported family has: "; nothing reads 'quirk' of config.json".
std::string unread_keys(const ModelConfig& config, ModelFiles::Format format) {
  const std::vector<std::string>& keys = config.unknown_keys;
  if (keys.empty()) return "";
  std::string text = "; nothing reads ";
  for (std::size_t i = 0; i < std::min(keys.size(), kMostKeysShown); ++i)
    text += (i == 0 ? "" : ", ") + printable(keys[i]);
  if (keys.size() > kMostKeysShown)
    text += " and " + counted(keys.size() - kMostKeysShown, "other key");
  return text + (format == ModelFiles::Format::gguf ? " of the file" : " of config.json");
}

std::string ropes_note(const ModelConfig& config) {
  if (!config.long_rope) return "";
  const auto context = with_thousands(static_cast<std::uint64_t>(config.long_rope->context));
  return config.long_rope->is_short
             ? ", short LongRoPE factors (no stream exceeds " + context + " tokens)"
             : ", long LongRoPE factors (streams may exceed " + context +
                   " tokens; --chunk-tokens up to that takes the short ones)";
}

void check_merges(const CacheOptions& cache, const ModelShape& shape) {
  if (cache.merge == 0) return;
  for (std::int32_t l = 0; l < shape.n_layers; ++l) {
    if (places_of(cache, shape, l).merged > 0) return;
  }
  throw Error(ExitCode::configuration,
              "--merge: every layer of the model has a sliding window or a soft cap of its scores, "
              "and keeps no merged tokens");
}

// "8 of 128 experts a token, ", or nothing.
std::string experts_note(const ModelShape& shape) {
  const ExpertsShape e = shape.widest_experts();
  if (e.n_experts > 0)
    return std::to_string(e.n_used) + " of " + counted(e.n_experts, "expert") + " a token, ";
  return "";
}

// ": GPTQ of 4 bits in groups of 128", or nothing.
std::string quantization_note(const ModelConfig& config) {
  const std::string& description = config.quantization.description;
  return description.empty() ? "" : ": " + description;
}

}  // namespace

std::string describe_model(const ModelFiles& files, const ModelConfig& config) {
  std::map<std::string, int> types;
  for (const TensorView& t : files.tensors()) types[std::string(block_format(t.storage).name)] += 1;
  std::string names;
  for (const auto& [name, n] : types) names += (names.empty() ? "" : "+") + name;
  return config.architecture + ", " + counted(config.shape.n_layers, "layer") + ", " +
         human_count(n_parameters(files, config)) + " parameters, " + experts_note(config.shape) +
         names + quantization_note(config) + ropes_note(config) +
         unread_keys(config, files.format());
}

void fit_config(const RunOptions& options, ModelConfig& config) {
  std::int64_t most = 0;
  for (const CacheOptions& cache : caches_of(options)) {
    check_merges(cache, config.shape);
    std::int64_t positions = std::numeric_limits<std::int64_t>::max();
    if (cache.positions == Positions::clipped)
      positions = std::int64_t{clip_distance(cache, config.shape)} + kRopeSegmentTokens;
    if (cache.positions == Positions::in_state && is_bounded(cache))
      positions = std::int64_t{cache.cache_size} + kRopeSegmentTokens;
    if (cache.chunk_tokens > 0) positions = std::min<std::int64_t>(positions, cache.chunk_tokens);
    most = std::max(most, positions);
  }
  choose_ropes(most, config);
}

ModelMetadata open_model(const std::string& path) {
  ModelMetadata metadata;
  metadata.files = ModelFiles::open(path, ModelFiles::Parts::all);
  metadata.config = config_of(*metadata.files);
  metadata.tokenizer = tokenizer_of(*metadata.files);
  return metadata;
}

namespace {

// Backends of the other settings of a sweep, on the weights of the first.
void make_others(LoadedModel& loaded, const RunOptions& options) {
  BackendOptions made = loaded.backend_options;
  made.weights = nullptr;
  made.group.reset();
  made.beside = &loaded.backend->device();
  const std::vector<CacheOptions> caches = caches_of(options);
  for (std::size_t i = 1; i < caches.size(); ++i) {
    made.cache = caches[i];
    loaded.others.push_back({.backend = make_backend(device_of(options), made), .runner = nullptr});
  }
}

// Fits streams and step to `budget` bytes beside the weights.
void make_forward(LoadedModel& loaded, const RunOptions& options, std::uint64_t budget) {
  StepPlan& plan = loaded.plan;
  make_others(loaded, options);
  const auto forward = [&](Backend& backend) {
    return std::make_unique<Forward>(loaded.model, backend, plan.max_rows, plan.n_streams,
                                     plan.block);
  };
  StreamBytes bytes;
  bytes.add(*loaded.backend, forward(*loaded.backend)->buffer_bytes());
  for (const LoadedSetting& s : loaded.others)
    bytes.add(*s.backend, forward(*s.backend)->buffer_bytes());
  fit_streams(plan, options, bytes, budget);
  set_rows(plan);
  for (LoadedSetting& s : loaded.others) s.runner = forward(*s.backend);
  std::unique_ptr<Forward> made = forward(*loaded.backend);
  loaded.forward = made.get();
  loaded.runner = std::move(made);
  loaded.states = loaded.backend.get();
}

// Where several stages take the steps: the others learn what this one has room for, or it learns
// of them.
void join_stages(LoadedModel& loaded, const RunOptions& options, const StagePlace& place) {
  StepPlan& plan = loaded.plan;
  if (place.stage > 0) {
    const std::vector<std::byte> ready = pack(StageReady{.n_streams = plan.n_streams,
                                                         .full_rows = plan.full_rows,
                                                         .state_budget = plan.state_budget});
    place.channel->send(0, encode_done(0, ready));
    return;
  }
  loaded.pipeline_driver = std::make_unique<PipelineDriver>(*place.channel, place.timeout_s);
  const std::vector<StageReady> others = loaded.pipeline_driver->wait_until_ready();
  const auto here = static_cast<std::uint64_t>(loaded.model.range.n);
  for (std::size_t s = 0; s < others.size(); ++s) {
    plan.n_streams = std::min(plan.n_streams, others[s].n_streams);
    plan.full_rows = std::min(plan.full_rows, others[s].full_rows);
    // What a state takes there it takes here by as many more layers as there are.
    const auto there = static_cast<std::uint64_t>(loaded.stages[s + 1].n);
    plan.state_budget = std::min(plan.state_budget, others[s].state_budget / there * here);
  }
  set_rows(plan);
  if (place.on_own_gpus) {
    const std::string why = loaded.pipeline_driver->link(*loaded.forward, place);
    loaded.rows_note = why.empty() ? "rows by NCCL" : "rows in messages: " + why;
  }
  loaded.own_steps = std::move(loaded.runner);
  auto staged = std::make_unique<StagedModel>(
      loaded.model, loaded.stages, *loaded.backend, *loaded.forward, *loaded.pipeline_driver,
      n_eviction_groups(options.cache, loaded.config.shape));
  loaded.states = staged.get();
  loaded.runner = std::move(staged);
}

LoadedModel with_metadata(ModelMetadata metadata, const RunOptions& options,
                          const StagePlace& place) {
  LoadedModel loaded;
  loaded.files = std::move(metadata.files);
  loaded.config = std::move(metadata.config);
  fit_config(options, loaded.config);
  loaded.tokenizer = std::move(metadata.tokenizer);
  loaded.stages = cut_layers(loaded.config.shape, place.n_stages);
  loaded.model.range = loaded.stages.at(static_cast<std::size_t>(place.stage));
  loaded.plan = plan_rows(options);
  set_rows(loaded.plan);
  loaded.description = describe_model(*loaded.files, loaded.config);
  return loaded;
}

}  // namespace

StreamBytes LoadedModel::stream_bytes() const {
  StreamBytes bytes;
  bytes.add(*backend, runner->buffer_bytes());
  for (const LoadedSetting& s : others) bytes.add(*s.backend, s.runner->buffer_bytes());
  return bytes;
}

LoadedModel load_model(ModelMetadata metadata, const RunOptions& options, int n_threads,
                       std::uint64_t available_bytes, const WeightSharing& how,
                       const StagePlace& place) {
  LoadedModel loaded = with_metadata(std::move(metadata), options, place);
  const std::uint64_t left = obtain_weights(loaded, options, n_threads, available_bytes, how);
  make_forward(loaded, options, options.memory_budget > 0 ? options.memory_budget : left / 10 * 8);
  if (place.n_stages > 1) join_stages(loaded, options, place);
  return loaded;
}

// All of a GPU's memory was there for the taking, so what is missing will not come by itself: a
// step has fewer rows then.
LoadedModel load_model_on_gpu(ModelMetadata metadata, const RunOptions& options, int n_threads,
                              const GpuPart& gpu, const StagePlace& place) {
  LoadedModel loaded = with_metadata(std::move(metadata), options, place);
  const StepPlan wanted = loaded.plan;
  const LayerRange range = loaded.model.range;
  for (GpuPart part = gpu;; part.group.reset()) {  // a group meets once
    try {
      const std::uint64_t left = obtain_gpu_weights(loaded, options, n_threads, part);
      make_forward(loaded, options,
                   options.memory_budget > 0 ? std::min(left, options.memory_budget) : left);
      break;
    } catch (const OutOfMemory& e) {
      StepPlan fewer = wanted;
      fewer.full_rows = loaded.plan.full_rows;
      if (!halve_rows(fewer)) {
        throw Error(ExitCode::configuration,
                    "the GPU's memory, or --memory-budget, is not enough for the weights and one "
                    "step (" +
                        std::string(e.what()) +
                        "): give more memory, a smaller --cache-size or fewer --streams");
      }
      loaded.runner.reset();
      loaded.others.clear();
      loaded.model = {};
      loaded.model.range = range;
      loaded.backend.reset();
      loaded.plan = fewer;
    }
  }
  if (place.n_stages > 1) join_stages(loaded, options, place);
  return loaded;
}

}  // namespace tovamill
