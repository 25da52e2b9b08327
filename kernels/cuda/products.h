// Dense products by cuBLASLt: out = x W^T of the rows of a step, float32 sums. The only file pair
// that includes cuBLAS.
//
// A row's result must not depend on the rows beside it (design 3.6), yet the fastest kernel for a
// few rows is not the one for thousands, and may sum in another order. So rows come in two kinds,
// each with one algorithm for a matrix, chosen once: those of long blocks and those of blocks of
// one token. Which kind a row is of depends on its own block only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/cuda/arena.h"
#include "kernels/cuda/runtime.h"

namespace tovamill::cuda {

enum class ElementType : std::uint8_t { f32, bf16 };
inline std::size_t element_bytes(ElementType t) { return t == ElementType::bf16 ? 2 : 4; }

enum class RowKind : std::uint8_t { many, single };

// (n_out, n_in), row-major.
struct Operand {
  const void* data = nullptr;
  std::int32_t n_out = 0, n_in = 0;
};

class Products {
 public:
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

  // `type` of x and W. For at most `max_rows` rows at a time.
  Products(ElementType type, std::int32_t max_rows);
  ~Products();
  // Whether that a row does not depend on those beside it is for RowProducts to try.
  static bool may_depend_on_rows();

  // out (n_rows, w.n_out) of `out_type` = x (n_rows, w.n_in) W^T, added to what is there where
  // `adds`. 2 n_rows n_in n_out operations; W is read once, x and out for each tile of the others.
  // Products that may be under way at once have a workspace of kWorkspaceBytes each.
  void multiply(const Operand& w, const void* x, std::int32_t n_rows, RowKind kind, void* out,
                ElementType out_type, bool adds, void* workspace, const Stream& stream);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tovamill::cuda
