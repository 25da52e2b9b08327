// Weights as Gemm multiplies them: their place in a store, and how they are packed there.
#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

#include "kernels/cpu/alignment.h"
#include "kernels/cpu/gemm_impl.h"
#include "kernels/types/format.h"

namespace tovamill::cpu {

namespace {

using dnnl::memory;

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

std::byte* OwnWeights::take(std::size_t n_bytes) {
  // Large pieces come zeroed from the system, without a pass over them.
  void* p = std::calloc(n_bytes + kAlign, 1);
  if (p == nullptr) {
    throw OutOfMemory("out of memory: " + with_thousands(n_bytes) +
                      " bytes of weights could not be had; use --dtype bf16 or a smaller model");
  }
  pieces_.emplace_back(static_cast<std::byte*>(p));
  return pieces_.back().get() + (kAlign - reinterpret_cast<std::uintptr_t>(p) % kAlign) % kAlign;
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

}  // namespace tovamill::cpu
