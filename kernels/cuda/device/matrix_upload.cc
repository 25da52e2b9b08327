#include "kernels/cuda/device/matrix_upload.h"

#include <algorithm>
#include <cstring>

namespace tovamill::cuda {
namespace {

constexpr std::size_t kHalfBytes = 32u << 20;
constexpr std::int32_t kRowsPerTask = 16;

}  // namespace

MatrixUpload::MatrixUpload(int n_threads) : pool_(std::max(1, n_threads)) {}

MatrixUpload::~MatrixUpload() {
  for (Half& half : halves_) {
    if (half.is_used) cudaEventSynchronize(half.copied.get());  // whatever became of it
  }
}

void MatrixUpload::send(const MatrixRows& m, void* to, const Stream& stream) {
  const auto part = static_cast<std::int32_t>(std::max<std::size_t>(1, kHalfBytes / m.row_bytes));
  for (std::int32_t first = 0; first < m.n_rows; first += part) {
    const std::int32_t n = std::min(part, m.n_rows - first);
    Half& half = halves_[next_];
    next_ = 1 - next_;
    const std::size_t n_bytes = static_cast<std::size_t>(n) * m.row_bytes;
    if (half.is_used) half.copied.synchronize();
    if (half.memory.size() < n_bytes) half.memory = PinnedMemory(std::max(n_bytes, kHalfBytes));
    pool_.run((n + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task, int) {
      const auto begin = static_cast<std::int32_t>(task) * kRowsPerTask;
      for (std::int32_t r = begin; r < std::min(begin + kRowsPerTask, n); ++r)
        m.write(first + r, half.memory.data() + static_cast<std::size_t>(r) * m.row_bytes);
    });
    check(
        cudaMemcpyAsync(static_cast<std::byte*>(to) + static_cast<std::size_t>(first) * m.row_bytes,
                        half.memory.data(), n_bytes, cudaMemcpyHostToDevice, stream.get()),
        "cudaMemcpyAsync", "tensor " + m.name);
    half.copied.record(stream);
    half.is_used = true;
  }
}

}  // namespace tovamill::cuda
