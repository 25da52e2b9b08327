// The states of a worker's sequences within a budget of bytes. States of bounded policies are all
// alike and are used again; others grow with their sequence and are given back. With the longest of
// them the workspace grows, which comes out of the same budget.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/state_keeper.h"

namespace tovamill {

class StatePool {
 public:
  // At most `most` states, which take, with what the workspace grows, `budget` bytes together.
  // `keeps_prompt`: sequences keep all of their prompt. The backend has taken no step yet.
  StatePool(StateKeeper& states, std::int32_t most, std::uint64_t budget, bool keeps_prompt);

  // A state in use, given back when it is destroyed.
  class StateHandle {
   public:
    StateHandle() = default;
    StateHandle(StatePool& pool, std::unique_ptr<StreamState> state, std::uint64_t n_bytes)
        : pool_(&pool), state_(std::move(state)), n_bytes_(n_bytes) {}
    StateHandle(StateHandle&& other) noexcept { *this = std::move(other); }
    StateHandle& operator=(StateHandle&& other) noexcept;
    ~StateHandle() { give_back(); }
    void give_back();
    StreamState* get() const { return state_.get(); }
    explicit operator bool() const { return state_ != nullptr; }

   private:
    StatePool* pool_ = nullptr;
    std::unique_ptr<StreamState> state_;
    std::uint64_t n_bytes_ = 0;
  };

  // Bytes of the state of a sequence that takes `n_tokens`, all of its first `n_kept` unbounded.
  std::uint64_t bytes_of(std::int64_t n_tokens, std::int64_t n_kept) const;
  bool has_room(std::uint64_t n_bytes, std::int32_t n_states = 1) const;
  // A state that is as after `reset`; none where has_room says no, or memory is at its end and
  // other states are in use. Throws OutOfMemory where none is.
  StateHandle take(std::uint64_t n_bytes);

  std::int32_t n_used() const { return n_used_; }
  std::int32_t most() const { return most_; }
  std::uint64_t budget() const { return budget_; }
  // Bytes of the longest state of which one, or two at once, can be held whatever came before.
  std::uint64_t most_bytes(std::int32_t n_states) const { return longest_[n_states > 1].bytes; }

 private:
  friend class StateHandle;
  struct Longest {
    std::int64_t n_tokens = 0;
    std::uint64_t bytes = 0;
  };
  std::uint64_t bytes_of_tokens(std::int64_t n_tokens) const;
  std::uint64_t growth_of_tokens(std::int64_t n_tokens) const;
  std::uint64_t growth_of(std::uint64_t n_bytes) const;
  Longest longest(std::int32_t n_states) const;
  void put(std::unique_ptr<StreamState> state, std::uint64_t n_bytes);

  StateKeeper& states_;
  std::int32_t most_;
  std::uint64_t budget_, used_ = 0;
  std::int32_t n_used_ = 0;
  bool keeps_prompt_;
  std::uint64_t common_bytes_;     // of a bounded state
  std::uint64_t first_workspace_;  // of the backend, before it grew
  std::array<Longest, 2> longest_;
  std::vector<std::unique_ptr<StreamState>> idle_;
};

}  // namespace tovamill
