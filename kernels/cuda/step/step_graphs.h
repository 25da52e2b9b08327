// Decoding steps as CUDA graphs. A decoding step launches some hundred small kernels, and
// the next one the same with other contents of the same memory: what has come twice is captured,
// and launched as one from then on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/cuda/attention/step_layout.h"
#include "kernels/cuda/device/runtime.h"
#include "kernels/cuda/step/call.h"

namespace tovamill::cuda {

// All that the launches of some calls of a step depend on, but for its stream and memory.
struct GraphKey {
  std::int32_t n_rows = 0;
  std::vector<TileBatch> batches;
  const void* scratch = nullptr;
  std::vector<Call> calls;
  bool operator==(const GraphKey&) const = default;
};

class StepGraphs {
 public:
  StepGraphs() = default;
  ~StepGraphs();
  StepGraphs(const StepGraphs&) = delete;
  StepGraphs& operator=(const StepGraphs&) = delete;

  // Puts into `stream` what `enqueue` does, which is the same for equal keys: by itself for a key
  // that is new, as a graph for one that has come before. `step` is the stream's, those before are
  // through.
  void run(GraphKey key, StepNumber step, const Stream& stream,
           const std::function<void()>& enqueue);

 private:
  struct Graph {
    GraphKey key;
    cudaGraphExec_t graph;
    StepNumber last_step;
  };
  void launch(Graph& graph, StepNumber step, const Stream& stream);
  cudaGraphExec_t capture(const Stream& stream, const std::function<void()>& enqueue);
  void drop_oldest(StepNumber step, const Stream& stream);

  static constexpr std::size_t kMost = 8;
  std::vector<Graph> graphs_;   // at most kMost, the last used last
  std::vector<GraphKey> seen_;  // at most kMost that have come once
  bool is_usable_ = true;
};

}  // namespace tovamill::cuda
