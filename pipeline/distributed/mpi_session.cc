#include "pipeline/distributed/mpi_session.h"

#include <dlfcn.h>
#include <mpi.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <deque>
#include <map>
#include <utility>

#include "pipeline/distributed/local_channel.h"
#include "pipeline/distributed/watchdog.h"

namespace tovamill {
namespace {

constexpr int kTag = 1;
constexpr int kBroadcastTag = 2;
constexpr int kBulkTag = 3;
constexpr int kIntroductionTag = 4;
constexpr std::size_t kMostOutstanding = 64;      // sends to one rank; what comes beyond is dropped
constexpr std::size_t kBroadcastBytes = 4 << 20;  // a piece of a broadcast
constexpr std::size_t kBulkPieceBytes = 4 << 20;  // of a message of any size
constexpr std::size_t kMostBulkPieces = 4;        // of one message on their way at once
constexpr std::uint64_t kMostBulkBytes = std::uint64_t{1} << 42;
constexpr double kDrainSeconds = 2.0;
constexpr double kFinalizeSeconds = 5.0;

std::string text_of_error(int code) {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  return std::string(text.data(), static_cast<std::size_t>(length));
}

void check(int code, const char* call, int rank) {
  if (code != MPI_SUCCESS) throw MpiError(call, rank, text_of_error(code));
}

// A message on its way; its buffer must stay where it is until the request is complete.
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

class MpiChannel : public Channel {
 public:
  MpiChannel(int rank, int n_ranks) : rank_(rank), n_ranks_(n_ranks) {}

  // MPI may still read or write the buffers of what is not complete: they are never freed.
  ~MpiChannel() override {
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
                               MPI_BYTE, to, kTag, MPI_COMM_WORLD, &transfer->request);
    if (code == MPI_SUCCESS) transfers.push_back(std::move(transfer));
  }

  // By turns from others and from itself first, so that neither waits for ever.
  std::optional<Envelope> receive() override {
    mine_first_ = !mine_first_;
    std::optional<Envelope> envelope = mine_first_ ? from_myself() : from_others();
    if (!envelope) envelope = mine_first_ ? from_others() : from_myself();
    if (envelope) return envelope;
    for (auto& [peer, transfers] : sending_) drop_complete(transfers);
    return std::nullopt;
  }

  // True once all that was sent is with MPI; waits for it no longer than `seconds`.
  bool drain(double seconds) {
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
  // Those in front only: what a dead rank left is not asked about again and again.
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
    check(MPI_Iprobe(MPI_ANY_SOURCE, kTag, MPI_COMM_WORLD, &found, &status), "MPI_Iprobe", rank_);
    if (found == 0) return;
    int n_bytes = 0;
    check(MPI_Get_count(&status, MPI_BYTE, &n_bytes), "MPI_Get_count", rank_);
    if (n_bytes < 0 || static_cast<std::size_t>(n_bytes) > kMostMessageBytes) {
      throw Error(ExitCode::internal, "rank " + std::to_string(status.MPI_SOURCE) +
                                          " sent a message of " + std::to_string(n_bytes) +
                                          " bytes: do all ranks run the same program?");
    }
    auto transfer = std::make_unique<Transfer>(
        Transfer{status.MPI_SOURCE, Message(static_cast<std::size_t>(n_bytes))});
    check(MPI_Irecv(transfer->message.data(), n_bytes, MPI_BYTE, status.MPI_SOURCE, kTag,
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

// A message as its length (u64), then pieces of it: so the receiver knows what will come, and none
// is larger than MPI can count. Requests of a dead rank never complete, or are in error (Open MPI 5
// over TCP), and so are new ones: its message stays incomplete, and nothing waits for it.
class MpiBulkChannel : public BulkChannel {
 public:
  explicit MpiBulkChannel(const std::vector<int>& peers) {
    for (const int peer : peers) peers_[peer];
  }
  // As MpiChannel: buffers of what is not complete are never freed.
  ~MpiBulkChannel() override {
    if (is_busy()) (void)new std::map<int, Peer>(std::move(peers_));
  }

  void send(int to, Message message) override {
    const auto at = peers_.find(to);
    if (at == peers_.end())
      throw Error(ExitCode::internal,
                  "a message goes to rank " + std::to_string(to) + ", which was not introduced");
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
    bool has_begun = false;     // its length is on its way, or has come
    bool is_length_in = false;  // arriving: the length is there
    std::size_t n_asked = 0;    // bytes for which requests were made
    std::deque<MPI_Request> requests;
    bool is_lost = false;  // a request is in error: part of the message will never come

    // Drops what is complete; true where nothing is left.
    bool is_idle() {
      while (!is_lost && !requests.empty()) {
        int flag = 0;
        is_lost = MPI_Test(&requests.front(), &flag, MPI_STATUS_IGNORE) != MPI_SUCCESS;
        if (is_lost || flag == 0) return false;
        requests.pop_front();
      }
      return !is_lost;
    }
    std::span<std::byte> next_piece() {
      const std::size_t n = std::min(kBulkPieceBytes, bytes.size() - n_asked);
      n_asked += n;
      return std::span(bytes).subspan(n_asked - n, n);
    }
  };
  struct Peer {
    std::deque<std::unique_ptr<Parcel>> leaving;
    Parcel arriving;
  };

  void send_piece(int to, Parcel& parcel, const void* from, std::size_t n_bytes) {
    parcel.requests.emplace_back(MPI_REQUEST_NULL);
    parcel.is_lost |= MPI_Isend(from, static_cast<int>(n_bytes), MPI_BYTE, to, kBulkTag,
                                MPI_COMM_WORLD, &parcel.requests.back()) != MPI_SUCCESS;
  }

  void send_on(int to, Peer& p) {
    while (!p.leaving.empty()) {
      Parcel& parcel = *p.leaving.front();
      if (!parcel.has_begun) send_piece(to, parcel, &parcel.n_bytes, sizeof parcel.n_bytes);
      parcel.has_begun = true;
      const bool is_idle = parcel.is_idle();
      while (parcel.n_asked < parcel.bytes.size() && parcel.requests.size() < kMostBulkPieces) {
        const auto range = parcel.next_piece();
        send_piece(to, parcel, range.data(), range.size());
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
    while (a.n_asked < a.bytes.size() && a.requests.size() < kMostBulkPieces) {
      const auto range = a.next_piece();
      ask_for(from, a, range.data(), range.size());
      is_idle = false;
    }
    if (!is_idle) return false;
    a.has_begun = false;
    return true;
  }

  std::map<int, Peer> peers_;
};

// Leaves the PMIx library that Open MPI itself has loaded; no other will do.
void leave_pmix(int rank) {
  using Finalize = int (*)(const void*, std::size_t);
  void* library = dlopen("libpmix.so.2", RTLD_NOW | RTLD_NOLOAD);
  void* symbol = library == nullptr ? nullptr : dlsym(library, "PMIx_Finalize");
  if (symbol == nullptr) {
    throw MpiError("PMIx_Finalize", rank,
                   "this Open MPI has no PMIx library of its own: unset TOVAMILL_DETACH_PMIX");
  }
  const int code = reinterpret_cast<Finalize>(symbol)(nullptr, 0);
  if (code != 0) throw MpiError("PMIx_Finalize", rank, "code " + std::to_string(code));
}

class Session : public MpiSession {
 public:
  explicit Session(const MpiOptions& options) : options_(options) {
    Watchdog watchdog(options.start_seconds, static_cast<int>(ExitCode::stopped),
                      "tovamill: error: MPI did not start within " +
                          std::to_string(static_cast<int>(options.start_seconds)) +
                          " s (a rank may have died, or a host cannot be reached): start again");
    // Open MPI 5 ends every rank that has a TCP connection to one that dies, unless told so; 4.1
    // does not know the word.
    setenv("OMPI_MCA_mpi_ft_enable", "1", 0);
    int provided = 0;
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread", 0);
    check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler", 0);
    check(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler", 0);
    check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank", 0);
    int n_ranks = 0;
    check(MPI_Comm_size(MPI_COMM_WORLD, &n_ranks), "MPI_Comm_size", rank_);
    if (provided < MPI_THREAD_FUNNELED)
      throw MpiError("MPI_Init_thread", rank_, "MPI_THREAD_FUNNELED is not provided");
    exchange_facts(n_ranks);
    channel_ = std::make_unique<MpiChannel>(rank_, n_ranks);
  }

  int rank() const override { return rank_; }
  const std::vector<RankInfo>& ranks() const override { return ranks_; }

  // A chain: each member hands a piece on while the next one comes, so that all of it takes hardly
  // longer than from one host to another.
  void broadcast(std::span<std::byte> bytes, const std::vector<int>& members) override {
    if (started_) throw Error(ExitCode::internal, "a broadcast after start-up");
    const auto mine = std::find(members.begin(), members.end(), rank_);
    if (mine == members.end()) throw Error(ExitCode::internal, "a broadcast to others");
    const bool receives = mine != members.begin(), sends = mine + 1 != members.end();
    Watchdog watchdog(options_.broadcast_seconds, static_cast<int>(ExitCode::stopped),
                      "tovamill: error: the broadcast of the model does not get on (a rank may "
                      "have died): start again");
    MPI_Request sending = MPI_REQUEST_NULL;
    for (std::size_t done = 0; done < bytes.size(); done += kBroadcastBytes) {
      const auto range = bytes.subspan(done, std::min(kBroadcastBytes, bytes.size() - done));
      const int n_bytes = static_cast<int>(range.size());
      if (receives)
        check(MPI_Recv(range.data(), n_bytes, MPI_BYTE, *(mine - 1), kBroadcastTag, MPI_COMM_WORLD,
                       MPI_STATUS_IGNORE),
              "MPI_Recv", rank_);
      check(MPI_Wait(&sending, MPI_STATUS_IGNORE), "MPI_Wait", rank_);
      if (sends)
        check(MPI_Isend(range.data(), n_bytes, MPI_BYTE, *(mine + 1), kBroadcastTag, MPI_COMM_WORLD,
                        &sending),
              "MPI_Isend", rank_);
      watchdog.rearm(options_.broadcast_seconds);
    }
    check(MPI_Wait(&sending, MPI_STATUS_IGNORE), "MPI_Wait", rank_);
  }

  // Each pair in turn, the same on both sides.
  void introduce(const std::vector<int>& members) override {
    if (started_) throw Error(ExitCode::internal, "an introduction after start-up");
    Watchdog watchdog(options_.start_seconds, static_cast<int>(ExitCode::stopped),
                      "tovamill: error: ranks that share a model do not find each other (one may "
                      "have died): start again");
    std::vector<int> peers;
    for (const int peer : members) {
      if (peer != rank_) peers.push_back(peer);
    }
    std::sort(peers.begin(), peers.end());
    std::byte word{};
    const auto speak = [&](int peer) {
      check(MPI_Send(&word, 1, MPI_BYTE, peer, kIntroductionTag, MPI_COMM_WORLD), "MPI_Send",
            rank_);
    };
    const auto listen = [&](int peer) {
      check(MPI_Recv(&word, 1, MPI_BYTE, peer, kIntroductionTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE),
            "MPI_Recv", rank_);
    };
    for (const int peer : peers) {
      if (rank_ < peer) speak(peer);
      listen(peer);
      if (rank_ > peer) speak(peer);
    }
    bulk_ = std::make_unique<MpiBulkChannel>(peers);
  }

  void end_start_up() override {
    if (!started_ && options_.detach_pmix) leave_pmix(rank_);
    started_ = true;
  }

  Channel& channel() override {
    if (!started_) throw Error(ExitCode::internal, "messages before the end of start-up");
    return *channel_;
  }

  BulkChannel* bulk_channel() override {
    if (!started_) throw Error(ExitCode::internal, "messages before the end of start-up");
    return bulk_.get();
  }

  bool end(bool all_alive, int exit_code) override {
    if (bulk_ && bulk_->is_busy()) return false;
    if (!all_alive || !channel_->drain(kDrainSeconds) || options_.detach_pmix) return false;
    const Watchdog watchdog(kFinalizeSeconds, exit_code, "");
    return MPI_Finalize() == MPI_SUCCESS;
  }

 private:
  // All facts go to rank 0 and back to all. So the pairs that will talk connect while the launcher
  // is still there to introduce them, and each pair from one side only: connecting from both at
  // once has crashed Open MPI's TCP.
  void exchange_facts(int n_ranks) {
    std::vector<ProcessFacts> all(static_cast<std::size_t>(n_ranks));
    const ProcessFacts mine = facts_of_this_process(options_.gpus);
    const int n_bytes = static_cast<int>(all.size() * sizeof(mine));
    if (rank_ == 0) {
      all[0] = mine;
      for (int peer = 1; peer < n_ranks; ++peer)
        check(MPI_Recv(&all[static_cast<std::size_t>(peer)], sizeof(mine), MPI_BYTE, peer, kTag,
                       MPI_COMM_WORLD, MPI_STATUS_IGNORE),
              "MPI_Recv", rank_);
      for (int peer = 1; peer < n_ranks; ++peer)
        check(MPI_Send(all.data(), n_bytes, MPI_BYTE, peer, kTag, MPI_COMM_WORLD), "MPI_Send",
              rank_);
    } else {
      check(MPI_Send(&mine, sizeof(mine), MPI_BYTE, 0, kTag, MPI_COMM_WORLD), "MPI_Send", rank_);
      check(MPI_Recv(all.data(), n_bytes, MPI_BYTE, 0, kTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE),
            "MPI_Recv", rank_);
    }
    ranks_ = place_ranks(all);
  }

  const MpiOptions options_;
  int rank_ = 0;
  std::vector<RankInfo> ranks_;
  std::unique_ptr<MpiChannel> channel_;
  std::unique_ptr<MpiBulkChannel> bulk_;
  bool started_ = false;
};

}  // namespace

std::unique_ptr<MpiSession> MpiSession::start(const MpiOptions& options) {
  return std::make_unique<Session>(options);
}

std::string mpi_library_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  if (MPI_Get_library_version(text.data(), &length) != MPI_SUCCESS) return "unknown";
  // "Open MPI v4.1.4, package: Debian Open MPI, ident: ..., date"
  std::string name(text.data(), static_cast<std::size_t>(length));
  name.resize(std::min(name.find_first_of(",\n"), name.size()));
  if (const std::size_t v = name.find(" v"); v != std::string::npos) name.erase(v + 1, 1);
  return name;
}

}  // namespace tovamill
