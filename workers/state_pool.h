// The states of a worker's strands within a budget of bytes. States of bounded policies are all
// alike and are used again; others grow with their strand and are given back.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace tovamill {

class StatePool {
 public:
  // At most `most` states of `budget` bytes together.
  StatePool(Backend& backend, std::int32_t most, std::uint64_t budget);

  // A state in use, given back when it is destroyed.
  class Lease {
   public:
    Lease() = default;
    Lease(StatePool& pool, std::unique_ptr<StreamState> state, std::uint64_t n_bytes)
        : pool_(&pool), state_(std::move(state)), n_bytes_(n_bytes) {}
    Lease(Lease&& other) noexcept { *this = std::move(other); }
    Lease& operator=(Lease&& other) noexcept;
    ~Lease() { give_back(); }
    void give_back();
    StreamState* get() const { return state_.get(); }
    explicit operator bool() const { return state_ != nullptr; }

   private:
    StatePool* pool_ = nullptr;
    std::unique_ptr<StreamState> state_;
    std::uint64_t n_bytes_ = 0;
  };

  // Bytes of the state of a strand that takes `n_tokens`, all of its first `n_kept` unbounded.
  std::uint64_t bytes_of(std::int64_t n_tokens, std::int64_t n_kept) const;
  bool has_room(std::uint64_t n_bytes, std::int32_t n_states = 1) const;
  // A state that is as after `reset`; none where has_room says no, or memory is at its end and
  // other states are in use. Throws OutOfMemory where none is.
  Lease take(std::uint64_t n_bytes);

  std::int32_t n_used() const { return n_used_; }
  std::int32_t most() const { return most_; }
  std::uint64_t budget() const { return budget_; }

 private:
  friend class Lease;
  void put(std::unique_ptr<StreamState> state, std::uint64_t n_bytes);

  Backend& backend_;
  std::int32_t most_;
  std::uint64_t budget_, used_ = 0;
  std::int32_t n_used_ = 0;
  std::uint64_t common_bytes_;  // of a bounded state
  std::vector<std::unique_ptr<StreamState>> idle_;
};

}  // namespace tovamill
