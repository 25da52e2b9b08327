// What Gemm (gemm.h) and PackedMatrix hold of oneDNN.
#pragma once

#include <array>
#include <cstdlib>
#include <dnnl.hpp>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/cpu/gemm.h"
#include "kernels/types/error.h"

namespace tovamill::cpu {

// Every oneDNN failure carries the call and oneDNN's own text.
template <class Call>
decltype(auto) checked(const char* what, Call call) {
  try {
    return call();
  } catch (const dnnl::error& e) {
    if (e.status == dnnl_out_of_memory)
      throw OutOfMemory(std::string("oneDNN: ") + what + ": " + e.what());
    throw Error(ExitCode::internal, std::string("oneDNN: ") + what + ": " + e.what());
  }
}

// A product of a fixed number of rows with a memory object for each thread whose data pointer is
// set before each call.
struct SizedGemm {
  dnnl::matmul primitive;
  std::vector<dnnl::memory> x, out, scratchpad;  // one a thread
};

// Products of a chunk's shape, one for each size of tile that is used. All read the same layout of
// weights: what oneDNN asks for with a whole tile of dense rows, which is made for its kernels and
// so needs no repacking in each call.
struct TileGemm {
  dnnl::memory::desc weights;
  std::array<std::unique_ptr<SizedGemm>, kTileRows.size()> sizes;
  TileSizes usable() const {
    TileSizes set = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) set |= TileSizes{sizes[i] != nullptr} << i;
    return set;
  }
};

struct PackedMatrix::Impl {
  std::int32_t n_out = 0, n_in = 0, chunk = 0;
  float* bias = nullptr;  // (n_out), in the store
  bool is_filled = false;
  std::vector<dnnl::memory> weights;           // packed, one a chunk, in the store
  TileGemm *whole = nullptr, *rest = nullptr;  // of full chunks and of the narrower last one
  std::uint64_t bytes = 0;
};

// Memory of this process alone.
class OwnWeights final : public WeightStore {
 public:
  std::byte* take(std::size_t n_bytes) override;
  bool is_filled() const override { return false; }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::vector<std::unique_ptr<std::byte, Free>> pieces_;
};

struct Gemm::Impl {
  int n_threads;
  OwnWeights own;
  WeightStore* store = nullptr;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  std::vector<dnnl::stream> streams;  // one a thread
  std::map<std::tuple<StorageType, ComputeType, std::int32_t, std::int32_t>, TileGemm>
      by_size;                                      // by (storage, compute, n_in, n)
  std::vector<std::vector<std::byte>> scratchpads;  // one a thread, shared by all products

  void execute(const SizedGemm& gemm, const dnnl::memory& weights, const void* x, float* out,
               int thread);

  // gemm_tile_sizes.cc
  TileGemm& gemm(MatrixType type, std::int32_t n_in, std::int32_t n);
  dnnl::matmul::primitive_desc describe(std::int32_t rows, ComputeType type,
                                        const dnnl::memory::desc& weights) const;
  std::unique_ptr<SizedGemm> make_size(const dnnl::matmul::primitive_desc& description) const;
  struct Trial;
  Trial make_trial(const TileGemm& gemm, const dnnl::matmul::primitive_desc& whole);
  bool gives_same_bits(const SizedGemm& gemm, std::size_t n_rows, const Trial& trial);
  void add_smaller_sizes(TileGemm& gemm, ComputeType type,
                         const dnnl::matmul::primitive_desc& whole);

  // packed_weights.cc
  void place(PackedMatrix::Impl& m, bool has_bias);
};

}  // namespace tovamill::cpu
