#include "kernels/cuda/step/step_graphs.h"

#include <algorithm>
#include <utility>

namespace tovamill::cuda {

StepGraphs::~StepGraphs() {
  for (const Graph& g : graphs_) cudaGraphExecDestroy(g.graph);
}

void StepGraphs::launch(Graph& graph, StepNumber step, const Stream& stream) {
  graph.last_step = step;
  TOVAMILL_CUDA(cudaGraphLaunch(graph.graph, stream.get()));
}

// Null where it cannot be done on this device; nothing is in the stream then.
cudaGraphExec_t StepGraphs::capture(const Stream& stream, const std::function<void()>& enqueue) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  bool is_whole = true;
  TOVAMILL_CUDA(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal));
  try {
    enqueue();
  } catch (const Error&) {
    is_whole = false;
  }
  is_whole = cudaStreamEndCapture(stream.get(), &graph) == cudaSuccess && is_whole;
  if (is_whole) is_whole = cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess;
  if (graph != nullptr) cudaGraphDestroy(graph);
  if (!is_whole) cudaGetLastError();  // a device that is of no use says so again
  return is_whole ? executable : nullptr;
}

void StepGraphs::drop_oldest(StepNumber step, const Stream& stream) {
  if (graphs_.size() < kMost) return;
  if (graphs_.front().last_step == step) stream.synchronize();
  cudaGraphExecDestroy(graphs_.front().graph);
  graphs_.erase(graphs_.begin());
}

void StepGraphs::run(GraphKey key, StepNumber step, const Stream& stream,
                     const std::function<void()>& enqueue) {
  const auto known =
      std::find_if(graphs_.begin(), graphs_.end(), [&](const Graph& g) { return g.key == key; });
  if (known != graphs_.end()) {
    std::rotate(known, known + 1, graphs_.end());
    return launch(graphs_.back(), step, stream);
  }
  const auto before = std::find(seen_.begin(), seen_.end(), key);
  if (before == seen_.end() || !is_usable_) {
    if (seen_.size() == kMost) seen_.erase(seen_.begin());
    seen_.push_back(std::move(key));
    return enqueue();
  }
  seen_.erase(before);
  cudaGraphExec_t graph = capture(stream, enqueue);
  if (graph == nullptr) {
    is_usable_ = false;
    return enqueue();
  }
  drop_oldest(step, stream);
  graphs_.push_back({std::move(key), graph, step});
  launch(graphs_.back(), step, stream);
}

}  // namespace tovamill::cuda
