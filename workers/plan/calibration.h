// How fast a model runs on this machine, measured without loading it: a few steps of its first two
// layers and its head.
#pragma once

#include <cstdint>
#include <span>

#include "engine/model/model_config.h"
#include "kernels/backend.h"
#include "workers/load/memory_plan.h"

namespace tovamill {

struct CalibrationInput {
  DeviceKind device = DeviceKind::cpu;
  BackendOptions backend;             // of the whole model
  StepPlan plan;                      // its streams: those that really run side by side
  double document_tokens = 0.0;       // of an average document: how full the states get
  std::span<const std::int32_t> ids;  // real tokens, used again and again
  std::int32_t n_writers = 0;         // texts written side by side; 0: none are
};

// Medians over `n_repeats`, in seconds of a step of `n_rows` rows.
struct Calibration {
  std::int32_t n_rows = 0;
  std::int32_t n_blocks = 0;      // streams in a step
  std::int64_t state_tokens = 0;  // that stood before the blocks that were timed
  int n_repeats = 0;
  double layer_s = 0.0;  // a layer
  double head_s = 0.0;   // the log-softmax over the vocabulary
  double other_s = 0.0;  // what a step takes beside them
  double step_s = 0.0;   // of the whole model
  // Time of a step in which n_writers streams take one token each and choose the next from its
  // logits.
  std::int32_t n_writers = 0;
  double writing_s = 0.0;
  double seconds = 0.0;  // that the calibration took

  // Of a sweep: the same rows take a step of each setting.
  void add(const Calibration& other);
  double written_per_second() const { return writing_s > 0.0 ? n_writers / writing_s : 0.0; }
  double tokens_per_second() const { return step_s > 0.0 ? n_rows / step_s : 0.0; }
};

// Packs two layers and the head in the backend's type, fills the states, and times steps of one
// layer, of two (the difference is a layer), and of one with the head. Throws OutOfMemory, and
// Error(no_device) as a run would.
Calibration calibrate(const ModelConfig& config, const ModelWeights& weights,
                      const CalibrationInput& input);

}  // namespace tovamill
