// Messages of a few bytes between ranks: all that the pipeline needs of MPI. The same code runs on
// MPI (mpi_channel.h), within one process (local_channel.h) and on the network of the tests, which
// delays, drops and duplicates messages.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace tovamill {

using Message = std::vector<std::byte>;

// Messages stay below this, so that MPI sends them eagerly on every transport.
inline constexpr std::size_t kMostMessageBytes = 3584;

struct Envelope {
  int from = 0;
  Message message;
};

// For one thread. No call waits for another rank, which may be dead.
class Channel {
 public:
  virtual ~Channel() = default;
  virtual int rank() const = 0;
  virtual int n_ranks() const = 0;
  // Sends the message, also to this rank itself. A message to a dead rank is lost silently. Throws
  // Error(internal) for a rank that does not exist or a message over kMostMessageBytes.
  virtual void send(int to, Message message) = 0;
  // The next message that has arrived, in any order over ranks; nullopt at once if there is none.
  virtual std::optional<Envelope> receive() = 0;
};

}  // namespace tovamill
