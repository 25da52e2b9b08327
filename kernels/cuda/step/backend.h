// The step of the CUDA backend: cuBLASLt for dense products, our own kernels for attention, scan
// and row operations. Steps take lanes in turn (in_flight_steps.h), what is done to states between
// them is ordered by state_pool.h.
#pragma once

#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/step/device.h"
#include "kernels/cuda/step/state_pool.h"

namespace tovamill::cuda {

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const BackendOptions& options);

  Device& device() override { return device_; }
  const Device& device() const override { return device_; }
  std::int32_t n_in_flight() const override { return in_flight_.n(); }

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
  void finish_step() override;
  StepTrace take_trace() override { return in_flight_.take_trace(); }
  bool read_argmax(const Buffer& x, const Matrix& head, std::span<const std::int32_t> rows,
                   std::span<std::int32_t> ids) override;
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
  void issue_norm(const Buffer& x, const NormWeights& weights, bool adds, Buffer& out);
  void issue_gemm(Call call, const Buffer& x, const Matrix& w, Buffer& out);
  InFlightStep& in_flight_of(const Buffer& x);
  // The buffer's elements, used by the step that began last.
  void* used(const Buffer& buffer);

  BackendOptions options_;
  ComputeType type_;
  CudaDevice device_;
  const AttentionModel& model_;  // the device's
  InFlightSteps& in_flight_;     // the device's
  std::shared_ptr<CudaStatePool> states_;
};

}  // namespace tovamill::cuda
