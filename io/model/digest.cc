#include "io/model/digest.h"

#include <algorithm>

namespace tovamill {

void Digest::add(std::span<const std::byte> bytes) {
  for (const std::byte byte : bytes) {
    state_ = (state_ ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3u;
  }
}

void Digest::add(std::string_view text) {
  add(static_cast<std::uint64_t>(text.size()));
  add(std::as_bytes(std::span(text.data(), text.size())));
}

void Digest::add(std::uint64_t number) { add(std::as_bytes(std::span(&number, 1))); }

void Digest::add_sample(const TensorView& tensor) {
  constexpr std::size_t kSampleBytes = 4096;
  const std::size_t n = std::min(tensor.n_bytes, kSampleBytes);
  add(std::span(tensor.data + (tensor.n_bytes - n) / 2, n));
}

std::string Digest::hex() const {
  constexpr char kHex[] = "0123456789abcdef";
  std::string result;
  for (int shift = 60; shift >= 0; shift -= 4) result += kHex[(state_ >> shift) & 15];
  return result;
}

}  // namespace tovamill
