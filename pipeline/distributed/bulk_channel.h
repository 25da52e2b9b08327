// Messages of any size between ranks that were introduced to each other (MpiSession::introduce).
#pragma once

#include <optional>

#include "pipeline/distributed/channel.h"

namespace tovamill {

// For the thread of the Channel. No call ever waits for another rank: it may be dead, and then what
// is for it stays here.
class BulkChannel {
 public:
  virtual ~BulkChannel() = default;
  // Takes the message over; any two ranks' messages arrive in their order. Throws Error(internal)
  // for a rank that was not introduced.
  virtual void send(int to, Message message) = 0;
  // The next message that has arrived; nullopt at once where there is none. Moves on, too, what is
  // on its way: to be called often.
  virtual std::optional<Envelope> receive() = 0;
  // Whether something is on its way, so that soon there will be more to do.
  virtual bool is_busy() const = 0;
};

}  // namespace tovamill
