#include "workers/documents/state_pool.h"

#include <algorithm>
#include <utility>

#include "kernels/types/error.h"

namespace tovamill {
namespace {

constexpr std::int64_t kMostTokens = 1 << 30;

// The greatest number of tokens for which `holds`, which holds for all below it; 0 where none.
template <class Holds>
std::int64_t last_for_which(const Holds& holds) {
  std::int64_t good = 0, bad = kMostTokens + 1;
  while (bad - good > 1) {
    const std::int64_t middle = good + (bad - good) / 2;
    (holds(middle) ? good : bad) = middle;
  }
  return good;
}

}  // namespace

StatePool::StatePool(StateKeeper& states, std::int32_t most, std::uint64_t budget,
                     bool keeps_prompt)
    : states_(states),
      most_(most),
      budget_(budget),
      keeps_prompt_(keeps_prompt),
      common_bytes_(states.state_bytes_for(0, false)),
      first_workspace_(states.workspace_bytes()),
      longest_{longest(1), longest(2)} {}

std::uint64_t StatePool::bytes_of_tokens(std::int64_t n_tokens) const {
  return bytes_of(n_tokens, keeps_prompt_ ? n_tokens : 0);
}

std::uint64_t StatePool::growth_of_tokens(std::int64_t n_tokens) const {
  const std::uint64_t grown =
      std::max(states_.workspace_bytes_for(n_tokens, false),
               keeps_prompt_ ? states_.workspace_bytes_for(n_tokens, true) : 0);
  return grown - std::min(grown, first_workspace_);
}

// The longest sequences that fit, so many of them and nothing else.
StatePool::Longest StatePool::longest(std::int32_t n_states) const {
  const auto fits = [&](std::int64_t n) {
    return static_cast<std::uint64_t>(n_states) * bytes_of_tokens(n) + growth_of_tokens(n) <=
           budget_;
  };
  const std::int64_t n = last_for_which(fits);
  return {n, bytes_of_tokens(n)};
}

// What the workspace will have grown once a state has taken so many bytes.
std::uint64_t StatePool::growth_of(std::uint64_t n_bytes) const {
  if (bytes_of_tokens(kMostTokens) == common_bytes_) return 0;
  return growth_of_tokens(
      last_for_which([&](std::int64_t n) { return bytes_of_tokens(n) <= n_bytes; }));
}

StatePool::StateHandle& StatePool::StateHandle::operator=(StateHandle&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  pool_ = std::exchange(other.pool_, nullptr);
  state_ = std::move(other.state_);
  n_bytes_ = std::exchange(other.n_bytes_, 0);
  return *this;
}

void StatePool::StateHandle::give_back() {
  if (state_) pool_->put(std::move(state_), n_bytes_);
  state_.reset();
}

// The workspace grows with the longest state only, but each is counted as if it were the longest.
std::uint64_t StatePool::bytes_of(std::int64_t n_tokens, std::int64_t n_kept) const {
  const auto bytes = [&](std::int64_t n, bool keeps_all) {
    return states_.state_bytes_for(n, keeps_all) + states_.workspace_bytes_for(n, keeps_all) -
           states_.workspace_bytes_for(0, false);
  };
  return std::max(bytes(n_tokens, false), bytes(n_kept, n_kept > 0));
}

bool StatePool::has_room(std::uint64_t n_bytes, std::int32_t n_states) const {
  if (n_used_ + n_states > most_) return false;
  return used_ + n_bytes + growth_of(n_bytes) <= budget_ ||
         (n_used_ == 0 && n_bytes <= most_bytes(n_states) * static_cast<std::uint64_t>(n_states));
}

StatePool::StateHandle StatePool::take(std::uint64_t n_bytes) {
  if (!has_room(n_bytes)) return {};
  std::unique_ptr<StreamState> state;
  try {
    if (n_bytes == common_bytes_ && !idle_.empty()) {
      state = std::move(idle_.back());
      idle_.pop_back();
    } else {
      state = states_.make_state();
    }
  } catch (const OutOfMemory&) {
    if (n_used_ == 0) throw;
    most_ = n_used_;  // what is there has to do
    return {};
  }
  states_.reset(*state);
  used_ += n_bytes;
  ++n_used_;
  return StateHandle(*this, std::move(state), n_bytes);
}

void StatePool::put(std::unique_ptr<StreamState> state, std::uint64_t n_bytes) {
  used_ -= n_bytes;
  --n_used_;
  if (n_bytes == common_bytes_) idle_.push_back(std::move(state));
}

}  // namespace tovamill
