// A step in flight on the GPU: a stream with memory of its own, so that several steps overlap, and
// the eviction scan of one hides behind the GEMMs of another. Nothing here waits for the device but
// `finish`, `read_logits` and `read_argmax`.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/step_timer.h"
#include "kernels/cuda/device/arena.h"
#include "kernels/cuda/gemm/row_gemm.h"
#include "kernels/cuda/step/buffers.h"
#include "kernels/cuda/step/call.h"
#include "kernels/cuda/step/experts.h"
#include "kernels/cuda/step/step_graphs.h"

namespace tovamill::cuda {

inline constexpr std::int32_t kHeadRows = 512;  // whose logits exist at one time, at most

class InFlightStep {
 public:
  // `gemm`, `model` and `trace` outlive it.
  InFlightStep(const BackendOptions& options, const AttentionModel& model, RowGemm& gemm,
               Arena& arena, TraceSum& trace);
  ~InFlightStep() { stream_.drain(); }

  const Stream& stream() const { return stream_; }
  Attention& attention() { return attention_; }
  const Attention& attention() const { return attention_; }
  StepNumber step() const { return step_; }  // the last one that has begun on it
  bool is_open() const { return is_open_; }  // calls of its step may still come

  // The step `step` begins, the one before being finished; its states fit.
  void begin(StepNumber step, std::span<const StepBlock> blocks, std::int32_t n_rows);
  // What `embed` reads.
  void set_ids(std::span<const std::int32_t> ids);
  // Calls of a decoding step wait for `flush`, which launches them together.
  void issue(const Call& call);
  void flush();
  // `events` of `layer` are to be there after `finish`.
  void request_events(std::int32_t layer, std::span<BlockEvents> events) {
    requested_events_.emplace_back(layer, events);
  }
  void target_nll(const CudaBuffer& x, const CudaMatrix& head,
                  std::span<const std::int32_t> targets, std::span<float> nll);
  // All calls of the step have come: what was requested of it begins to be copied to the host.
  void close();
  // What is put into `other` from now on finds done what has been called so far. The host goes on.
  void order(const Stream& other);
  // What is called from now on begins after the event was reached. The host goes on.
  void wait(const Event& event);
  void synchronize();
  // Waits for the end of the step, and delivers what was requested.
  void finish();
  // Backend::read_logits of rows of the step; waits.
  void read_logits(const CudaBuffer& x, const CudaMatrix& head, std::span<const std::int32_t> rows,
                   std::span<float> logits);

  // Backend::read_argmax of rows of the step; waits.
  void read_argmax(const CudaBuffer& x, const CudaMatrix& head, std::span<const std::int32_t> rows,
                   std::span<std::int32_t> ids);

  std::uint64_t workspace_bytes() const;
  // The same once a state has held `n_slots`.
  std::uint64_t workspace_bytes_for(std::int64_t n_slots) const;

 private:
  // Consecutive rows that one kind of GEMM takes.
  struct Segment {
    std::int32_t first, n_rows;
    RowKind kind;
  };
  void cut_segments(std::span<const StepBlock> blocks, std::int32_t n_rows);
  RowKind kind_of(std::int32_t row) const;
  bool can_repeat() const;
  void run(const Call& call);
  template <class T>
  void run_rows(const Call& call);
  template <class T>
  void add_experts(const Call& call);
  void multiply(const Call& call, void* out, ComputeType out_type);
  void multiply_head(const CudaMatrix& head, const void* x, std::int32_t n, RowKind kind);
  template <class Take>
  void multiply_rows(const CudaBuffer& x, const CudaMatrix& head,
                     std::span<const std::int32_t> rows, Take&& take);
  const std::int32_t* stage(std::span<const std::int32_t> numbers, std::byte* host,
                            const ArenaBlock& to, bool& is_staged);

  ComputeType type_;
  NormKind norm_;
  float eps_, logit_cap_;
  std::int32_t head_rows_;  // whose logits exist at one time
  RowGemm& gemm_;
  TraceSum& trace_;
  Stream stream_;
  StepTimer timer_;
  Attention attention_;
  ArenaBlock workspace_;  // of GEMMs
  ArenaBlock gate_up_;    // (max_rows, 2 intermediate) in the compute type
  ExpertScratch experts_;
  ArenaBlock logits_;               // (head_rows, vocab) float32
  ArenaBlock gathered_;             // (head_rows, hidden) in the compute type
  ArenaBlock ids_, targets_, nll_;  // (max_rows)
  PinnedMemory host_ids_, host_targets_, host_nll_, host_logits_;
  Event end_, called_;

  StepNumber step_ = 0;
  bool is_open_ = false, ids_staged_ = false, targets_staged_ = false;
  bool defers_ = false;  // calls go into graphs_
  std::vector<Call> deferred_;
  StepGraphs graphs_;
  std::int32_t n_rows_ = 0;
  std::vector<Segment> segments_;
  // Where `finish` delivers what the step's calls requested.
  std::vector<std::pair<std::int32_t, std::span<BlockEvents>>> requested_events_;
  std::span<float> requested_nll_;
};

}  // namespace tovamill::cuda
