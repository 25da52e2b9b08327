// Matrix products by oneDNN in tiles: one of a few fixed numbers of rows (row_tiles.h) by a chunk
// of output columns, one thread each. A row's result depends on itself and the weights only, never
// on the other rows of the step, the number of rows of its tile or the number of threads
// (kernels/README.md, "Reproducibility"): oneDNN may sum in another order for other numbers of
// rows, so each number of rows is tried once beside the whole tile and used only if it gives the
// same bits. gemm_impl.h and cpu_rate.cc alone include oneDNN.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/row_tiles.h"
#include "kernels/types/compute_type.h"
#include "kernels/weight_store.h"

namespace tovamill::cpu {

// Output columns of a chunk, at most.
inline constexpr std::int32_t kWidestChunk = 512;

// What a matrix is packed for.
struct PackedShape {
  std::int32_t n_out = 0, n_in = 0;
  std::int32_t chunk = 0;  // output columns of a chunk, see Gemm::chunk_columns
  bool has_bias = false;
  MatrixType type;
};

// A matrix as chunks of packed output columns. Its memory is the weight store's.
class PackedMatrix final : public Matrix {
 public:
  struct Impl;
  explicit PackedMatrix(std::unique_ptr<Impl> impl);
  ~PackedMatrix() override;
  std::int32_t n_out() const override;
  std::int32_t n_in() const override;
  std::uint64_t n_bytes() const override;
  std::int32_t n_chunks() const;
  std::int32_t chunk_begin(std::int32_t chunk) const;  // first output column
  std::int32_t chunk_cols(std::int32_t chunk) const;
  const float* bias() const;  // (n_out) or nullptr
  bool is_filled() const;     // by another process: not to be written
  // Of the tiles that `multiply` takes: those that gave the bits of the whole tile.
  TileSizes tile_sizes() const;
  Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

class Gemm {
 public:
  // Matrices take their memory from `store`, which must outlive them; null is memory of its own.
  explicit Gemm(int n_threads, WeightStore* store = nullptr);
  ~Gemm();

  // Output columns of a chunk, at most; the last chunk of a matrix may have fewer.
  static std::int32_t chunk_columns(std::int32_t n_out);

  // A matrix to be filled chunk by chunk, or one that the store holds already: then a matrix of
  // another shape or layout in its place throws Error(internal), as does a storage type that is not
  // packed as it is.
  std::unique_ptr<PackedMatrix> make(const PackedShape& shape);
  // Packs `rows` (chunk_cols, n_in) float32 into one chunk; different chunks may be filled at the
  // same time.
  void fill(PackedMatrix& matrix, std::int32_t chunk, const float* rows) const;
  static void set_bias(PackedMatrix& matrix, const std::vector<float>& bias);  // (n_out)

  // out = x W_chunk^T for the kTileRows[size] rows of a tile, without the bias; `size` is one of
  // the matrix's. x (rows, n_in) in the matrix's compute type, out (rows, chunk_cols) float32.
  void multiply(const PackedMatrix& matrix, std::int32_t chunk, std::size_t size, const void* x,
                float* out, int thread);

  std::uint64_t scratch_bytes() const;
  // Throws Error(configuration) where the CPU cannot multiply `type`.
  static void check(ComputeType type);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// To be called on each thread that calls `multiply`: a tile is one thread's work.
void use_one_thread();

}  // namespace tovamill::cpu
