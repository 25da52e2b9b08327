// The weights of a model on their way to the GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "kernels/cpu/thread_pool.h"
#include "kernels/cuda/device/runtime.h"

namespace tovamill::cuda {

struct MatrixRows {
  std::string name;  // for messages
  std::int32_t n_rows = 0;
  std::size_t row_bytes = 0;  // as the GPU will have them
  // Writes row_bytes of row `row`. Called by several threads at once.
  std::function<void(std::int64_t row, std::byte* out)> write;
};

// What is sent goes through page-locked memory in two halves: one is filled, by all threads, while
// the other is copied, also from one matrix to the next.
class MatrixUpload {
 public:
  explicit MatrixUpload(int n_threads);
  ~MatrixUpload();  // waits for what is in flight

  // Brings the rows to `to`, one after another, in the order of the stream; they have been read
  // when it returns.
  void send(const MatrixRows& matrix, void* to, const Stream& stream);

 private:
  struct Half {
    PinnedMemory memory;
    Event copied;
    bool is_used = false;
  };
  ThreadPool pool_;
  Half halves_[2];
  int next_ = 0;
};

}  // namespace tovamill::cuda
