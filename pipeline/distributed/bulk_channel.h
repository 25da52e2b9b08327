// Messages of any size between ranks that are connected (MpiSession::connect).
#pragma once

#include <optional>

#include "pipeline/distributed/channel.h"

namespace tovamill {

// For the thread of the Channel. No call waits for another rank, which may be dead: messages to a
// dead rank stay here.
class BulkChannel {
 public:
  virtual ~BulkChannel() = default;
  // Queues the message; messages between two ranks arrive in order. Throws Error(internal)
  // for a rank that is not connected.
  virtual void send(int to, Message message) = 0;
  // The next message that has arrived; nullopt at once if there is none. Advances all transfers: to
  // be called often.
  virtual std::optional<Envelope> receive() = 0;
  // Whether a transfer is in flight.
  virtual bool is_busy() const = 0;
};

}  // namespace tovamill
