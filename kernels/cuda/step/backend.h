// The CUDA backend: cuBLASLt for dense products, our own kernels for attention, scan and row
// operations, one GPU, all memory in one arena. Steps take lanes in turn (in_flight_steps.h), what
// is done to states between them is ordered by state_pool.h.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/device/arena.h"
#include "kernels/cuda/device/matrix_upload.h"
#include "kernels/cuda/gemm/row_gemm.h"
#include "kernels/cuda/nccl/group.h"
#include "kernels/cuda/state/attention_model.h"
#include "kernels/cuda/step/buffers.h"
#include "kernels/cuda/step/in_flight_steps.h"
#include "kernels/cuda/step/state_pool.h"

namespace tovamill::cuda {

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const BackendOptions& options);
  ~CudaBackend() override;

  std::string description() const override;
  std::string dtype_name() const override { return std::string(name_of(type_)); }
  int n_threads() const override { return 1; }
  std::int32_t row_tile() const override { return 1; }
  std::int32_t n_in_flight() const override { return in_flight_.n(); }
  std::optional<std::uint64_t> device_bytes_left() const override { return arena_->n_free(); }

  std::unique_ptr<Matrix> pack(const MatrixSource& source) override;
  std::unique_ptr<Matrix> pack_gated(const TensorView& gate, const TensorView& up) override;
  void hold_embedding(const TensorView& embedding) override;
  void end_set_up() override;
  std::unique_ptr<Buffer> make_buffer(std::int32_t n_rows, std::int32_t n_cols,
                                      BufferType type) override;
  void write_rows(Buffer& buffer, std::int32_t first_row, std::span<const float> rows) override;
  void read_rows(const Buffer& buffer, std::int32_t first_row,
                 std::span<float> rows) const override;
  std::unique_ptr<ActivationLinks> link_activations(const ActivationLinksPlace& place) override;
  std::unique_ptr<StreamState> make_state() override;
  std::uint64_t state_bytes() const override;
  std::uint64_t state_bytes_for(std::int64_t n_tokens, bool keeps_all) const override;
  std::uint64_t workspace_bytes() const override;
  std::uint64_t workspace_bytes_for(std::int64_t n_tokens, bool keeps_all) const override;

  void begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows) override;
  void embed(std::span<const std::int32_t> ids, const TensorView& embedding, Buffer& out) override;
  void rms_norm(const Buffer& x, std::span<const float> weight, Buffer& out) override;
  void project(const Buffer& x, const Matrix& w, Buffer& out) override;
  void project_add(const Buffer& x, const Matrix& w, Buffer& hidden) override;
  void project_gated(const Buffer& x, const Matrix& gate_up, Buffer& out) override;
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
  std::unique_ptr<CudaMatrix> pack_rows(const MatrixSource& source);
  void share(const ArenaBlock& piece, const std::string& name);
  const float* on_device(std::span<const float> values);
  void to_device(void* to, const void* from, std::size_t n_bytes);
  void to_host(void* to, const void* from, std::size_t n_bytes) const;
  void issue_gemm(Call call, const Buffer& x, const Matrix& w, Buffer& out);
  InFlightStep& in_flight_of(const Buffer& x);
  // The buffer's elements, used by the step that began last.
  void* used(const Buffer& buffer);

  BackendOptions options_;
  ElementType type_;
  int device_ = 0;
  std::string device_name_;
  std::uint64_t wanted_bytes_ = 0;  // of the arena, which may have become smaller
  std::shared_ptr<Arena> arena_;
  AttentionModel model_;
  RowGemm gemm_;
  mutable InFlightSteps in_flight_;
  Stream stream_;  // of uploads, and of rows that the host reads and writes
  std::shared_ptr<StatePool> states_;
  std::unique_ptr<CudaMatrix> table_;  // the embedding
  const std::byte* table_source_ = nullptr;
  std::unordered_map<const float*, ArenaBlock> vectors_;  // norms, by where the host has them
  // Of set-up only. The group goes first: what it waits for must not be waited for.
  bool is_setting_up_ = true;
  std::unique_ptr<MatrixUpload> upload_;
  Stream share_stream_;
  std::unique_ptr<Group> group_;
};

}  // namespace tovamill::cuda
