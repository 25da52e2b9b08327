// A short name for the content of model files, from samples.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "kernels/types/tensor.h"

namespace tovamill {

// 64-bit FNV-1a (Fowler, Noll, Vo): tells models apart, does not protect against forgery.
class Digest {
 public:
  void add(std::span<const std::byte> bytes);
  // The length is hashed with the text, so that neighbours cannot run into each other.
  void add(std::string_view text);
  void add(std::uint64_t number);
  // The 4 KiB in the middle of a tensor's data, or all of it if it is smaller.
  void add_sample(const TensorView& tensor);

  std::string hex() const;  // 16 digits
  std::uint64_t value() const { return state_; }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325u;
};

}  // namespace tovamill
