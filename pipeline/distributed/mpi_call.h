// What all that calls MPI shares: how its errors are told, and the tags of its messages.
#pragma once

#include <string>

#include "kernels/types/error.h"

namespace tovamill {

// A call of MPI that failed; the text holds the call, the rank and MPI's own words.
class MpiError : public Error {
 public:
  MpiError(const std::string& call, int rank, const std::string& text)
      : Error(ExitCode::internal, call + " failed on rank " + std::to_string(rank) + ": " + text) {}
};

// Throws MpiError unless `code` is MPI_SUCCESS.
void check_mpi(int code, const char* call, int rank);

enum MpiTag : int { kMessageTag = 1, kBroadcastTag = 2, kBulkTag = 3, kConnectTag = 4 };

}  // namespace tovamill
