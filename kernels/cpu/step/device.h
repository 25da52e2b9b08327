// The cores of a CPU and their memory: threads, weights packed for oneDNN, rows in whole tiles.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/cpu/alignment.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/state.h"
#include "kernels/cpu/thread_pool.h"

namespace tovamill::cpu {

struct CpuBuffer final : Buffer {
  CpuBuffer(std::int32_t n_rows, std::int32_t n_cols, ComputeType type);
  ComputeType type;  // of the elements
  std::int32_t cols;
  std::size_t row_bytes;
  AlignedBytes bytes;  // rows in whole tiles
  std::byte* row(std::int64_t r) const {
    return bytes.data() + r * static_cast<std::int64_t>(row_bytes);
  }
  float* f32(std::int64_t r) const { return reinterpret_cast<float*>(row(r)); }
  std::uint16_t* bf16(std::int64_t r) const { return reinterpret_cast<std::uint16_t*>(row(r)); }
};

class CpuDevice final : public Device {
 public:
  CpuDevice(const BackendOptions& options, const IsaKernels& isa);

  std::string description() const override;
  std::string dtype_name() const override { return std::string(name_of(type_)); }
  int n_threads() const override { return pool_.size(); }
  std::int32_t row_tile() const override { return kRowTile; }

  std::unique_ptr<Matrix> pack(const MatrixSource& source) override;
  std::unique_ptr<Matrix> pack_gated(const GatedSource& source) override;
  std::unique_ptr<Experts> pack_experts(std::span<const ExpertTensors> experts) override;
  std::unique_ptr<Buffer> make_buffer(std::int32_t n_rows, std::int32_t n_cols,
                                      BufferType type) override;
  void write_rows(Buffer& buffer, std::int32_t first_row, std::span<const float> rows) override;
  void read_rows(const Buffer& buffer, std::int32_t first_row,
                 std::span<float> rows) const override;

  ThreadPool& pool() { return pool_; }
  Gemm& gemm() { return gemm_; }

 private:
  using RowSource = void (*)(const void* context, std::int64_t row, float* out);
  std::unique_ptr<PackedMatrix> pack_rows(const PackedShape& shape, RowSource source,
                                          const void* context);
  ComputeType type_;
  const IsaKernels& isa_;
  ThreadPool pool_;
  Gemm gemm_;
};

}  // namespace tovamill::cpu
