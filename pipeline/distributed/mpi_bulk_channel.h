// Messages of any size between the ranks that share a model, in fragments that MPI can count.
#pragma once

#include <memory>
#include <vector>

#include "pipeline/distributed/bulk_channel.h"

namespace tovamill {

// To and from `peers`, who have connected before. Between MPI_Init and MPI_Finalize only, but for
// its destructor.
std::unique_ptr<BulkChannel> open_mpi_bulk_channel(const std::vector<int>& peers);

}  // namespace tovamill
