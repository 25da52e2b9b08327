#include "pipeline/distributed/local_channel.h"

#include <string>
#include <utility>

#include "kernels/types/error.h"

namespace tovamill {

void check_message(int to, int n_ranks, const Message& message) {
  if (to < 0 || to >= n_ranks) {
    throw Error(ExitCode::internal,
                "a message goes to rank " + std::to_string(to) + " of " + std::to_string(n_ranks));
  }
  if (message.size() > kMostMessageBytes) {
    throw Error(ExitCode::internal, "a message of " + std::to_string(message.size()) +
                                        " bytes is longer than the " +
                                        std::to_string(kMostMessageBytes) + " of any");
  }
}

void LocalChannel::send(int to, Message message) {
  check_message(to, n_ranks(), message);
  queue_.push_back(std::move(message));
}

std::optional<Envelope> LocalChannel::receive() {
  if (queue_.empty()) return std::nullopt;
  Envelope envelope{0, std::move(queue_.front())};
  queue_.pop_front();
  return envelope;
}

}  // namespace tovamill
