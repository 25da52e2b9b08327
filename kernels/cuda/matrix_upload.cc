#include "kernels/cuda/matrix_upload.h"

#include <algorithm>
#include <cstring>
#include <thread>
#include <vector>

#include "kernels/cuda/device_code.h"
#include "kernels/tensor.h"

namespace tovamill::cuda {
namespace {

constexpr std::size_t kHalfBytes = 16u << 20;

void put(const std::vector<float>& row, ElementType type, std::byte* to) {
  if (type == ElementType::f32) {
    std::memcpy(to, row.data(), row.size() * sizeof(float));
    return;
  }
  for (std::size_t i = 0; i < row.size(); ++i) {
    const std::uint16_t bits = bf16_from_float(row[i]);
    std::memcpy(to + 2 * i, &bits, 2);
  }
}

// Rows [first, first + n) by all threads.
void fill(const MatrixUpload& m, std::int32_t first, std::int32_t n, std::byte* to) {
  const std::size_t row_bytes = static_cast<std::size_t>(m.n_in) * element_bytes(m.type);
  const int n_threads = std::max(1, m.n_threads);
  const auto run = [&](int thread) {
    std::vector<float> row(static_cast<std::size_t>(m.n_in));
    for (std::int32_t r = thread; r < n; r += n_threads) {
      m.source(m.context, first + r, row.data());
      put(row, m.type, to + static_cast<std::size_t>(r) * row_bytes);
    }
  };
  std::vector<std::thread> others;
  for (int t = 1; t < n_threads; ++t) others.emplace_back(run, t);
  run(0);
  for (std::thread& t : others) t.join();
}

}  // namespace

void upload(const MatrixUpload& m, void* to, const Stream& stream) {
  const std::size_t row_bytes = static_cast<std::size_t>(m.n_in) * element_bytes(m.type);
  const auto part = static_cast<std::int32_t>(std::max<std::size_t>(1, kHalfBytes / row_bytes));
  const std::size_t half_bytes = static_cast<std::size_t>(std::min(part, m.n_out)) * row_bytes;
  const PinnedMemory halves[2] = {PinnedMemory(half_bytes), PinnedMemory(half_bytes)};
  const Event copied[2];
  for (std::int32_t first = 0, half = 0; first < m.n_out; first += part, half = 1 - half) {
    const std::int32_t n = std::min(part, m.n_out - first);
    if (first >= 2 * part) copied[half].synchronize();
    fill(m, first, n, halves[half].data());
    check(cudaMemcpyAsync(static_cast<std::byte*>(to) + static_cast<std::size_t>(first) * row_bytes,
                          halves[half].data(), static_cast<std::size_t>(n) * row_bytes,
                          cudaMemcpyHostToDevice, stream.get()),
          "cudaMemcpyAsync", "tensor " + m.name);
    copied[half].record(stream);
  }
  check(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize", "tensor " + m.name);
}

}  // namespace tovamill::cuda
