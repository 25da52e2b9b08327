// The step of the CPU backend: oneDNN for matrix products in tiles, our own vectorised attention,
// scan and row operations, all cores.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/attention/attention.h"
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/state.h"
#include "kernels/cpu/step/device.h"
#include "kernels/cpu/step/experts.h"

namespace tovamill {
class StateReader;   // saved_state.h
struct StateCounts;  // saved_state.h
}  // namespace tovamill

namespace tovamill::cpu {

class CpuBackend final : public Backend {
 public:
  CpuBackend(const BackendOptions& options, const IsaKernels& isa);

  Device& device() override { return *device_; }
  const Device& device() const override { return *device_; }

  std::unique_ptr<StreamState> make_state() override;
  std::uint64_t state_bytes() const override;
  std::uint64_t state_bytes_for(std::int64_t n_tokens, bool keeps_all) const override;
  std::uint64_t workspace_bytes() const override;
  std::uint64_t workspace_bytes_for(std::int64_t n_tokens, bool keeps_all) const override;

  void begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows) override;
  void embed(std::span<const std::int32_t> ids, const TensorView& embedding, float factor,
             Buffer& out) override;
  void scale(Buffer& x, float factor) override;
  void copy_columns(const Buffer& from, std::int32_t from_first, Buffer& to, std::int32_t to_first,
                    std::int32_t n) override;
  void multiply_columns(Buffer& x, const Buffer& by, std::int32_t first) override;
  void norm(const Buffer& x, const NormWeights& weights, Buffer& out) override;
  void norm_add(const Buffer& x, const NormWeights& weights, Buffer& hidden) override;
  void convert(const Buffer& x, Buffer& out) override;
  void project(const Buffer& x, const Matrix& w, Buffer& out) override;
  void project_add(const Buffer& x, const Matrix& w, Buffer& hidden) override;
  void project_gated(const Buffer& x, const Matrix& gate_up, Activation activation,
                     Buffer& out) override;
  void project_activated(const Buffer& x, const Matrix& up, Activation activation,
                         const Xielu& xielu, Buffer& out) override;
  void add_experts(const Buffer& x, const Matrix& router, const Experts& experts,
                   const LayerShape& layer, Buffer& hidden) override;
  void add_weighted(const Buffer& y, const Buffer& x, std::span<const float> gate,
                    Buffer& hidden) override;
  void attend(std::int32_t layer, const AttentionWeights& weights, Buffer& qkv, Buffer& out,
              std::span<BlockEvents> events) override;
  void target_nll(const Buffer& x, const Matrix& head, std::span<const std::int32_t> targets,
                  std::span<float> nll) override;
  void read_logits(const Buffer& x, const Matrix& head, std::span<const std::int32_t> rows,
                   std::span<float> logits) override;

  void reset(StreamState& state) override;
  void reserve(StreamState& state, std::int64_t n_tokens, bool keeps_all) override;
  void copy(const StreamState& from, StreamState& to) override;
  std::int64_t n_tokens(const StreamState& state) const override;
  void save(const StreamState& state, std::vector<std::byte>& out) const override;
  std::int64_t load(StreamState& state, std::span<const std::byte> bytes) override;
  std::vector<std::int32_t> read_positions(const StreamState& state, std::int32_t layer,
                                           std::int32_t group) const override;
  std::vector<std::vector<std::int32_t>> read_all_positions(
      const StreamState& state) const override;

 private:
  struct ChunkSum {
    float highest, sum;
  };
  // Calls body(tile, chunk, product) for every tile of rows [0, n_rows) of `x` and chunk of the
  // matrix; product (tile.rows(), chunk_cols) is x W_chunk^T, without the bias. Tiles for which
  // wanted(tile) is false are left out.
  template <class Wanted, class Body>
  void for_each_tile(const PackedMatrix& w, const CpuBuffer& x, std::int32_t n_rows,
                     Wanted&& wanted, Body&& body);
  // Calls body(row, thread) for the step's rows.
  template <class Body>
  void for_each_row(Body&& body);
  template <class Write>
  void multiply_into(const Buffer& x, const Matrix& w, Buffer& out, Write&& write);
  float* thread_tile(int thread) const;
  // out = norm(x) of one row.
  void normalize(const float* x, const NormWeights& weights, float* out) const;
  void normalize(const float* x, const NormWeights& weights, std::uint16_t* out) const;
  void activate(Activation activation, const Xielu& xielu, const float* gate, const float* up,
                std::int32_t n, CpuBuffer& out, std::int32_t row, std::int32_t column) const;
  // add_experts in three parts (experts.cc).
  void sort_by_expert(const Buffer& x, const Matrix& router, const ExpertsShape& shape);
  void gate_experts(const CpuExperts& experts, Activation activation);
  void add_from_experts(const CpuExperts& experts, CpuBuffer& hidden);
  void cap_logits(float* logits, std::int32_t n) const;
  // Of saved states (saved_state.cc).
  std::int64_t load_into(CpuState& s, std::span<const std::byte> bytes) const;
  void load_layer(StateReader& reader, CpuState& s, std::int32_t layer, const StateCounts& counts,
                  std::int64_t rotation) const;
  void check_merge_rows(const CpuState& s, std::int32_t layer, const StateCounts& counts) const;

  BackendOptions options_;
  ComputeType type_;
  const IsaKernels& isa_;
  std::unique_ptr<CpuDevice> own_device_;  // null where another backend has it
  CpuDevice* device_;
  ThreadPool& pool_;  // the device's
  Gemm& gemm_;        // the device's
  RowCut row_cut_;
  Attention attention_;
  CpuBuffer gathered_;                // (kRowTile, hidden_size) rows whose logits are read
  AlignedBytes tiles_;                // (n_threads, kRowTile, widest chunk) float32
  std::vector<ChunkSum> chunk_sums_;  // (max_rows, chunks of the vocabulary)
  std::vector<float> target_logits_;  // (max_rows)
  std::vector<std::vector<float>>
      normed_rows_;  // (n_threads, hidden_size), where norm_add is called
  ExpertScratch experts_;
  std::int32_t n_rows_ = 0;
};

template <class Body>
void CpuBackend::for_each_row(Body&& body) {
  constexpr std::int32_t kRowsPerTask = 16;
  pool_.run((n_rows_ + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task, int thread) {
    const auto begin = static_cast<std::int32_t>(task) * kRowsPerTask;
    for (std::int32_t r = begin; r < std::min(begin + kRowsPerTask, n_rows_); ++r) body(r, thread);
  });
}

}  // namespace tovamill::cpu
