// The channel of a run of one process: its mailbox.
#pragma once

#include <deque>

#include "pipeline/distributed/channel.h"

namespace tovamill {

class LocalChannel : public Channel {
 public:
  int rank() const override { return 0; }
  int n_ranks() const override { return 1; }
  void send(int to, Message message) override;
  std::optional<Envelope> receive() override;

 private:
  std::deque<Message> queue_;
};

// Throws Error(internal) unless `to` is one of `n_ranks` ranks and the message is short enough: the
// check of every channel.
void check_message(int to, int n_ranks, const Message& message);

}  // namespace tovamill
