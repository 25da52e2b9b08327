// The CUDA backend: cuBLASLt for dense products, our own kernels for attention, scan and row
// operations, one GPU, all memory in one arena. Calls are put into one stream; finish_step and
// read_logits wait for it.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/arena.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/products.h"

namespace tovamill::cuda {

struct CudaMatrix final : Matrix {
  ArenaPiece weights;  // (rows, cols) in the compute type
  ArenaPiece biases;   // (rows) float32, or empty
  std::int32_t rows = 0, cols = 0;
  std::int32_t n_out() const override { return rows; }
  std::int32_t n_in() const override { return cols; }
  std::uint64_t n_bytes() const override { return weights.size() + biases.size(); }
  Operand operand() const { return {weights.data(), rows, cols}; }
  const float* bias() const { return static_cast<const float*>(biases.data()); }
};

struct CudaBuffer final : Buffer {
  ArenaPiece memory;
  std::int32_t cols = 0;
  ElementType type = ElementType::f32;
  template <class T>
  T* as() const {
    return static_cast<T*>(memory.data());
  }
};

class CudaBackend final : public Backend {
 public:
  CudaBackend(const BackendOptions& options, ElementType type);
  ~CudaBackend() override;

  std::string description() const override;
  std::string dtype_name() const override { return type_ == ElementType::bf16 ? "bf16" : "f32"; }
  int n_threads() const override { return 1; }
  std::int32_t row_tile() const override { return 1; }
  std::optional<std::uint64_t> device_bytes_left() const override { return arena_->n_free(); }

  std::unique_ptr<Matrix> pack(const MatrixSource& source) override;
  std::unique_ptr<Matrix> pack_gated(const TensorView& gate, const TensorView& up) override;
  std::unique_ptr<Buffer> make_buffer(std::int32_t n_rows, std::int32_t n_cols,
                                      BufferType type) override;
  void write_rows(Buffer& buffer, std::int32_t first_row, std::span<const float> rows) override;
  void read_rows(const Buffer& buffer, std::int32_t first_row,
                 std::span<float> rows) const override;
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

 private:
  using RowSource = void (*)(const void* context, std::int64_t row, float* out);
  // Rows that one kind of product takes, one after another.
  struct Segment {
    std::int32_t first, n_rows;
    RowKind kind;
  };
  std::unique_ptr<CudaMatrix> pack_rows(std::int32_t n_out, std::int32_t n_in, bool has_bias,
                                        RowSource source, const void* context,
                                        const std::string& name);
  void upload_bias(CudaMatrix& matrix, const std::vector<float>& bias);
  const float* on_device(std::span<const float> values);
  void cut_segments(std::span<const StepBlock> blocks, std::int32_t n_rows);
  // out, rows of `out_cols`, = x W^T of all rows of the step.
  void multiply(const Buffer& x, const CudaMatrix& w, void* out, ElementType out_type, bool adds);
  template <class T>
  T* row(const Buffer& b, std::int64_t r) const {
    const auto& buffer = static_cast<const CudaBuffer&>(b);
    return buffer.as<T>() + r * buffer.cols;
  }
  void to_device(void* to, const void* from, std::size_t n_bytes);
  void to_host(void* to, const void* from, std::size_t n_bytes) const;

  BackendOptions options_;
  ElementType type_;
  int device_ = 0;
  std::string device_name_;
  std::shared_ptr<Arena> arena_;
  Stream stream_;
  std::unique_ptr<Products> products_;
  std::unique_ptr<Attention> attention_;
  ArenaPiece gate_up_;                 // (max_rows, 2 intermediate) in the compute type
  ArenaPiece logits_;                  // (kHeadRows, vocab) float32
  ArenaPiece gathered_;                // (kHeadRows, hidden) in the compute type
  ArenaPiece ids_, targets_, nll_;     // (max_rows)
  std::unique_ptr<CudaMatrix> table_;  // the embedding
  const std::byte* table_source_ = nullptr;
  std::unordered_map<const float*, ArenaPiece> vectors_;  // norms, by where the host has them
  PinnedMemory host_rows_, host_nll_, host_logits_;
  Event staged_;
  std::vector<Segment> segments_;
  std::int32_t n_rows_ = 0;
  // Where finish_step brings what the step's calls promised.
  std::vector<std::pair<std::int32_t, std::span<BlockEvents>>> promised_events_;
  std::span<float> promised_nll_;
};

}  // namespace tovamill::cuda
