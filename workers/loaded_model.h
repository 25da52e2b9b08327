// A model made ready for scoring: files, configuration, tokenizer, backend and packed weights, in
// one place.
#pragma once

#include <memory>
#include <string>

#include "engine/forward.h"
#include "engine/model.h"
#include "engine/tokenizer.h"
#include "io/model_files.h"
#include "workers/memory_plan.h"
#include "workers/run_options.h"

namespace tovamill {

struct LoadedModel {
  std::unique_ptr<ModelFiles> files;
  ModelConfig config;
  std::unique_ptr<Tokenizer> tokenizer;
  StepPlan plan;
  std::unique_ptr<Backend> backend;
  Model model;
  std::unique_ptr<Forward> forward;
  std::string description;  // "llama, 30 layers, 135 M parameters, Q4_1 and Q8_0"
};

// Everything but the weights: enough to check options before the long part.
struct ModelHead {
  std::unique_ptr<ModelFiles> files;
  ModelConfig config;
  std::unique_ptr<Tokenizer> tokenizer;
};

ModelHead open_model(const std::string& path);

// "llama, 30 layers, 135 M parameters, Q4_1+Q8_0".
std::string describe_model(const ModelFiles& files, const ModelConfig& config);

// Packs the weights for the device that the options ask for; `available_bytes` of memory bound the
// streams. Throws Error(configuration) naming the bytes where not even one stream fits.
LoadedModel load_model(ModelHead head, const RunOptions& options, int n_threads,
                       std::uint64_t available_bytes);

}  // namespace tovamill
