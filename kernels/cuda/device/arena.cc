#include "kernels/cuda/device/arena.h"

#include <algorithm>
#include <utility>

#include "kernels/cuda/device/runtime.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"

namespace tovamill::cuda {
namespace {

std::size_t aligned(std::size_t n) {
  return (std::max<std::size_t>(n, 1) + Arena::kAlign - 1) / Arena::kAlign * Arena::kAlign;
}

}  // namespace

ArenaBlock& ArenaBlock::operator=(ArenaBlock&& other) noexcept {
  if (this != &other) {
    release();
    arena_ = std::move(other.arena_);
    data_ = std::exchange(other.data_, nullptr);
    n_bytes_ = std::exchange(other.n_bytes_, 0);
  }
  return *this;
}

void ArenaBlock::release() {
  if (arena_ != nullptr) arena_->give_back(data_, n_bytes_);
  arena_.reset();
  data_ = nullptr;
  n_bytes_ = 0;
}

Arena::Arena(std::size_t n_bytes)
    : n_bytes_(n_bytes / kAlign * kAlign), n_free_(n_bytes_), holes_{{0, n_bytes_}} {
  base_ = static_cast<unsigned char*>(device_malloc(n_bytes_));
}

Arena::~Arena() { device_free(base_); }

ArenaBlock Arena::take(std::size_t n_bytes, const std::string& what) {
  const std::size_t wanted = aligned(n_bytes);
  auto best = holes_.end();
  for (auto h = holes_.begin(); h != holes_.end(); ++h) {
    if (h->second >= wanted && (best == holes_.end() || h->second < best->second)) best = h;
  }
  if (best == holes_.end()) {
    throw OutOfMemory("out of GPU memory: " + what + " takes " + with_thousands(wanted) +
                      " bytes, " + with_thousands(n_free_) + " of " + with_thousands(n_bytes_) +
                      " are free; use fewer --streams or a smaller --cache-size");
  }
  const auto [offset, size] = *best;
  holes_.erase(best);
  if (size > wanted) holes_.emplace(offset + wanted, size - wanted);
  n_free_ -= wanted;
  return {shared_from_this(), base_ + offset, n_bytes};
}

std::size_t Arena::largest_hole() const {
  std::size_t largest = 0;
  for (const auto& [offset, size] : holes_) largest = std::max(largest, size);
  return largest;
}

void Arena::give_back(void* data, std::size_t n_bytes) {
  const auto offset = static_cast<std::size_t>(static_cast<unsigned char*>(data) - base_);
  const std::size_t size = aligned(n_bytes);
  n_free_ += size;
  auto [at, inserted] = holes_.emplace(offset, size);
  if (const auto next = std::next(at); next != holes_.end() && offset + size == next->first) {
    at->second += next->second;
    holes_.erase(next);
  }
  if (at != holes_.begin()) {
    const auto before = std::prev(at);
    if (before->first + before->second == at->first) {
      before->second += at->second;
      holes_.erase(at);
    }
  }
}

}  // namespace tovamill::cuda
