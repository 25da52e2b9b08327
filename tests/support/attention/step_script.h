// Streams of made-up tokens through a model, step after step as a script says, several steps in
// flight where the device can: what comes of it is to be the same however many there are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/model/forward.h"
#include "engine/model/model.h"
#include "io/model/model_files.h"
#include "kernels/backend.h"

namespace tovamill::testing {

// What is done to a stream's state between two steps.
struct StateChange {
  enum class Kind : std::uint8_t { reset, renew, copy, reload, read };
  Kind kind = Kind::reset;  // renew: it goes, and a new one comes; copy: `other` becomes it;
                            // reload: it is saved, and loaded into a new one in its place
  std::size_t stream = 0, other = 0;
};

struct ScriptedBlock {
  std::size_t stream = 0;
  std::int32_t n_tokens = 1;
  bool keeps_all = false;
};

struct ScriptedStep {
  std::vector<StateChange> changes;  // before it
  std::vector<ScriptedBlock> blocks;
};

struct ScriptSetting {
  std::size_t n_streams = 4, n_steps = 30;
  std::int32_t max_tokens = 20;  // of a block; 1: decoding only
  bool changes = true;           // whether states are changed between steps
  bool keeps_all = false;        // whether blocks may
  CacheOptions cache;
};
// Steps of random streams, often the same in several one after another.
std::vector<ScriptedStep> random_script(const ScriptSetting& setting, std::uint32_t seed);

struct ScriptResult {
  std::vector<float> nll, weights, logits;
  std::vector<std::int32_t> events;     // (position, step, group) of each eviction
  std::vector<std::uint64_t> attended;  // of each block and layer
  std::vector<std::int32_t> positions;  // of what has been read, and of all states at the end
  std::vector<std::byte> states;        // saved at the end
  bool operator==(const ScriptResult&) const = default;
};

// A model on a backend of its own.
class ScriptedModel {
 public:
  static constexpr std::int32_t kMaxRows = 128, kMaxBlocks = 8;

  // `options` but for the shape and the rows of a step.
  ScriptedModel(const std::string& path, DeviceKind device, BackendOptions options);

  ScriptResult run(const std::vector<ScriptedStep>& script, std::size_t n_streams);
  Backend& backend() { return *backend_; }
  Forward& forward() { return *forward_; }

 private:
  using States = std::vector<std::unique_ptr<StreamState>>;
  void change(const StateChange& change, States& states, ScriptResult& result);
  void submit(const ScriptedStep& step, const States& states, ScriptResult& result);
  void collect(ScriptResult& result);
  void read(const StreamState& state, ScriptResult& result);

  std::unique_ptr<ModelFiles> files_;
  ModelConfig config_;
  ModelWeights weights_;
  std::unique_ptr<Backend> backend_;
  Model model_;
  std::unique_ptr<Forward> forward_;
};

}  // namespace tovamill::testing
