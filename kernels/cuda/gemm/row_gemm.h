// GEMMs whose rows do not depend on the rows beside them
// (kernels/README.md, "Reproducibility"): the best algorithms of
// cuBLAS for a shape of the model are tried at the start with many numbers of rows, and the first
// is taken of which no row's bits change with it, and for other sizes of a step the best that gives
// the same bits, which most do: the tiles differ, not the order of a sum. Where there is none, rows
// of that shape are multiplied so many at a time always, padded by zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>

#include "kernels/cuda/device/arena.h"
#include "kernels/cuda/device/runtime.h"
#include "kernels/cuda/gemm/gemm.h"

namespace tovamill::cuda {

// A GEMM of each step, tried with up to so many rows: the same for all sizes of a step.
struct GemmShape {
  std::int32_t n_out = 0, n_in = 0, tried_rows = Gemm::usual_rows(RowKind::prefill);
  ComputeType out_type = ComputeType::f32;
  bool adds = false;
};

class RowGemm {
 public:
  // Tries `shapes` in memory of `arena`, which it gives back; where there is not enough of it, rows
  // are padded.
  RowGemm(ComputeType type, std::span<const GemmShape> shapes, Arena& arena);

  // GEMMs that may be in flight at once have a workspace each.
  ArenaBlock make_workspace(Arena& arena) const;
  // As Gemm::multiply.
  void multiply(const Operand& w, const void* x, std::int32_t n_rows, RowKind kind, void* out,
                ComputeType out_type, bool adds, const ArenaBlock& workspace, const Stream& stream);
  // Shapes whose rows are padded.
  std::size_t n_padded() const { return padded_.size(); }

 private:
  class Trial;
  bool find_independent(const GemmShape& shape, const GemmProblem& problem, Arena& arena);
  void choose_sizes(const GemmShape& shape, const GemmProblem& problem, Trial& trial);
  void multiply_padded(const Operand& w, const std::byte* x, std::int32_t n_rows, RowKind kind,
                       std::byte* out, ComputeType out_type, bool adds, const ArenaBlock& workspace,
                       const Stream& stream);

  ComputeType type_;
  Gemm gemm_;
  std::set<GemmProblem> padded_;
  std::size_t pad_bytes_ = 0;  // at the end of a workspace, behind what cuBLAS takes
};

}  // namespace tovamill::cuda
