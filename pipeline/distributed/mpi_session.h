// MPI from its start to its end, so that ranks survive the death of others on Open MPI 4.1
// (observed): blocking calls at start-up only, under a watchdog; then a star of short messages sent
// by MPI_Isend and found by MPI_Iprobe; no collectives; errors are returned, not fatal;
// MPI_Finalize only if all ranks are alive. MPI reports no death: process_watch and heartbeats do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pipeline/distributed/bulk_channel.h"
#include "pipeline/distributed/channel.h"
#include "pipeline/distributed/mpi_call.h"
#include "pipeline/distributed/rank_info.h"

namespace tovamill {

struct MpiOptions {
  // The timeout of start-up: a rank may die in MPI_Init, which MPI does not notice. The process
  // ends with a line on standard error and exit code 75: start again.
  double start_seconds = 60.0;
  // The same for each part of a broadcast that is sent at once; the sender may be reading it from a
  // slow disk.
  double broadcast_seconds = 600.0;
  // Under srun, Slurm's PMIx kills a whole step for one rank that dies beside another on its node,
  // unless the ranks leave PMIx once they are connected. Open MPI does not provide for this.
  bool detach_pmix = false;
  // What identifies the GPUs that this process can use, if it is to (RankInfo::gpus).
  std::vector<std::uint64_t> gpus = {};
};

// One per process, and only with several ranks. All calls come from the thread that called start().
class MpiSession {
 public:
  // MPI_Init, then rank 0 and each other rank exchange what is in RankInfo. Throws MpiError.
  static std::unique_ptr<MpiSession> start(const MpiOptions& options);
  // Does not end MPI; the buffers of sends in flight stay.
  virtual ~MpiSession() = default;

  virtual int rank() const = 0;
  int n_ranks() const { return static_cast<int>(ranks().size()); }
  // By rank.
  virtual const std::vector<RankInfo>& ranks() const = 0;
  const RankInfo& self() const { return ranks()[static_cast<std::size_t>(rank())]; }

  // At start-up only: `bytes` (equally many everywhere) of rank `members.front()` come to all
  // `members` (each rank once; one suffices for a host), which all call this with the same list.
  // Blocks. Throws MpiError; Error(internal) after end_start_up or from another rank.
  virtual void broadcast(std::span<std::byte> bytes, const std::vector<int>& members) = 0;

  // At start-up only, and once: `members` (this rank among them), who all call this with the same
  // list, connect with each other while the launcher is there. Blocks. Throws MpiError.
  virtual void connect(const std::vector<int>& members) = 0;

  // Is called once on every rank after the last broadcast: from then on ranks survive the death of
  // others. Does not wait. Detaches from PMIx if asked to.
  virtual void end_start_up() = 0;
  // Throws Error(internal) before end_start_up.
  virtual Channel& channel() = 0;

  // The channel to the ranks that this one is connected to; null if there are none. Throws as
  // channel().
  virtual BulkChannel* bulk_channel() = 0;

  // Ends MPI; only the end of the process may follow. With `all_alive`, calls MPI_Finalize and, if
  // it hangs for some seconds, _exit(exit_code); all ranks must call this within that time.
  // Otherwise, and if detached, does nothing: MPI_Finalize would hang. True if MPI has ended; if
  // not, leave by _exit, since the libraries' destructors may hang, too.
  virtual bool end(bool all_alive, int exit_code) = 0;
};

// "Open MPI 4.1.4": the library that is loaded; works without a session.
std::string mpi_library_version();

}  // namespace tovamill
