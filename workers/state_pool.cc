#include "workers/state_pool.h"

#include <algorithm>
#include <utility>

#include "kernels/error.h"

namespace tovamill {

StatePool::StatePool(Backend& backend, std::int32_t most, std::uint64_t budget)
    : backend_(backend),
      most_(most),
      budget_(budget),
      common_bytes_(backend.state_bytes_for(0, false)) {}

StatePool::Lease& StatePool::Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  pool_ = std::exchange(other.pool_, nullptr);
  state_ = std::move(other.state_);
  n_bytes_ = std::exchange(other.n_bytes_, 0);
  return *this;
}

void StatePool::Lease::give_back() {
  if (state_) pool_->put(std::move(state_), n_bytes_);
  state_.reset();
}

// The workspace grows with the longest state only, but each is counted as if it were the longest.
std::uint64_t StatePool::bytes_of(std::int64_t n_tokens, std::int64_t n_kept) const {
  const auto bytes = [&](std::int64_t n, bool keeps_all) {
    return backend_.state_bytes_for(n, keeps_all) + backend_.workspace_bytes_for(n, keeps_all) -
           backend_.workspace_bytes_for(0, false);
  };
  return std::max(bytes(n_tokens, false), bytes(n_kept, n_kept > 0));
}

bool StatePool::has_room(std::uint64_t n_bytes, std::int32_t n_states) const {
  return n_used_ + n_states <= most_ && n_bytes <= budget_ - std::min(budget_, used_);
}

StatePool::Lease StatePool::take(std::uint64_t n_bytes) {
  if (!has_room(n_bytes)) return {};
  std::unique_ptr<StreamState> state;
  try {
    if (n_bytes == common_bytes_ && !idle_.empty()) {
      state = std::move(idle_.back());
      idle_.pop_back();
    } else {
      state = backend_.make_state();
    }
  } catch (const OutOfMemory&) {
    if (n_used_ == 0) throw;
    most_ = n_used_;  // what is there has to do
    return {};
  }
  backend_.reset(*state);
  used_ += n_bytes;
  ++n_used_;
  return Lease(*this, std::move(state), n_bytes);
}

void StatePool::put(std::unique_ptr<StreamState> state, std::uint64_t n_bytes) {
  used_ -= n_bytes;
  --n_used_;
  if (n_bytes == common_bytes_) idle_.push_back(std::move(state));
}

}  // namespace tovamill
