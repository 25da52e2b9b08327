// Products whose rows do not depend on the rows beside them (design 3.6): what cuBLAS has chosen
// for a shape of the model is tried at the start with many numbers of rows. Where a row's bits
// change with it, rows of that shape are multiplied so many at a time always, padded by zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <tuple>

#include "kernels/cuda/arena.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/runtime.h"

namespace tovamill::cuda {

// A product that steps make: of at most max_rows rows.
struct ProductShape {
  std::int32_t n_out = 0, n_in = 0, max_rows = 0;
  ElementType out_type = ElementType::f32;
  bool adds = false;
};

class RowProducts {
 public:
  // Tries `shapes` in memory of `arena`, which it gives back; where there is not enough of it, rows
  // are padded.
  RowProducts(ElementType type, std::int32_t max_rows, std::span<const ProductShape> shapes,
              Arena& arena);

  // Products that may be under way at once have a workspace each.
  ArenaPiece make_workspace(Arena& arena) const;
  // As Products::multiply.
  void multiply(const Operand& w, const void* x, std::int32_t n_rows, RowKind kind, void* out,
                ElementType out_type, bool adds, const ArenaPiece& workspace, const Stream& stream);
  // Shapes whose rows are padded.
  std::size_t n_padded() const { return padded_.size(); }

 private:
  using Key = std::tuple<std::int32_t, std::int32_t, RowKind, ElementType, bool>;
  bool is_independent(const ProductShape& shape, RowKind kind, Arena& arena);
  void multiply_padded(const Operand& w, const std::byte* x, std::int32_t n_rows, RowKind kind,
                       std::byte* out, ElementType out_type, bool adds, const ArenaPiece& workspace,
                       const Stream& stream);

  ElementType type_;
  Products products_;
  std::set<Key> padded_;
  std::size_t pad_bytes_ = 0;  // of a workspace, behind what cuBLAS takes
};

}  // namespace tovamill::cuda
