#include "kernels/cuda/gemm/row_gemm.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/cuda/gemm/elementwise.h"
#include "kernels/types/error.h"

namespace tovamill::cuda {
namespace {

// Algorithms that are tried: later ones are hardly faster than padding.
constexpr int kMaxTried = 6;

// Rows that are padded to: few enough to be cheap in decoding, and a tile of the GPU's otherwise.
std::int32_t padded_rows(RowKind kind) { return kind == RowKind::decode ? 64 : 256; }

// Numbers of rows from `least` to `most`, around the tiles that GEMMs are made of.
std::vector<std::int32_t> tried_rows(std::int32_t least, std::int32_t most) {
  std::vector<std::int32_t> tried;
  for (const std::int32_t n :
       {1, 2, 7, 8, 16, 17, 32, 33, 64, 65, 128, 129, 192, 256, 257, 600, 1024, 1025, 2500}) {
    if (n >= least && n < most) tried.push_back(n);
  }
  if (most > 2) tried.push_back(most - 1);
  return tried;
}

std::size_t bytes_of(std::int64_t n, ComputeType type) {
  return static_cast<std::size_t>(n) * element_bytes(type);
}

}  // namespace

RowGemm::RowGemm(ComputeType type, std::span<const GemmShape> shapes, Arena& arena)
    : type_(type), gemm_(type) {
  if (!Gemm::may_depend_on_rows()) return;
  for (const GemmShape& s : shapes) {
    for (const RowKind kind : {RowKind::prefill, RowKind::decode}) {
      const GemmProblem problem{s.n_out, s.n_in, kind, s.out_type, s.adds};
      if (find_independent(s, problem, arena)) continue;
      const std::int64_t rows = padded_rows(kind);
      gemm_.choose(problem, padded_rows(kind), 0);
      padded_.insert(problem);
      pad_bytes_ = std::max(pad_bytes_, bytes_of(rows * s.n_in, type) + Arena::kAlign +
                                            bytes_of(rows * s.n_out, s.out_type));
    }
  }
}

// Multiplies random rows, then some of the last ones alone: the same numbers must come out.
class RowGemm::Trial {
 public:
  Trial(Gemm& gemm, const GemmShape& shape, RowKind kind, ComputeType type, Arena& arena)
      : gemm_(gemm),
        s_(shape),
        kind_(kind),
        type_(type),
        out_bytes_(bytes_of(std::int64_t{shape.tried_rows} * shape.n_out, shape.out_type)),
        w_(arena.take(bytes_of(std::int64_t{shape.n_out} * shape.n_in, type), kWhat)),
        x_(arena.take(bytes_of(std::int64_t{shape.tried_rows} * shape.n_in, type), kWhat)),
        all_(arena.take(out_bytes_, kWhat)),
        some_(arena.take(out_bytes_, kWhat)),
        differs_(arena.take(sizeof(std::uint32_t), kWhat)),
        workspace_(arena.take(Gemm::kWorkspaceBytes, kWhat)) {
    const bool is_bf16 = type == ComputeType::bf16;
    fill_random(w_.data(), std::int64_t{s_.n_out} * s_.n_in, is_bf16, 1, stream_);
    fill_random(x_.data(), std::int64_t{s_.tried_rows} * s_.n_in, is_bf16, 2, stream_);
  }

  // All rows by the algorithm of now. Throws GemmRefused.
  void multiply_all() { multiply(s_.tried_rows, all_); }

  // Whether the algorithm of now gives each number of the last rows the bits it had in all rows.
  // Throws GemmRefused.
  bool gives_the_same(const std::vector<std::int32_t>& numbers_of_rows) {
    TOVAMILL_CUDA(cudaMemsetAsync(differs_.data(), 0, sizeof(std::uint32_t), stream_.get()));
    for (const std::int32_t n : numbers_of_rows) {
      multiply(n, some_);
      find_difference(static_cast<const std::byte*>(all_.data()) +
                          bytes_of(std::int64_t{s_.tried_rows - n} * s_.n_out, s_.out_type),
                      some_.data(), bytes_of(std::int64_t{n} * s_.n_out, s_.out_type),
                      static_cast<std::uint32_t*>(differs_.data()), stream_);
    }
    std::uint32_t found = 0;
    TOVAMILL_CUDA(cudaMemcpyAsync(&found, differs_.data(), sizeof found, cudaMemcpyDeviceToHost,
                                  stream_.get()));
    stream_.synchronize();
    return found == 0;
  }

 private:
  static constexpr const char* kWhat = "trying GEMMs";

  void multiply(std::int32_t n, const ArenaBlock& out) {
    TOVAMILL_CUDA(cudaMemsetAsync(out.data(), 0, out_bytes_, stream_.get()));
    gemm_.multiply({w_.data(), s_.n_out, s_.n_in},
                   static_cast<const std::byte*>(x_.data()) +
                       bytes_of(std::int64_t{s_.tried_rows - n} * s_.n_in, type_),
                   n, kind_, out.data(), s_.out_type, s_.adds, workspace_.data(), stream_);
  }

  Gemm& gemm_;
  const GemmShape& s_;
  RowKind kind_;
  ComputeType type_;
  std::size_t out_bytes_;
  ArenaBlock w_, x_, all_, some_, differs_, workspace_;
  Stream stream_;
};

bool RowGemm::find_independent(const GemmShape& s, const GemmProblem& problem, Arena& arena) {
  try {
    Trial trial(gemm_, s, problem.kind, type_, arena);
    for (int i = 0; i < kMaxTried; ++i) {
      if (!gemm_.choose(problem, Gemm::usual_rows(problem.kind), i)) return false;
      try {
        trial.multiply_all();
        if (!trial.gives_the_same(tried_rows(1, s.tried_rows))) continue;
      } catch (const GemmRefused&) {  // it is for other numbers of rows
        continue;
      }
      choose_sizes(s, problem, trial);
      return true;
    }
  } catch (const OutOfMemory&) {
  }
  return false;
}

// The best algorithm of each size of a step that gives the same bits, if there is one.
void RowGemm::choose_sizes(const GemmShape& s, const GemmProblem& problem, Trial& trial) {
  std::int32_t least = 1;
  for (const std::int32_t most : Gemm::kSizes) {
    const std::int32_t first = std::exchange(least, most + 1);
    if (most == Gemm::usual_rows(problem.kind) || first > s.tried_rows) continue;
    GemmProblem sized = problem;
    sized.size = Gemm::size_of(most);
    bool found = false;
    for (int i = 0; i < kMaxTried && !found && gemm_.choose(sized, most, i); ++i) {
      try {
        found = trial.gives_the_same(tried_rows(first, std::min(most, s.tried_rows) + 1));
      } catch (const GemmRefused&) {  // it is for other numbers of rows
      }
    }
    if (!found) gemm_.forget(sized);
  }
}

ArenaBlock RowGemm::make_workspace(Arena& arena) const {
  return arena.take(Gemm::kWorkspaceBytes + pad_bytes_, "the workspace of GEMMs");
}

void RowGemm::multiply(const Operand& w, const void* x, std::int32_t n_rows, RowKind kind,
                       void* out, ComputeType out_type, bool adds, const ArenaBlock& workspace,
                       const Stream& stream) {
  if (!padded_.contains({w.n_out, w.n_in, kind, out_type, adds}))
    return gemm_.multiply(w, x, n_rows, kind, out, out_type, adds, workspace.data(), stream);
  const std::int32_t each = padded_rows(kind);
  for (std::int32_t first = 0; first < n_rows; first += each)
    multiply_padded(
        w, static_cast<const std::byte*>(x) + bytes_of(std::int64_t{first} * w.n_in, type_),
        std::min(each, n_rows - first), kind,
        static_cast<std::byte*>(out) + bytes_of(std::int64_t{first} * w.n_out, out_type), out_type,
        adds, workspace, stream);
}

// Multiplies at most padded_rows rows, as exactly so many.
void RowGemm::multiply_padded(const Operand& w, const std::byte* x, std::int32_t n_rows,
                              RowKind kind, std::byte* out, ComputeType out_type, bool adds,
                              const ArenaBlock& workspace, const Stream& stream) {
  const std::int32_t rows = padded_rows(kind);
  if (n_rows == rows)
    return gemm_.multiply(w, x, rows, kind, out, out_type, adds, workspace.data(), stream);
  const std::size_t x_bytes = bytes_of(std::int64_t{rows} * w.n_in, type_),
                    x_used = bytes_of(std::int64_t{n_rows} * w.n_in, type_),
                    out_used = bytes_of(std::int64_t{n_rows} * w.n_out, out_type);
  auto* pad_x = static_cast<std::byte*>(workspace.data()) + Gemm::kWorkspaceBytes;
  std::byte* pad_out = pad_x + (x_bytes + Arena::kAlign - 1) / Arena::kAlign * Arena::kAlign;
  const auto copy = [&](void* to, const void* from, std::size_t n) {
    TOVAMILL_CUDA(cudaMemcpyAsync(to, from, n, cudaMemcpyDeviceToDevice, stream.get()));
  };
  copy(pad_x, x, x_used);
  TOVAMILL_CUDA(cudaMemsetAsync(pad_x + x_used, 0, x_bytes - x_used, stream.get()));
  if (adds) copy(pad_out, out, out_used);
  gemm_.multiply(w, pad_x, rows, kind, pad_out, out_type, adds, workspace.data(), stream);
  copy(out, pad_out, out_used);
}

}  // namespace tovamill::cuda
