// GEMM by cuBLASLt: out = x W^T of the rows of a step, float32 sums.
//
// A row's result must not depend on the rows beside it
// (kernels/README.md, "Reproducibility"), yet the fastest kernel for a
// few rows is not the one for thousands, and may sum in another order. So rows come in two kinds,
// each with one order of sums for a matrix, chosen once: those of long blocks and those of blocks
// of one token. Which kind a row is of depends on its own block only. Other numbers of rows have
// algorithms of their own where these give the same bits.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/cuda/device/arena.h"
#include "kernels/cuda/device/runtime.h"
#include "kernels/types/compute_type.h"
#include "kernels/types/error.h"

namespace tovamill::cuda {

// Rows of blocks of several tokens, and of one.
enum class RowKind : std::uint8_t { prefill, decode };

// GEMMs that have one algorithm: x (n_rows, n_in) by a matrix (n_out, n_in).
struct GemmProblem {
  std::int32_t n_out = 0, n_in = 0;
  RowKind kind = RowKind::prefill;
  ComputeType out_type = ComputeType::f32;
  bool adds = false;
  std::int32_t size = 0;  // size_of the steps' rows; 0: all sizes without an algorithm of their own
  auto operator<=>(const GemmProblem&) const = default;
};

// cuBLAS does not multiply so many rows by the algorithm that was chosen.
class GemmRefused : public Error {
 public:
  explicit GemmRefused(const std::string& why) : Error(ExitCode::internal, why) {}
};

// A weight matrix (n_out, n_in), row-major.
struct Operand {
  const void* data = nullptr;
  std::int32_t n_out = 0, n_in = 0;
};

class Gemm {
 public:
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

  // Rows of a full step, whatever the memory holds: an algorithm that was chosen for other rows
  // might sum in another order.
  static constexpr std::int32_t usual_rows(RowKind kind) {
    return kind == RowKind::prefill ? 4096 : 64;
  }
  // Numbers of rows up to which an algorithm of its own may serve, the last one beyond, too.
  static constexpr std::array<std::int32_t, 4> kSizes{64, 256, 1024, 4096};
  static std::int32_t size_of(std::int32_t n_rows);  // 1 to kSizes.size()

  // `type` of x and W.
  explicit Gemm(ComputeType type);
  ~Gemm();
  // Whether that a row does not depend on those beside it is for RowGemm to try.
  static bool may_depend_on_rows();

  // The algorithm of such GEMMs from now on is the `i`-th best of those that sum each number in
  // one pass, as cuBLAS reckons for `n_rows` rows; false where there are not so many. Without it
  // the best for the usual rows is taken.
  bool choose(const GemmProblem& problem, std::int32_t n_rows, int i);
  // Without an algorithm again.
  void forget(const GemmProblem& problem);

  // out (n_rows, w.n_out) of `out_type` = x (n_rows, w.n_in) W^T, added to what is there where
  // `adds`. 2 n_rows n_in n_out operations; W is read once, x and out for each tile of the others.
  // GEMMs that may be in flight at once have a workspace of kWorkspaceBytes each. Throws
  // GemmRefused.
  void multiply(const Operand& w, const void* x, std::int32_t n_rows, RowKind kind, void* out,
                ComputeType out_type, bool adds, void* workspace, const Stream& stream);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tovamill::cuda
