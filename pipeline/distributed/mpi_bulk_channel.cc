#include "pipeline/distributed/mpi_bulk_channel.h"

#include <mpi.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "kernels/types/error.h"
#include "pipeline/distributed/mpi_call.h"

namespace tovamill {
namespace {

constexpr std::size_t kFragmentBytes = 4 << 20;
constexpr std::size_t kMostFragments = 4;  // of one message in flight at once
constexpr std::uint64_t kMostBulkBytes = std::uint64_t{1} << 42;

// A message travels as its length (u64), then in fragments: so the receiver knows what will come,
// and none is larger than MPI can count. Requests of a dead rank never complete, or are in error
// (Open MPI 5 over TCP), and so are new ones: its message stays incomplete, and nothing waits for
// it.
class RankBulkChannel : public BulkChannel {
 public:
  explicit RankBulkChannel(const std::vector<int>& peers) {
    for (const int peer : peers) peers_[peer];
  }
  // MPI may still read or write the buffers of what is not complete: they are never freed.
  ~RankBulkChannel() override {
    if (is_busy()) (void)new std::map<int, Peer>(std::move(peers_));
  }

  void send(int to, Message message) override {
    const auto at = peers_.find(to);
    if (at == peers_.end())
      throw Error(ExitCode::internal,
                  "a message goes to rank " + std::to_string(to) + ", which is not connected");
    auto parcel = std::make_unique<Parcel>();
    parcel->n_bytes = message.size();
    parcel->bytes = std::move(message);
    at->second.leaving.push_back(std::move(parcel));
    send_on(to, at->second);
  }

  std::optional<Envelope> receive() override {
    for (auto& [peer, p] : peers_) {
      send_on(peer, p);
      if (arrives(peer, p)) return Envelope{peer, std::move(p.arriving.bytes)};
    }
    return std::nullopt;
  }

  bool is_busy() const override {
    return std::any_of(peers_.begin(), peers_.end(), [](const auto& entry) {
      return !entry.second.leaving.empty() || entry.second.arriving.has_begun;
    });
  }

 private:
  struct Parcel {
    std::uint64_t n_bytes = 0;
    Message bytes;
    bool has_begun = false;     // its length is in flight, or has arrived
    bool is_length_in = false;  // arriving: the length is known
    std::size_t n_asked = 0;    // bytes for which requests were made
    std::deque<MPI_Request> requests;
    bool is_lost = false;  // a request is in error: part of the message will never arrive

    // Drops complete requests; true if none is left.
    bool is_idle() {
      while (!is_lost && !requests.empty()) {
        int flag = 0;
        is_lost = MPI_Test(&requests.front(), &flag, MPI_STATUS_IGNORE) != MPI_SUCCESS;
        if (is_lost || flag == 0) return false;
        requests.pop_front();
      }
      return !is_lost;
    }
    std::span<std::byte> next_fragment() {
      const std::size_t n = std::min(kFragmentBytes, bytes.size() - n_asked);
      n_asked += n;
      return std::span(bytes).subspan(n_asked - n, n);
    }
  };
  struct Peer {
    std::deque<std::unique_ptr<Parcel>> leaving;
    Parcel arriving;
  };

  void send_fragment(int to, Parcel& parcel, const void* from, std::size_t n_bytes) {
    parcel.requests.emplace_back(MPI_REQUEST_NULL);
    parcel.is_lost |= MPI_Isend(from, static_cast<int>(n_bytes), MPI_BYTE, to, kBulkTag,
                                MPI_COMM_WORLD, &parcel.requests.back()) != MPI_SUCCESS;
  }

  void send_on(int to, Peer& p) {
    while (!p.leaving.empty()) {
      Parcel& parcel = *p.leaving.front();
      if (!parcel.has_begun) send_fragment(to, parcel, &parcel.n_bytes, sizeof parcel.n_bytes);
      parcel.has_begun = true;
      const bool is_idle = parcel.is_idle();
      while (parcel.n_asked < parcel.bytes.size() && parcel.requests.size() < kMostFragments) {
        const auto range = parcel.next_fragment();
        send_fragment(to, parcel, range.data(), range.size());
      }
      if (!is_idle || !parcel.requests.empty()) return;
      p.leaving.pop_front();
    }
  }

  void ask_for(int from, Parcel& parcel, void* to, std::size_t n_bytes) {
    parcel.requests.emplace_back(MPI_REQUEST_NULL);
    parcel.is_lost |= MPI_Irecv(to, static_cast<int>(n_bytes), MPI_BYTE, from, kBulkTag,
                                MPI_COMM_WORLD, &parcel.requests.back()) != MPI_SUCCESS;
  }

  // True once a message is complete: then the next one may begin.
  bool arrives(int from, Peer& p) {
    if (!p.arriving.has_begun) {
      int found = 0;
      if (MPI_Iprobe(from, kBulkTag, MPI_COMM_WORLD, &found, MPI_STATUS_IGNORE) != MPI_SUCCESS ||
          found == 0)
        return false;
      p.arriving = {};
      p.arriving.has_begun = true;
      ask_for(from, p.arriving, &p.arriving.n_bytes, sizeof p.arriving.n_bytes);
    }
    Parcel& a = p.arriving;
    bool is_idle = a.is_idle();
    if (is_idle && !a.is_length_in) {
      if (a.n_bytes > kMostBulkBytes)
        throw Error(ExitCode::internal, "rank " + std::to_string(from) +
                                            " announced a message of " + std::to_string(a.n_bytes) +
                                            " bytes");
      a.is_length_in = true;
      a.bytes.resize(a.n_bytes);
    }
    if (!a.is_length_in) return false;
    while (a.n_asked < a.bytes.size() && a.requests.size() < kMostFragments) {
      const auto range = a.next_fragment();
      ask_for(from, a, range.data(), range.size());
      is_idle = false;
    }
    if (!is_idle) return false;
    a.has_begun = false;
    return true;
  }

  std::map<int, Peer> peers_;
};

}  // namespace

std::unique_ptr<BulkChannel> open_mpi_bulk_channel(const std::vector<int>& peers) {
  return std::make_unique<RankBulkChannel>(peers);
}

}  // namespace tovamill
