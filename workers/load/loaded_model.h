// A model made ready for scoring: files, configuration, tokenizer, backend and packed weights, in
// one place.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/model/forward.h"
#include "engine/model/model.h"
#include "engine/tokenizer/tokenizer.h"
#include "io/model/model_files.h"
#include "workers/load/memory_plan.h"
#include "workers/load/shared_weights.h"
#include "workers/options/run_options.h"
#include "workers/stages/pipeline_driver.h"
#include "workers/stages/stage_channel.h"

namespace tovamill {

// How a rank comes by its packed weights where several run on one host.
struct WeightSharing {
  enum class Role : std::uint8_t {
    alone,     // packs its own
    leader,    // packs for the host
    follower,  // maps the leader's; packs its own where that fails
  };
  Role role = Role::alone;
  WeightsPlace place = {};  // follower: LoadedModel::weights_place of the leader
  int n_ranks_on_host = 1;  // that share the host's memory, this one included
};

// What a rank has of a GPU, and who reads its weights.
struct GpuPart {
  int index = 0;                                       // BackendOptions::device_index
  std::uint64_t n_bytes = 0;                           // of its memory that this rank may take
  std::optional<NcclGroupPlace> group = std::nullopt;  // none: this rank reads them
};

// A setting of a sweep: states and steps of its own, on the weights of the first.
struct LoadedSetting {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<StepRunner> runner;
};

struct LoadedModel {
  std::unique_ptr<ModelFiles> files;
  ModelConfig config;
  std::unique_ptr<Tokenizer> tokenizer;
  StepPlan plan;
  std::unique_ptr<SharedWeights> shared;  // null where the weights are this process's own
  std::vector<LayerRange> stages;         // of the model; one unless it is cut
  BackendOptions backend_options;         // that the next was made for
  std::unique_ptr<Backend> backend;       // of this rank's layers, and of a sweep's first setting
  Model model;
  std::unique_ptr<StepRunner> own_steps;  // stage 0: where others take the steps after it
  std::unique_ptr<PipelineDriver> pipeline_driver;
  std::unique_ptr<StepRunner> runner;      // behind stage 0: of this rank's layers
  Forward* forward = nullptr;              // this rank's layers: in `own_steps`, else in `runner`
  StateKeeper* states = nullptr;           // of the streams that go through `runner`
  std::vector<LoadedSetting> others;       // of a sweep: its settings behind the first
  WeightsPlace weights_place;              // leader: for the followers; pid 0 where it shares none
  std::uint64_t private_weight_bytes = 0;  // packed by this process; 0 for a follower
  std::string sharing_note;  // "weights shared with this host's ranks (513.0 MiB)"; empty if alone
  std::string rows_note;     // how rows go between stages on GPUs of their own: "rows by NCCL"
  std::string description;   // What of the model's configuration depends on the options: the rotary
                             // tables of LongRoPE.
  void fit_config(const RunOptions& options, ModelConfig& config);

  // "llama, 30 layers, 135 M parameters, Q4_1 and Q8_0"

  StreamBytes stream_bytes() const;  // of all settings
};

// Everything but the weights: enough to check options before the long part.
struct ModelMetadata {
  std::unique_ptr<ModelFiles> files;
  ModelConfig config;
  std::unique_ptr<Tokenizer> tokenizer;
};

ModelMetadata open_model(const std::string& path);

// What of the model's configuration depends on the options: the rotary tables of LongRoPE. Throws
// Error(configuration) where no layer can merge tokens as --merge wants.
void fit_config(const RunOptions& options, ModelConfig& config);

// "llama, 30 layers, 135 M parameters, Q4_1+Q8_0".
std::string describe_model(const ModelFiles& files, const ModelConfig& config);

// Packs the weights for the device that the options ask for, or maps the leader's. Of
// `available_bytes` of memory, of a follower as they are once the leader has packed, the weights
// and this rank's share of the rest bound the streams. A rank that cannot share packs its own and
// says why in `sharing_note`. Throws Error(configuration) naming the bytes where not even one
// stream fits.
//
// With stages: loads those layers whose `place` it is. On stage 0 waits for the others, which may
// bound the streams as well, and may throw StageLost.
LoadedModel load_model(ModelMetadata metadata, const RunOptions& options, int n_threads,
                       std::uint64_t available_bytes, const WeightSharing& how = {},
                       const StagePlace& place = {});
// The same on cuda.
LoadedModel load_model_on_gpu(ModelMetadata metadata, const RunOptions& options, int n_threads,
                              const GpuPart& gpu, const StagePlace& place = {});

}  // namespace tovamill
