// A state of all layers and its parts: the heads differ in the number of layers, and behind what
// the layers have in common they lie one after another.

#include <algorithm>
#include <cstring>

#include "kernels/saved_state.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

// Where things lie in the head: magic, version, number of words, words (the kind, then the number
// of layers), n_tokens, n_held, pin.
constexpr std::size_t kVersionAt = 4, kNumberOfWordsAt = 8, kWordsAt = 12, kKindAt = kWordsAt,
                      kLayersAt = kWordsAt + 8;
constexpr std::size_t kCountsBytes = 2 * sizeof(std::int64_t) + sizeof(std::int32_t);

template <class T>
T number_at(std::span<const std::byte> bytes, std::size_t at) {
  if (at + sizeof(T) > bytes.size()) StateReader::fail("it ends early");
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// Bytes before the first layer.
std::size_t front_bytes(std::span<const std::byte> state) {
  const auto n_words = number_at<std::uint32_t>(state, kNumberOfWordsAt);
  const auto kind = static_cast<StateKind>(number_at<std::uint64_t>(state, kKindAt));
  const std::size_t common = kind == StateKind::reference ? 0 : sizeof(std::int64_t);
  const std::size_t n = kWordsAt + std::size_t{8} * n_words + kCountsBytes + common;
  if (n_words < 2 || n > state.size()) StateReader::fail("it ends early");
  return n;
}

// Of the next `n` layers from `at` on, each behind its number of bytes.
std::size_t bytes_of_differing(std::span<const std::byte> state, std::size_t at, std::int32_t n) {
  std::size_t end = at;
  for (std::int32_t l = 0; l < n; ++l) {
    const auto layer = number_at<std::uint64_t>(state, end);
    end += sizeof layer;
    if (layer > state.size() - end) StateReader::fail("it ends early");
    end += layer;
  }
  return end - at;
}

std::vector<std::byte> front_with_layers(std::span<const std::byte> front, std::uint64_t n_layers) {
  std::vector<std::byte> out(front.begin(), front.end());
  std::memcpy(out.data() + kLayersAt, &n_layers, sizeof n_layers);
  return out;
}

}  // namespace

std::vector<std::byte> join_states(std::span<const std::vector<std::byte>> parts) {
  std::uint64_t n_layers = 0;
  std::size_t n_bytes = 0;
  for (const std::vector<std::byte>& part : parts) {
    n_layers += number_at<std::uint64_t>(part, kLayersAt);
    n_bytes += part.size();
  }
  const std::span<const std::byte> first = parts.front();
  const std::size_t front = front_bytes(first);
  std::vector<std::byte> whole;
  whole.reserve(n_bytes);
  whole = front_with_layers(first.first(front), n_layers);
  for (const std::vector<std::byte>& part : parts) {
    if (front_bytes(part) != front ||
        front_with_layers(std::span(part).first(front), n_layers) !=
            std::vector<std::byte>(whole.begin(),
                                   whole.begin() + static_cast<std::ptrdiff_t>(front)))
      StateReader::fail("the parts of it stand at different tokens");
    whole.insert(whole.end(), part.begin() + static_cast<std::ptrdiff_t>(front), part.end());
  }
  return whole;
}

std::vector<std::vector<std::byte>> split_state(std::span<const std::byte> state,
                                                std::span<const std::int32_t> n_layers) {
  const std::size_t front = front_bytes(state);
  std::size_t n_all = 0;
  for (const std::int32_t n : n_layers) n_all += static_cast<std::size_t>(n);
  const std::size_t body = state.size() - front;
  const bool differ = number_at<std::uint32_t>(state, kVersionAt) == kVersionOfDiffering;
  if (number_at<std::uint64_t>(state, kLayersAt) != n_all || n_all == 0 ||
      (!differ && body % n_all != 0))
    StateReader::fail("its number of layers is wrong");
  std::vector<std::vector<std::byte>> parts;
  std::size_t at = front;
  for (const std::int32_t n : n_layers) {
    const std::size_t n_bytes =
        differ ? bytes_of_differing(state, at, n) : body / n_all * static_cast<std::size_t>(n);
    parts.push_back(front_with_layers(state.first(front), static_cast<std::uint64_t>(n)));
    const auto layers = state.subspan(at, n_bytes);
    parts.back().insert(parts.back().end(), layers.begin(), layers.end());
    at += n_bytes;
  }
  if (at != state.size()) StateReader::fail("bytes are left");
  return parts;
}

}  // namespace tovamill
