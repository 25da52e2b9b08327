// Messages of a few bytes between ranks: what the pipeline needs of MPI, and nothing more. The same
// code runs on MPI (mpi_channel), within one process (local_channel) and on the tests' network that
// delays, drops and doubles.
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

// For one thread. No call ever waits for another rank: it may be dead.
class Channel {
 public:
  virtual ~Channel() = default;
  virtual int rank() const = 0;
  virtual int n_ranks() const = 0;
  // Hands the message over; to oneself too. What goes to a rank that has died is lost without a
  // word. Throws Error(internal) for a rank that there is not or a message over kMostMessageBytes.
  virtual void send(int to, Message message) = 0;
  // The next message that has arrived, in any order over ranks; nullopt at once where there is
  // none.
  virtual std::optional<Envelope> receive() = 0;
};

}  // namespace tovamill
