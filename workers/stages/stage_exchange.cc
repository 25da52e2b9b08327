#include "workers/stages/stage_exchange.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

namespace tovamill {
namespace {

// While pieces of a message are on their way MPI moves them only when it is asked to.
constexpr auto kBusyPause = std::chrono::microseconds(100);

}  // namespace

std::vector<int> stage_group(int rank, int first_worker, int n_stages) {
  const int head = rank - (rank - first_worker) % n_stages;
  std::vector<int> group;
  for (int stage = 0; stage < n_stages; ++stage) group.push_back(head + stage);
  return group;
}

StageExchange::StageExchange(StageMailbox& mailbox, BulkChannel& channel,
                             const std::vector<RankInfo>& ranks, std::vector<int> group)
    : mailbox_(mailbox), channel_(channel), group_(std::move(group)) {
  const auto info = [&](int rank) -> const RankInfo& {
    return ranks[static_cast<std::size_t>(rank)];
  };
  const int self = group_[static_cast<std::size_t>(mailbox.stage())];
  for (const int rank : group_) {
    if (rank != self && info(rank).host_identity == info(self).host_identity)
      watch_.watch(rank, info(rank).pid);
  }
}

int StageExchange::stage_of(int rank) const {
  const auto at = std::find(group_.begin(), group_.end(), rank);
  return at == group_.end() ? -1 : static_cast<int>(at - group_.begin());
}

void StageExchange::tick() {
  while (std::optional<StageMessage> m = mailbox_.take_to_send())
    channel_.send(group_.at(static_cast<std::size_t>(m->stage)), std::move(m->message));
  while (std::optional<Envelope> e = channel_.receive()) {
    if (const int stage = stage_of(e->from); stage >= 0)
      mailbox_.deliver(stage, std::move(e->message));
  }
  for (const int rank : watch_.ended())
    mailbox_.close("rank " + std::to_string(rank) + ", stage " + std::to_string(stage_of(rank)) +
                   " of its group, has ended");
}

void StageExchange::pause(double most_seconds) {
  // What was for a rank that is gone stays on its way for ever.
  if (channel_.is_busy() && !mailbox_.is_closed()) {
    std::this_thread::sleep_for(kBusyPause);
  } else {
    mailbox_.wait_to_send(most_seconds);
  }
}

}  // namespace tovamill
