// What the saved states of all backends have in common. Little-endian, without padding:
//   u32 magic "TVSS", u32 version
//   u32 number of words, u64 words: who saved in which type, the model's shape, the cache options
//   i64 n_tokens that the stream has taken, i64 n_held of them in each group of a layer, i32 pin
//   then what the backend keeps (cpu/step/saved_state.cc, reference/saved_state.cc): i64 what all
//   layers have in common, of the reference backend nothing, then the layers: of equal size each,
//   or, where layers_differ, each behind a u64 of its bytes (version 3)
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/state_plan.h"
#include "kernels/types/cache_options.h"
#include "kernels/types/model_shape.h"

namespace tovamill {

inline constexpr std::uint32_t kVersionOfDiffering = 3;  // of states whose layers differ

enum class StateKind : std::uint32_t {
  reference = 1,
  cpu_f32 = 2,
  cpu_bf16 = 3,
  cuda_f32 = 4,
  cuda_bf16 = 5
};

class StateWriter {
 public:
  explicit StateWriter(std::vector<std::byte>& out) : out_(out) {}
  template <class T>
  requires std::is_arithmetic_v<T>
  void number(T value) { bytes(std::as_bytes(std::span(&value, 1))); }
  void bytes(std::span<const std::byte> b) { out_.insert(out_.end(), b.begin(), b.end()); }

 private:
  std::vector<std::byte>& out_;
};

// Never reads past the end: throws BadData there.
class StateReader {
 public:
  explicit StateReader(std::span<const std::byte> bytes) : rest_(bytes) {}
  template <class T>
  requires std::is_arithmetic_v<T> T number() {
    T value;
    bytes(std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void bytes(std::span<std::byte> to) {
    if (to.size() > rest_.size()) fail("it ends early");
    if (!to.empty()) std::memcpy(to.data(), rest_.data(), to.size());
    rest_ = rest_.subspan(to.size());
  }
  // Throws BadData unless so many bytes are left, exactly or at least.
  void expect_left(std::uint64_t n_bytes) const;
  void expect_at_least(std::uint64_t n_bytes) const {
    if (rest_.size() < n_bytes) fail("it ends early");
  }
  [[noreturn]] static void fail(const std::string& what);

 private:
  std::span<const std::byte> rest_;
};

// Whether layers of a model may keep different numbers of tokens, or more than tokens.
bool layers_differ(const CacheOptions& cache);
// Writes a layer by write(StateWriter&), behind its bytes where layers differ.
template <class Write>
void write_layer(std::vector<std::byte>& out, const CacheOptions& cache, Write&& write) {
  StateWriter writer(out);
  const std::size_t begin = out.size();
  if (layers_differ(cache)) writer.number(std::uint64_t{0});
  write(writer);
  if (!layers_differ(cache)) return;
  const std::uint64_t n = out.size() - begin - sizeof(std::uint64_t);
  std::memcpy(out.data() + begin, &n, sizeof n);
}

struct StateCounts {
  std::int64_t n_tokens = 0;  // that the stream has taken, below 2^31
  // That each deciding group of a layer holds: all of a short stream, else the cache size, or more
  // (StepBlock::keeps_all). Where layers differ: what one of the cache size would.
  std::int64_t n_held = 0;
  std::int32_t pin = 0;  // StepBlock::pin
  bool operator==(const StateCounts&) const = default;
};

void write_state_head(StateWriter& out, StateKind kind, const ModelShape& shape,
                      const CacheOptions& cache, const StateCounts& counts);
// Throws BadData where the head is not what `write_state_head` makes of the same kind, shape and
// options, or the counts are impossible.
StateCounts read_state_head(StateReader& in, StateKind kind, const ModelShape& shape,
                            const CacheOptions& cache);
// StateCounts::n_held, where `n_held` is that of the first layer.
std::int64_t saved_n_held(const CacheOptions& cache, std::int64_t n_tokens, std::int64_t n_held);
// Throws BadData unless a layer may hold `n_held` tokens a group; `counts` stand in the head.
void check_layer_count(const CacheOptions& cache, const LayerPlaces& places,
                       const StateCounts& counts, std::int64_t n_held);

// Throws BadData unless a group may hold tokens of these positions, in any order: none doubled,
// none to come, of a rule that goes by positions (`window`) exactly those that it leaves.
void check_positions(const CacheOptions& cache, const LayerPlaces& places,
                     const StateCounts& counts, std::vector<std::int32_t> positions);

// The state of consecutive layers made whole: `parts` are the states that backends of some of a
// model's layers each saved of one stream, in the order of the layers. Gives the very bytes that a
// backend of all layers would have saved. Throws BadData where they do not belong together.
std::vector<std::byte> join_states(std::span<const std::vector<std::byte>> parts);
// The inverse: a part for each of the backends, of so many layers each. Throws BadData.
std::vector<std::vector<std::byte>> split_state(std::span<const std::byte> state,
                                                std::span<const std::int32_t> n_layers);

}  // namespace tovamill
