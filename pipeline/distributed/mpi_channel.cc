#include "pipeline/distributed/mpi_channel.h"

#include <mpi.h>

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "pipeline/distributed/local_channel.h"
#include "pipeline/distributed/mpi_call.h"

namespace tovamill {
namespace {

constexpr std::size_t kMostOutstanding = 64;  // sends to one rank; what comes beyond is dropped

// A message in flight; its buffer must stay where it is until the request is complete.
struct Transfer {
  int peer = 0;
  Message message;
  MPI_Request request = MPI_REQUEST_NULL;
  bool is_lost = false;

  // A request in error counts as complete: the message is lost.
  bool complete() {
    int flag = 0;
    is_lost = MPI_Test(&request, &flag, MPI_STATUS_IGNORE) != MPI_SUCCESS;
    return is_lost || flag != 0;
  }
};
using Transfers = std::deque<std::unique_ptr<Transfer>>;

class StarChannel : public MpiChannel {
 public:
  StarChannel(int rank, int n_ranks) : rank_(rank), n_ranks_(n_ranks) {}

  // MPI may still read or write the buffers of what is not complete: they are never freed.
  ~StarChannel() override {
    for (auto& [peer, transfers] : sending_) {
      for (auto& transfer : transfers) (void)transfer.release();
    }
    for (auto& transfer : arriving_) (void)transfer.release();
  }

  int rank() const override { return rank_; }
  int n_ranks() const override { return n_ranks_; }

  void send(int to, Message message) override {
    check_message(to, n_ranks_, message);
    if (to == rank_) {
      to_myself_.push_back(std::move(message));
      return;
    }
    Transfers& transfers = sending_[to];
    drop_complete(transfers);
    if (transfers.size() >= kMostOutstanding) return;
    auto transfer = std::make_unique<Transfer>(Transfer{to, std::move(message)});
    const int code = MPI_Isend(transfer->message.data(), static_cast<int>(transfer->message.size()),
                               MPI_BYTE, to, kMessageTag, MPI_COMM_WORLD, &transfer->request);
    if (code == MPI_SUCCESS) transfers.push_back(std::move(transfer));
  }

  // Alternates between other ranks and itself, so that neither waits for ever.
  std::optional<Envelope> receive() override {
    mine_first_ = !mine_first_;
    std::optional<Envelope> envelope = mine_first_ ? from_myself() : from_others();
    if (!envelope) envelope = mine_first_ ? from_others() : from_myself();
    if (envelope) return envelope;
    for (auto& [peer, transfers] : sending_) drop_complete(transfers);
    return std::nullopt;
  }

  bool drain(double seconds) override {
    const double end = MPI_Wtime() + seconds;
    for (auto& [peer, transfers] : sending_) {
      while (!transfers.empty()) {
        drop_complete(transfers);
        if (MPI_Wtime() > end) return false;
      }
    }
    return arriving_.empty();
  }

 private:
  // The ones in front only: requests to a dead rank are not tested again and again.
  static void drop_complete(Transfers& transfers) {
    while (!transfers.empty() && transfers.front()->complete()) transfers.pop_front();
  }

  std::optional<Envelope> from_myself() {
    if (to_myself_.empty()) return std::nullopt;
    Envelope envelope{rank_, std::move(to_myself_.front())};
    to_myself_.pop_front();
    return envelope;
  }

  std::optional<Envelope> from_others() {
    look_for_message();
    for (auto it = arriving_.begin(); it != arriving_.end();) {
      if (!(*it)->complete()) {
        ++it;
        continue;
      }
      const std::unique_ptr<Transfer> transfer = std::move(*it);
      it = arriving_.erase(it);
      if (!transfer->is_lost) return Envelope{transfer->peer, std::move(transfer->message)};
    }
    return std::nullopt;
  }

  void look_for_message() {
    int found = 0;
    MPI_Status status;
    check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, kMessageTag, MPI_COMM_WORLD, &found, &status),
              "MPI_Iprobe", rank_);
    if (found == 0) return;
    int n_bytes = 0;
    check_mpi(MPI_Get_count(&status, MPI_BYTE, &n_bytes), "MPI_Get_count", rank_);
    if (n_bytes < 0 || static_cast<std::size_t>(n_bytes) > kMostMessageBytes) {
      throw Error(ExitCode::internal, "rank " + std::to_string(status.MPI_SOURCE) +
                                          " sent a message of " + std::to_string(n_bytes) +
                                          " bytes: do all ranks run the same program?");
    }
    auto transfer = std::make_unique<Transfer>(
        Transfer{status.MPI_SOURCE, Message(static_cast<std::size_t>(n_bytes))});
    check_mpi(MPI_Irecv(transfer->message.data(), n_bytes, MPI_BYTE, status.MPI_SOURCE, kMessageTag,
                        MPI_COMM_WORLD, &transfer->request),
              "MPI_Irecv", rank_);
    arriving_.push_back(std::move(transfer));
  }

  int rank_, n_ranks_;
  bool mine_first_ = false;
  std::deque<Message> to_myself_;
  std::map<int, Transfers> sending_;  // by rank
  Transfers arriving_;
};

}  // namespace

std::unique_ptr<MpiChannel> MpiChannel::open(int rank, int n_ranks) {
  return std::make_unique<StarChannel>(rank, n_ranks);
}

}  // namespace tovamill
