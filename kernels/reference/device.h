// Weights and rows of the reference backend: float64 in the host's memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/device.h"

namespace tovamill::reference {

struct ReferenceMatrix final : Matrix {
  std::int32_t rows = 0, cols = 0;
  std::vector<double> weights;  // (rows, cols)
  std::vector<double> bias;     // (rows), or empty
  std::int32_t n_out() const override { return rows; }
  std::int32_t n_in() const override { return cols; }
  std::uint64_t n_bytes() const override { return weights.size() * sizeof(double); }
};

struct ReferenceBuffer final : Buffer {
  std::int32_t cols = 0;
  std::vector<double> values;  // (n_rows, cols)
  double* row(std::int64_t r) { return values.data() + r * cols; }
  const double* row(std::int64_t r) const { return values.data() + r * cols; }
};

struct ReferenceExperts final : Experts {
  std::vector<std::unique_ptr<Matrix>> gate_up, down;  // one an expert
  std::uint64_t n_bytes() const override;
};

class ReferenceDevice final : public Device {
 public:
  std::string description() const override { return "reference, float64"; }
  std::string dtype_name() const override { return "f64"; }
  int n_threads() const override { return 1; }
  std::int32_t row_tile() const override { return 1; }

  std::unique_ptr<Matrix> pack(const MatrixSource& source) override;
  std::unique_ptr<Matrix> pack_gated(const GatedSource& source) override;
  std::unique_ptr<Experts> pack_experts(std::span<const ExpertTensors> experts) override;
  std::unique_ptr<Buffer> make_buffer(std::int32_t n_rows, std::int32_t n_cols,
                                      BufferType type) override;
  void write_rows(Buffer& buffer, std::int32_t first_row, std::span<const float> rows) override;
  void read_rows(const Buffer& buffer, std::int32_t first_row,
                 std::span<float> rows) const override;
};

}  // namespace tovamill::reference
