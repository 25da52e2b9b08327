#include "kernels/cpu/gemm.h"

#include <omp.h>

#include <algorithm>
#include <utility>

#include "kernels/cpu/alignment.h"
#include "kernels/cpu/gemm_impl.h"

namespace tovamill::cpu {

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
  constexpr std::int32_t kMost = kWidestChunk, kLeast = 96, kAlign = 16, kEnoughChunks = 8;
  if (n_out < 2 * kLeast) return n_out;
  std::int32_t n_chunks = (n_out + kMost - 1) / kMost;
  n_chunks += n_chunks % 2;
  while (n_chunks < kEnoughChunks && n_out >= (n_chunks + 2) * kLeast) n_chunks += 2;
  const std::int32_t even = (n_out + n_chunks - 1) / n_chunks;
  return std::min(kMost, (even + kAlign - 1) / kAlign * kAlign);
}

void Gemm::multiply(const PackedMatrix& matrix, std::int32_t chunk, std::size_t size, const void* x,
                    float* out, int thread) {
  const PackedMatrix::Impl& m = matrix.impl();
  const bool is_whole = matrix.chunk_cols(chunk) == matrix.chunk_cols(0);
  impl_->execute(*(is_whole ? m.whole : m.rest)->sizes[size],
                 m.weights[static_cast<std::size_t>(chunk)], x, out, thread);
}

void Gemm::Impl::execute(const SizedGemm& gemm, const dnnl::memory& weights, const void* x,
                         float* out, int thread) {
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
