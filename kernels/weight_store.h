// Where a backend keeps its packed weights: memory of its own, or memory that several processes of
// a host share.
#pragma once

#include <cstddef>

namespace tovamill {

// Hands out memory piece by piece. A backend that packs the same model takes the same sizes in the
// same order in every process, whatever its number of threads, so that the pieces fall on the same
// places. The memory lives as long as the store.
class WeightStore {
 public:
  virtual ~WeightStore() = default;
  // `n_bytes` of memory, 64-byte aligned: zero, or where the store is filled what another backend
  // has written there. Throws OutOfMemory where there is no more, Error(internal) where a filled
  // store does not hold as much.
  virtual std::byte* take(std::size_t n_bytes) = 0;
  // `take` gives memory that already holds what would be written: it is read-only, and neither it
  // nor the tensors of the model file are to be touched while packing.
  virtual bool is_filled() const = 0;
};

}  // namespace tovamill
