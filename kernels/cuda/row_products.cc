#include "kernels/cuda/row_products.h"

#include <algorithm>
#include <vector>

#include "kernels/cuda/elementwise.h"
#include "kernels/error.h"

namespace tovamill::cuda {
namespace {

// Algorithms that are tried: later ones are hardly faster than padding.
constexpr int kMostTried = 6;

// Rows that are padded to: few enough to be cheap in decoding, and a tile of the GPU's otherwise.
std::int32_t padded_rows(RowKind kind) { return kind == RowKind::single ? 64 : 256; }

// Numbers of rows around the tiles that products are made of.
std::vector<std::int32_t> tried_rows(std::int32_t most) {
  std::vector<std::int32_t> tried;
  for (const std::int32_t n : {1, 2, 7, 8, 16, 17, 32, 33, 64, 65, 128, 129, 256, 257, 1024}) {
    if (n < most) tried.push_back(n);
  }
  if (most > 2) tried.push_back(most - 1);
  return tried;
}

std::size_t bytes_of(std::int64_t n, ElementType type) {
  return static_cast<std::size_t>(n) * element_bytes(type);
}

}  // namespace

RowProducts::RowProducts(ElementType type, std::span<const ProductShape> shapes, Arena& arena)
    : type_(type), products_(type) {
  if (!Products::may_depend_on_rows()) return;
  for (const ProductShape& s : shapes) {
    for (const RowKind kind : {RowKind::many, RowKind::single}) {
      const Product product{s.n_out, s.n_in, kind, s.out_type, s.adds};
      if (find_independent(s, product, arena)) continue;
      const std::int64_t rows = padded_rows(kind);
      products_.choose(product, padded_rows(kind), 0);
      padded_.insert(product);
      pad_bytes_ = std::max(pad_bytes_, bytes_of(rows * s.n_in, type) + Arena::kAlign +
                                            bytes_of(rows * s.n_out, s.out_type));
    }
  }
}

bool RowProducts::find_independent(const ProductShape& s, const Product& product, Arena& arena) {
  for (int i = 0; i < kMostTried; ++i) {
    if (!products_.choose(product, Products::usual_rows(product.kind), i)) return false;
    try {
      if (is_independent(s, product.kind, arena)) return true;
    } catch (const OutOfMemory&) {
      return false;
    } catch (const ProductRefused&) {  // it is for other numbers of rows
    }
  }
  return false;
}

ArenaPiece RowProducts::make_workspace(Arena& arena) const {
  return arena.take(Products::kWorkspaceBytes + pad_bytes_, "the workspace of products");
}

// Multiplies all rows, then the last few of them alone: the same numbers must come out.
bool RowProducts::is_independent(const ProductShape& s, RowKind kind, Arena& arena) {
  constexpr const char* kWhat = "trying products";
  const std::int64_t rows = s.tried_rows;
  const std::size_t out_bytes = bytes_of(rows * s.n_out, s.out_type);
  const ArenaPiece w = arena.take(bytes_of(std::int64_t{s.n_out} * s.n_in, type_), kWhat),
                   x = arena.take(bytes_of(rows * s.n_in, type_), kWhat),
                   all = arena.take(out_bytes, kWhat), some = arena.take(out_bytes, kWhat),
                   differs = arena.take(sizeof(std::uint32_t), kWhat),
                   workspace = arena.take(Products::kWorkspaceBytes, kWhat);
  const Stream stream;
  fill_random(w.data(), std::int64_t{s.n_out} * s.n_in, type_ == ElementType::bf16, 1, stream);
  fill_random(x.data(), rows * s.n_in, type_ == ElementType::bf16, 2, stream);
  TOVAMILL_CUDA(cudaMemsetAsync(differs.data(), 0, sizeof(std::uint32_t), stream.get()));
  const auto multiply = [&](std::int64_t n, const ArenaPiece& out) {
    TOVAMILL_CUDA(cudaMemsetAsync(out.data(), 0, out_bytes, stream.get()));
    products_.multiply(
        {w.data(), s.n_out, s.n_in},
        static_cast<const std::byte*>(x.data()) + bytes_of((rows - n) * s.n_in, type_),
        static_cast<std::int32_t>(n), kind, out.data(), s.out_type, s.adds, workspace.data(),
        stream);
  };
  multiply(rows, all);
  for (const std::int32_t n : tried_rows(s.tried_rows)) {
    multiply(n, some);
    find_difference(
        static_cast<const std::byte*>(all.data()) + bytes_of((rows - n) * s.n_out, s.out_type),
        some.data(), bytes_of(std::int64_t{n} * s.n_out, s.out_type),
        static_cast<std::uint32_t*>(differs.data()), stream);
  }
  std::uint32_t found = 0;
  TOVAMILL_CUDA(
      cudaMemcpyAsync(&found, differs.data(), sizeof found, cudaMemcpyDeviceToHost, stream.get()));
  stream.synchronize();
  return found == 0;
}

void RowProducts::multiply(const Operand& w, const void* x, std::int32_t n_rows, RowKind kind,
                           void* out, ElementType out_type, bool adds, const ArenaPiece& workspace,
                           const Stream& stream) {
  if (!padded_.contains({w.n_out, w.n_in, kind, out_type, adds}))
    return products_.multiply(w, x, n_rows, kind, out, out_type, adds, workspace.data(), stream);
  const std::int32_t each = padded_rows(kind);
  for (std::int32_t first = 0; first < n_rows; first += each)
    multiply_padded(
        w, static_cast<const std::byte*>(x) + bytes_of(std::int64_t{first} * w.n_in, type_),
        std::min(each, n_rows - first), kind,
        static_cast<std::byte*>(out) + bytes_of(std::int64_t{first} * w.n_out, out_type), out_type,
        adds, workspace, stream);
}

// At most padded_rows, as exactly so many.
void RowProducts::multiply_padded(const Operand& w, const std::byte* x, std::int32_t n_rows,
                                  RowKind kind, std::byte* out, ElementType out_type, bool adds,
                                  const ArenaPiece& workspace, const Stream& stream) {
  const std::int32_t rows = padded_rows(kind);
  if (n_rows == rows)
    return products_.multiply(w, x, rows, kind, out, out_type, adds, workspace.data(), stream);
  const std::size_t x_bytes = bytes_of(std::int64_t{rows} * w.n_in, type_),
                    x_used = bytes_of(std::int64_t{n_rows} * w.n_in, type_),
                    out_used = bytes_of(std::int64_t{n_rows} * w.n_out, out_type);
  auto* pad_x = static_cast<std::byte*>(workspace.data()) + Products::kWorkspaceBytes;
  std::byte* pad_out = pad_x + (x_bytes + Arena::kAlign - 1) / Arena::kAlign * Arena::kAlign;
  const auto copy = [&](void* to, const void* from, std::size_t n) {
    TOVAMILL_CUDA(cudaMemcpyAsync(to, from, n, cudaMemcpyDeviceToDevice, stream.get()));
  };
  copy(pad_x, x, x_used);
  TOVAMILL_CUDA(cudaMemsetAsync(pad_x + x_used, 0, x_bytes - x_used, stream.get()));
  if (adds) copy(pad_out, out, out_used);
  products_.multiply(w, pad_x, rows, kind, pad_out, out_type, adds, workspace.data(), stream);
  copy(out, pad_out, out_used);
}

}  // namespace tovamill::cuda
