// Messages of a few bytes between any two ranks, sent by MPI_Isend and found by MPI_Iprobe: no call
// waits for a rank that may be dead.
#pragma once

#include <memory>

#include "pipeline/distributed/channel.h"

namespace tovamill {

class MpiChannel : public Channel {
 public:
  // Between MPI_Init and MPI_Finalize only, but for its destructor. Throws MpiError where MPI
  // itself fails; what goes to a rank that has died is lost.
  static std::unique_ptr<MpiChannel> open(int rank, int n_ranks);

  // True once all that was sent is with MPI; waits for it no longer than `seconds`.
  virtual bool drain(double seconds) = 0;
};

}  // namespace tovamill
