// Packed weights that the ranks of one host share: the leader packs them into an anonymous file
// (memfd), the followers map that read-only through /proc/<pid>/fd/<n>. The file has no name, so
// nothing is left behind however the ranks die, and the limit of /dev/shm does not count. The
// memory lives as long as any rank maps it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/weight_store.h"
#include "pipeline/distributed/weights_place.h"

namespace tovamill {

class SharedWeights {
 public:
  // The leader's: room for `most_bytes`; only what is written takes memory. Throws OutOfMemory
  // where the system does not give such a file.
  static std::unique_ptr<SharedWeights> create(std::uint64_t most_bytes, std::uint64_t identity);
  // A follower's. Null, with the reason in `why`, where the leader cannot be reached from here (it
  // is gone, or in another container) or its weights are not those of `identity`: then the rank is
  // to pack its own.
  static std::unique_ptr<SharedWeights> attach(const WeightsPlace& place, std::uint64_t identity,
                                               std::string& why);
  ~SharedWeights();
  SharedWeights(const SharedWeights&) = delete;
  SharedWeights& operator=(const SharedWeights&) = delete;

  WeightStore& store();
  // Leader, once all is packed: trims the file to what was taken and makes it read-only for
  // everybody, this process included. Followers can attach as long as this object lives. Throws
  // Error(internal).
  WeightsPlace seal();
  // Follower, once all is packed: it took the same pieces as the leader.
  bool all_taken() const;
  std::uint64_t n_bytes() const;  // taken so far, padding included

 private:
  class Store;
  explicit SharedWeights(std::unique_ptr<Store> store);
  std::unique_ptr<Store> store_;
};

}  // namespace tovamill
