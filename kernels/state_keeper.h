// The multi-states of a model's streams: of all its layers on one device (Backend), or of those of
// several ranks together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace tovamill {

// The multi-state of one stream: keys, values and positions of at most k tokens in each layer.
class StreamState {
 public:
  virtual ~StreamState() = default;
};

class StateKeeper {
 public:
  virtual ~StateKeeper() = default;

  virtual std::unique_ptr<StreamState> make_state() = 0;  // of state_bytes_for(0, false)
  // Of a stream that is bounded, or as long as a chunk or the trained context.
  virtual std::uint64_t state_bytes() const = 0;
  // What a state has allocated that has taken `n_tokens`, with `keeps_all` in all of its blocks or
  // in none: the same for every n_tokens where the policy is bounded and keeps_all is false, else
  // growing with it, by an eighth at a time. The block that brings a state of n tokens down needs
  // state_bytes_for(n + 1, true).
  virtual std::uint64_t state_bytes_for(std::int64_t n_tokens, bool keeps_all) const = 0;
  virtual std::uint64_t workspace_bytes() const = 0;  // everything but weights, buffers and states
  // The same once a state has been at state_bytes_for(n_tokens, keeps_all): it grows with the
  // longest and never shrinks. At least workspace_bytes().
  virtual std::uint64_t workspace_bytes_for(std::int64_t n_tokens, bool keeps_all) const = 0;

  // Forgets everything: the stream starts anew at position 0. Memory that a bounded state grew by
  // keeps_all is given back, that of `full` stays for the next stream.
  virtual void reset(StreamState& state) = 0;
  // Between steps: makes room at once for what the state will be when the stream has taken
  // `n_tokens`, so that it need not be moved while it grows. Throws OutOfMemory; nothing has
  // changed then.
  virtual void reserve(StreamState& state, std::int64_t n_tokens, bool keeps_all) = 0;
  // Between steps: makes `to`, whatever it was before, what `from` is, of this backend both, its
  // room included. Throws OutOfMemory; nothing has changed then.
  virtual void copy(const StreamState& from, StreamState& to) = 0;
  // Tokens that the stream has taken: the position of its next one.
  virtual std::int64_t n_tokens(const StreamState& state) const = 0;
  // Between steps: appends to `out` all that the stream's later numbers depend on, self-contained
  // and little-endian (saved_state.h): about the bytes of the tokens that the state holds.
  virtual void save(const StreamState& state, std::vector<std::byte>& out) const = 0;
  // Makes `state` what it was when `bytes` were saved, whatever it was before; any backend of the
  // same kind, dtype, shape and cache options can, with any number of threads. Returns the position
  // that the stream goes on at: the next block's must be that one. Throws BadData where the bytes
  // do not fit, OutOfMemory; the state is then as after `reset`.
  virtual std::int64_t load(StreamState& state, std::span<const std::byte> bytes) = 0;
  // Positions of the tokens that (layer, group) holds, ascending.
  virtual std::vector<std::int32_t> read_positions(const StreamState& state, std::int32_t layer,
                                                   std::int32_t group) const = 0;
  // The same of every layer and group, [layer * n_eviction_groups + group], waiting once.
  virtual std::vector<std::vector<std::int32_t>> read_all_positions(
      const StreamState& state) const = 0;
};

}  // namespace tovamill
