// The GPUs of a job, one a rank, that read the weights once between them: what one of them reads
// goes to the others by NCCL.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "kernels/types/error.h"

namespace tovamill {

// What the ranks find each other by: made by one of them, told to all.
struct NcclGroupId {
  std::array<std::byte, 128> bytes{};
};

// Nothing where there is no NCCL; `why` says so.
std::optional<NcclGroupId> make_nccl_group_id(std::string& why);

// This rank's part in the group; rank 0 of the group reads.
struct NcclGroupPlace {
  NcclGroupId id;
  int rank = 0, n_ranks = 1;
  // Identifies what is broadcast: all must be about to read the same.
  std::uint64_t content = 0;
  // A rank that does not come, or a matrix that does not arrive, within so long ends the group.
  double timeout_s = 120.0;
};

// The group has failed: a rank did not come, died or reads something else. Each may read for
// itself.
class NcclGroupError : public Error {
 public:
  explicit NcclGroupError(const std::string& why) : Error(ExitCode::internal, "NCCL: " + why) {}
};

// "2.28.9" of the library that is linked; empty where there is none.
std::string nccl_version();

}  // namespace tovamill
