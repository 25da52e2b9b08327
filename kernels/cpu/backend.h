// The CPU backend: oneDNN for matrix products in tiles, our own vectorised attention, scan and row
// operations, all cores.
#pragma once

#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/state.h"
#include "kernels/cpu/thread_pool.h"

namespace tovamill::cpu {

struct CpuBuffer final : Buffer {
  CpuBuffer(std::int32_t n_rows, std::int32_t n_cols, std::size_t element_bytes);
  std::int32_t cols;
  std::size_t row_bytes;
  AlignedBytes bytes;  // rows in whole tiles
  std::size_t element_bytes() const { return row_bytes / static_cast<std::size_t>(cols); }
  std::byte* row(std::int64_t r) const {
    return bytes.data() + r * static_cast<std::int64_t>(row_bytes);
  }
  float* f32(std::int64_t r) const { return reinterpret_cast<float*>(row(r)); }
  std::uint16_t* bf16(std::int64_t r) const { return reinterpret_cast<std::uint16_t*>(row(r)); }
};

class CpuBackend final : public Backend {
 public:
  CpuBackend(const BackendOptions& options, const IsaKernels& isa);

  std::string description() const override;
  std::string dtype_name() const override { return std::string(name_of(type_)); }
  int n_threads() const override { return pool_.size(); }
  std::int32_t row_tile() const override { return kRowTile; }

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
  using RowSource = void (*)(const void* context, std::int64_t row, float* out);
  std::unique_ptr<PackedMatrix> pack_rows(const PackedShape& shape, RowSource source,
                                          const void* context);
  // Calls body(tile, chunk, product) for every tile of rows [0, n_rows) of `x` and chunk of the
  // matrix; product (tile.rows(), chunk_cols) is x W_chunk^T, without the bias. Tiles for which
  // wanted(tile) is false are left out.
  template <class Wanted, class Body>
  void for_each_tile(const PackedMatrix& w, const CpuBuffer& x, std::int32_t n_rows,
                     Wanted&& wanted, Body&& body);
  // Calls body(row) for the step's rows.
  template <class Body>
  void for_each_row(Body&& body);
  template <class Write>
  void multiply_into(const Buffer& x, const Matrix& w, Buffer& out, Write&& write);
  float* thread_tile(int thread) const;

  BackendOptions options_;
  ComputeType type_;
  const IsaKernels& isa_;
  ThreadPool pool_;
  Gemm gemm_;
  RowCut row_cut_;
  Attention attention_;
  CpuBuffer gathered_;                // (kRowTile, hidden_size) rows whose logits are read
  AlignedBytes tiles_;                // (n_threads, kRowTile, widest chunk) float32
  std::vector<ChunkSum> chunk_sums_;  // (max_rows, chunks of the vocabulary)
  std::vector<float> target_logits_;  // (max_rows)
  std::int32_t n_rows_ = 0;
};

}  // namespace tovamill::cpu
