// Products of a chunk's shape: one of a whole tile of rows, and of each smaller number of rows that
// gives the same bits.
#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cpu/alignment.h"
#include "kernels/cpu/gemm_impl.h"
#include "kernels/types/format.h"

namespace tovamill::cpu {

namespace {

using dnnl::memory;

memory::data_type data_type(ComputeType type) {
  switch (type) {
    case ComputeType::f32:
      return memory::data_type::f32;
    case ComputeType::bf16:
      return memory::data_type::bf16;
  }
  throw Error(ExitCode::internal, "data_type: a compute type out of range");
}

// Of packed weights: those that oneDNN multiplies as they are kept.
memory::data_type data_type(StorageType type) {
  if (type == StorageType::f32) return memory::data_type::f32;
  if (type == StorageType::bf16) return memory::data_type::bf16;
  throw Error(ExitCode::internal, "oneDNN does not multiply " +
                                      std::string(block_format(type).name) + " as it is kept");
}

memory::dims dims_of(const memory::desc& d) {
#if DNNL_VERSION_MAJOR >= 3
  return d.get_dims();
#else
  return d.dims();
#endif
}

// Fixed numbers in [-1, 1).
class FixedRandom {
 public:
  float operator()() {
    state_ = state_ * 1664525u + 1013904223u;
    return static_cast<float>(static_cast<std::int32_t>(state_)) * 0x1p-31f;
  }

 private:
  std::uint32_t state_ = 1;
};

}  // namespace

// Of x (rows, n_in) and out (rows, n), both dense.
dnnl::matmul::primitive_desc Gemm::Impl::describe(std::int32_t rows, ComputeType type,
                                                  const memory::desc& weights) const {
  const memory::dims dims = dims_of(weights);
  const memory::desc x({rows, dims[0]}, data_type(type), memory::format_tag::ab);
  const memory::desc out({rows, dims[1]}, memory::data_type::f32, memory::format_tag::ab);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
#if DNNL_VERSION_MAJOR >= 3
  return {engine, x, weights, out, attributes};
#else
  return {dnnl::matmul::desc(x, weights, out), attributes, engine};
#endif
}

std::unique_ptr<SizedGemm> Gemm::Impl::make_size(
    const dnnl::matmul::primitive_desc& description) const {
  auto made = std::make_unique<SizedGemm>();
  made->primitive = dnnl::matmul(description);
  for (int t = 0; t < n_threads; ++t) {
    made->x.emplace_back(description.src_desc(), engine, nullptr);
    made->out.emplace_back(description.dst_desc(), engine, nullptr);
    made->scratchpad.emplace_back(description.scratchpad_desc(), engine, nullptr);
  }
  return made;
}

TileGemm& Gemm::Impl::gemm(MatrixType type, std::int32_t n_in, std::int32_t n) {
  const std::tuple key{type.storage, type.compute, n_in, n};
  if (const auto found = by_size.find(key); found != by_size.end()) return found->second;
  return checked("making a product", [&]() -> TileGemm& {
    const dnnl::matmul::primitive_desc whole =
        describe(kRowTile, type.compute,
                 memory::desc({n_in, n}, data_type(type.storage), memory::format_tag::any));
    TileGemm made;
    made.weights = whole.weights_desc();
    made.sizes[kWholeTile] = make_size(whole);
    const std::size_t pad = whole.scratchpad_desc().get_size() + kAlign;
    for (auto& bytes : scratchpads) bytes.resize(std::max(bytes.size(), pad));
    add_smaller_sizes(made, type.compute, whole);
    return by_size.emplace(key, std::move(made)).first->second;
  });
}

// One product of a whole tile, to compare the other sizes with. Its rows are of kDistinct kinds in
// turn, so that each stands in several places of a tile.
struct Gemm::Impl::Trial {
  static constexpr std::size_t kDistinct = 5;
  std::size_t n = 0;  // columns
  memory x, weights;
  std::vector<float> truth;  // (kRowTile, n)
};

Gemm::Impl::Trial Gemm::Impl::make_trial(const TileGemm& gemm,
                                         const dnnl::matmul::primitive_desc& whole) {
  const memory::dims dims = dims_of(gemm.weights);
  const auto n_in = static_cast<std::size_t>(dims[0]), n = static_cast<std::size_t>(dims[1]);
  FixedRandom random;
  std::vector<float> rows(kRowTile * n_in), columns(n_in * n);
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i] = i < Trial::kDistinct * n_in ? random() : rows[i - Trial::kDistinct * n_in];
  std::generate(columns.begin(), columns.end(), random);
  const auto packed = [&](std::vector<float>& values, const memory::desc& layout) {
    memory from({dims_of(layout), memory::data_type::f32, memory::format_tag::ab}, engine,
                values.data()),
        to(layout, engine);
    dnnl::reorder(from, to).execute(streams[0], from, to);
    streams[0].wait();
    return to;
  };
  Trial trial{.n = n,
              .x = packed(rows, whole.src_desc()),
              .weights = packed(columns, gemm.weights),
              .truth = std::vector<float>(kRowTile * n)};
  execute(*gemm.sizes[kWholeTile], trial.weights, trial.x.get_data_handle(), trial.truth.data(), 0);
  return trial;
}

bool Gemm::Impl::gives_same_bits(const SizedGemm& gemm, std::size_t n_rows, const Trial& trial) {
  std::vector<float> out(n_rows * trial.n);
  execute(gemm, trial.weights, trial.x.get_data_handle(), out.data(), 0);
  for (std::size_t r = 0; r < n_rows; ++r) {
    const float* truth = &trial.truth[r % Trial::kDistinct * trial.n];
    if (std::memcmp(&out[r * trial.n], truth, trial.n * sizeof(float)) != 0) return false;
  }
  return true;
}

// A size is used if it reads the whole tile's layout of weights with the same implementation and
// each of its rows has the bits that the whole tile gives. Of AVX-512's blocked kernels all sizes
// do; oneDNN's plain GEMM sums one row in another order than more, and with AVX2 also 2, 8 and 32.
void Gemm::Impl::add_smaller_sizes(TileGemm& gemm, ComputeType type,
                                   const dnnl::matmul::primitive_desc& whole) {
  const Trial trial = make_trial(gemm, whole);
  for (std::size_t size = 0; size < kWholeTile; ++size) {
    try {
      const dnnl::matmul::primitive_desc description =
          describe(kTileRows[size], type, gemm.weights);
      if (std::strcmp(description.impl_info_str(), whole.impl_info_str()) != 0) continue;
      if (description.scratchpad_desc().get_size() > whole.scratchpad_desc().get_size()) continue;
      auto made = make_size(description);
      if (gives_same_bits(*made, static_cast<std::size_t>(kTileRows[size]), trial))
        gemm.sizes[size] = std::move(made);
    } catch (const dnnl::error& e) {
      if (e.status != dnnl_unimplemented) throw;  // a size that oneDNN does not have is not used
    }
  }
}

}  // namespace tovamill::cpu
