#include "kernels/cpu/gemm.h"

#include <omp.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <dnnl.hpp>
#include <map>
#include <new>
#include <tuple>
#include <utility>

#include "kernels/cpu/alignment.h"
#include "kernels/types/error.h"
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
  switch (type) {
    case StorageType::f32:
      return memory::data_type::f32;
    case StorageType::bf16:
      return memory::data_type::bf16;
    case StorageType::f16:
    case StorageType::q8_0:
    case StorageType::q4_0:
    case StorageType::q4_1:
    case StorageType::q5_0:
    case StorageType::q5_1:
    case StorageType::q4_k:
    case StorageType::q5_k:
    case StorageType::q6_k:
      break;
  }
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
  std::vector<memory> x, out, scratchpad;  // one a thread
};

// Products of a chunk's shape, one for each size of tile that is used. All read the same layout of
// weights: what oneDNN asks for with a whole tile of dense rows, which is made for its kernels and
// so needs no repacking in each call.
struct TileGemm {
  memory::desc weights;
  std::array<std::unique_ptr<SizedGemm>, kTileRows.size()> sizes;
  TileSizes usable() const {
    TileSizes set = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) set |= TileSizes{sizes[i] != nullptr} << i;
    return set;
  }
};

// Memory of this process alone.
class OwnWeights final : public WeightStore {
 public:
  std::byte* take(std::size_t n_bytes) override {
    // Large pieces come zeroed from the system, without a pass over them.
    void* p = std::calloc(n_bytes + kAlign, 1);
    if (p == nullptr) {
      throw OutOfMemory("out of memory: " + with_thousands(n_bytes) +
                        " bytes of weights could not be had; use --dtype bf16 or a smaller model");
    }
    pieces_.emplace_back(static_cast<std::byte*>(p));
    return pieces_.back().get() + (kAlign - reinterpret_cast<std::uintptr_t>(p) % kAlign) % kAlign;
  }
  bool is_filled() const override { return false; }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::vector<std::unique_ptr<std::byte, Free>> pieces_;
};

// What stands before a matrix in its store: two processes of a host may have been started with
// other instruction sets allowed to oneDNN, and then they must not read each other's layout.
struct Label {
  static constexpr std::uint64_t kMagic = 0x7874616d6c766f74;  // "tovlmatx"
  std::uint64_t magic = kMagic;
  std::uint64_t layout = 0;  // of whole and narrower chunks
  std::int32_t n_out = 0, n_in = 0, chunk = 0, has_bias = 0;
  bool operator==(const Label&) const = default;
};
static_assert(sizeof(Label) <= kAlign);

// A number for the order of a packed matrix's elements in memory (64-bit FNV-1a of the blocking).
std::uint64_t layout_number(const memory::desc& d, std::uint64_t hash) {
  const auto add = [&](auto value) {
    for (auto rest = static_cast<std::uint64_t>(value), n = std::uint64_t{8}; n > 0; --n) {
      hash = (hash ^ (rest & 255)) * 0x100000001b3u;
      rest >>= 8;
    }
  };
  const auto add_all = [&](const auto* values, auto n) {
    for (decltype(n) i = 0; i < n; ++i) add(values[i]);
  };
  add(d.get_size());
#if DNNL_VERSION_MAJOR >= 3
  add(d.get_format_kind());
  add(d.get_data_type());
  for (const auto& v :
       {d.get_dims(), d.get_padded_dims(), d.get_strides(), d.get_inner_blks(), d.get_inner_idxs()})
    add_all(v.data(), v.size());
#else
  const dnnl_blocking_desc_t& b = d.data.format_desc.blocking;
  add(d.data.format_kind);
  add(d.data.data_type);
  add_all(d.data.dims, d.data.ndims);
  add_all(d.data.padded_dims, d.data.ndims);
  add_all(b.strides, d.data.ndims);
  add_all(b.inner_blks, b.inner_nblks);
  add_all(b.inner_idxs, b.inner_nblks);
  add(d.data.extra.flags);
#endif
  return hash;
}

}  // namespace

struct PackedMatrix::Impl {
  std::int32_t n_out = 0, n_in = 0, chunk = 0;
  float* bias = nullptr;  // (n_out), in the store
  bool is_filled = false;
  std::vector<memory> weights;                 // packed, one a chunk, in the store
  TileGemm *whole = nullptr, *rest = nullptr;  // of full chunks and of the narrower last one
  std::uint64_t bytes = 0;
};

PackedMatrix::PackedMatrix(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PackedMatrix::~PackedMatrix() = default;
std::int32_t PackedMatrix::n_out() const { return impl_->n_out; }
std::int32_t PackedMatrix::n_in() const { return impl_->n_in; }
std::uint64_t PackedMatrix::n_bytes() const { return impl_->bytes; }
std::int32_t PackedMatrix::n_chunks() const {
  return (impl_->n_out + impl_->chunk - 1) / impl_->chunk;
}
std::int32_t PackedMatrix::chunk_begin(std::int32_t c) const { return c * impl_->chunk; }
std::int32_t PackedMatrix::chunk_cols(std::int32_t c) const {
  return std::min(impl_->chunk, impl_->n_out - c * impl_->chunk);
}
const float* PackedMatrix::bias() const { return impl_->bias; }
bool PackedMatrix::is_filled() const { return impl_->is_filled; }
TileSizes PackedMatrix::tile_sizes() const {
  return impl_->whole->usable() & impl_->rest->usable();
}

struct Gemm::Impl {
  int n_threads;
  OwnWeights own;
  WeightStore* store = nullptr;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  std::vector<dnnl::stream> streams;  // one a thread
  std::map<std::tuple<StorageType, ComputeType, std::int32_t, std::int32_t>, TileGemm>
      by_size;                                      // by (storage, compute, n_in, n)
  std::vector<std::vector<std::byte>> scratchpads;  // one a thread, shared by all products

  TileGemm& gemm(MatrixType type, std::int32_t n_in, std::int32_t n);
  dnnl::matmul::primitive_desc describe(std::int32_t rows, ComputeType type,
                                        const memory::desc& weights) const;
  std::unique_ptr<SizedGemm> make_size(const dnnl::matmul::primitive_desc& description) const;
  struct Trial;
  Trial make_trial(const TileGemm& gemm, const dnnl::matmul::primitive_desc& whole);
  bool gives_same_bits(const SizedGemm& gemm, std::size_t n_rows, const Trial& trial);
  void add_smaller_sizes(TileGemm& gemm, ComputeType type,
                         const dnnl::matmul::primitive_desc& whole);
  void execute(const SizedGemm& gemm, const memory& weights, const void* x, float* out, int thread);
  void place(PackedMatrix::Impl& m, bool has_bias);
};

void use_one_thread() { omp_set_num_threads(1); }

Gemm::Gemm(int n_threads, WeightStore* store) : impl_(std::make_unique<Impl>()) {
  impl_->store = store != nullptr ? store : &impl_->own;
  impl_->n_threads = n_threads;
  for (int t = 0; t < n_threads; ++t) impl_->streams.emplace_back(impl_->engine);
  impl_->scratchpads.resize(static_cast<std::size_t>(n_threads));
}

Gemm::~Gemm() = default;

// Up to 512 columns keep the chunk and a tile of rows in a core's own cache; an even number of
// chunks shares well. Matrices of few columns are cut narrower, so that eight threads have work
// when the rows are few (576 columns: 6 chunks of 96, 960: 8, 3072: 8 of 384): measured with
// AVX-512, 576 columns in chunks of 96 take 1 % longer than in chunks of 288 with 16 rows or more.
std::int32_t Gemm::chunk_columns(std::int32_t n_out) {
  constexpr std::int32_t kMost = 512, kLeast = 96, kAlign = 16, kEnoughChunks = 8;
  if (n_out < 2 * kLeast) return n_out;
  std::int32_t n_chunks = (n_out + kMost - 1) / kMost;
  n_chunks += n_chunks % 2;
  while (n_chunks < kEnoughChunks && n_out >= (n_chunks + 2) * kLeast) n_chunks += 2;
  const std::int32_t even = (n_out + n_chunks - 1) / n_chunks;
  return std::min(kMost, (even + kAlign - 1) / kAlign * kAlign);
}

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

// One piece of the store: label, chunks, bias, each at a multiple of kAlign.
void Gemm::Impl::place(PackedMatrix::Impl& m, bool has_bias) {
  const auto gemm_of = [&](std::int32_t begin) {
    return m.n_out - begin >= m.chunk || m.n_out < m.chunk ? m.whole : m.rest;
  };
  std::size_t total = kAlign + (has_bias ? align_up(static_cast<std::size_t>(m.n_out) * 4) : 0);
  for (std::int32_t begin = 0; begin < m.n_out; begin += m.chunk)
    total += align_up(gemm_of(begin)->weights.get_size());

  std::byte* at = store->take(total);
  m.is_filled = store->is_filled();
  const Label label{
      .layout = layout_number(m.rest->weights, layout_number(m.whole->weights, Label::kMagic)),
      .n_out = m.n_out,
      .n_in = m.n_in,
      .chunk = m.chunk,
      .has_bias = has_bias};
  if (!m.is_filled) {
    new (at) Label(label);
  } else if (!(*reinterpret_cast<const Label*>(at) == label)) {
    throw Error(ExitCode::internal,
                "shared weights: a matrix of " + std::to_string(m.n_out) + " x " +
                    std::to_string(m.n_in) +
                    " is packed in another way than here: let each process pack its own");
  }
  at += kAlign;
  for (std::int32_t begin = 0; begin < m.n_out; begin += m.chunk) {
    const memory::desc& layout = gemm_of(begin)->weights;
    m.weights.push_back(checked("placing weights", [&] { return memory(layout, engine, at); }));
    m.bytes += layout.get_size();
    at += align_up(layout.get_size());
  }
  if (has_bias) m.bias = reinterpret_cast<float*>(at);
}

std::unique_ptr<PackedMatrix> Gemm::make(const PackedShape& shape) {
  use_one_thread();
  auto m = std::make_unique<PackedMatrix::Impl>();
  const std::int32_t n_out = m->n_out = shape.n_out, chunk = m->chunk = shape.chunk;
  m->n_in = shape.n_in;
  const auto gemm = [&](std::int32_t n) { return &impl_->gemm(shape.type, shape.n_in, n); };
  m->whole = gemm(std::min(chunk, n_out));
  m->rest = n_out % chunk == 0 || n_out < chunk ? m->whole : gemm(n_out % chunk);
  impl_->place(*m, shape.has_bias);
  return std::make_unique<PackedMatrix>(std::move(m));
}

void Gemm::fill(PackedMatrix& matrix, std::int32_t chunk, const float* rows) const {
  checked("packing weights", [&] {
    PackedMatrix::Impl& m = matrix.impl();
    // The file's rows are output features: the (n_in, n) operand of the product with its dimensions
    // swapped.
    const memory::desc source({m.n_in, matrix.chunk_cols(chunk)}, memory::data_type::f32,
                              memory::format_tag::ba);
    memory from(source, impl_->engine, const_cast<float*>(rows));
    memory& to = m.weights[static_cast<std::size_t>(chunk)];
    dnnl::stream stream(impl_->engine);
    dnnl::reorder(from, to).execute(stream, from, to);
    stream.wait();
    return 0;
  });
}

void Gemm::set_bias(PackedMatrix& matrix, const std::vector<float>& bias) {
  std::copy(bias.begin(), bias.end(), matrix.impl().bias);
}

void Gemm::multiply(const PackedMatrix& matrix, std::int32_t chunk, std::size_t size, const void* x,
                    float* out, int thread) {
  const PackedMatrix::Impl& m = matrix.impl();
  const bool is_whole = matrix.chunk_cols(chunk) == matrix.chunk_cols(0);
  impl_->execute(*(is_whole ? m.whole : m.rest)->sizes[size],
                 m.weights[static_cast<std::size_t>(chunk)], x, out, thread);
}

void Gemm::Impl::execute(const SizedGemm& gemm, const memory& weights, const void* x, float* out,
                         int thread) {
  const auto t = static_cast<std::size_t>(thread);
  dnnl_memory_t x_memory = gemm.x[t].get(), out_memory = gemm.out[t].get(),
                pad = gemm.scratchpad[t].get();
  std::byte* scratch = scratchpads[t].data();
  scratch += (kAlign - reinterpret_cast<std::uintptr_t>(scratch) % kAlign) % kAlign;
  dnnl_memory_set_data_handle(x_memory, const_cast<void*>(x));
  dnnl_memory_set_data_handle(out_memory, out);
  dnnl_memory_set_data_handle(pad, scratch);
  const std::array<dnnl_exec_arg_t, 4> arguments{{{DNNL_ARG_SRC, x_memory},
                                                  {DNNL_ARG_WEIGHTS, weights.get()},
                                                  {DNNL_ARG_DST, out_memory},
                                                  {DNNL_ARG_SCRATCHPAD, pad}}};
  const dnnl_status_t status = dnnl_primitive_execute(
      gemm.primitive.get(), streams[t].get(), static_cast<int>(arguments.size()), arguments.data());
  if (status != dnnl_success) {
    throw Error(ExitCode::internal,
                "oneDNN: a matrix product failed with status " + std::to_string(status));
  }
}

std::uint64_t Gemm::scratch_bytes() const {
  std::uint64_t sum = 0;
  for (const auto& s : impl_->scratchpads) sum += s.size();
  return sum;
}

void Gemm::check(ComputeType type) {
  try {
    Gemm(1).make({.n_out = 32, .n_in = 32, .chunk = 32, .type = expanded_to(type)});
  } catch (const Error&) {
    const std::string name(name_of(type));
    throw Error(ExitCode::configuration, "--dtype " + name + ": oneDNN cannot multiply " + name +
                                             " on this CPU; use --dtype f32");
  }
}

}  // namespace tovamill::cpu
