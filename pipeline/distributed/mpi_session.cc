#include "pipeline/distributed/mpi_session.h"

#include <dlfcn.h>
#include <mpi.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "pipeline/distributed/mpi_bulk_channel.h"
#include "pipeline/distributed/mpi_call.h"
#include "pipeline/distributed/mpi_channel.h"
#include "pipeline/distributed/watchdog.h"

namespace tovamill {
namespace {

constexpr std::size_t kBroadcastBytes = 4 << 20;  // sent at once
constexpr double kDrainSeconds = 2.0;
constexpr double kFinalizeSeconds = 5.0;

// Calls PMIx_Finalize of the library that Open MPI has loaded; another copy has no effect.
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
    // Open MPI 5 ends every rank with a TCP connection to a rank that dies, unless this is set; 4.1
    // ignores it.
    setenv("OMPI_MCA_mpi_ft_enable", "1", 0);
    int provided = 0;
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread",
              0);
    check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler",
              0);
    check_mpi(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler",
              0);
    check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank", 0);
    int n_ranks = 0;
    check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &n_ranks), "MPI_Comm_size", rank_);
    if (provided < MPI_THREAD_FUNNELED)
      throw MpiError("MPI_Init_thread", rank_, "MPI_THREAD_FUNNELED is not provided");
    exchange_facts(n_ranks);
    channel_ = MpiChannel::open(rank_, n_ranks);
  }

  int rank() const override { return rank_; }
  const std::vector<RankInfo>& ranks() const override { return ranks_; }

  // A chain: each member forwards a fragment while it receives the next one, so that the broadcast
  // takes hardly longer than a transfer between two hosts.
  void broadcast(std::span<std::byte> bytes, const std::vector<int>& members) override {
    if (started_) throw Error(ExitCode::internal, "a broadcast after start-up");
    const auto mine = std::find(members.begin(), members.end(), rank_);
    if (mine == members.end()) throw Error(ExitCode::internal, "a broadcast to others");
    const bool receives = mine != members.begin(), sends = mine + 1 != members.end();
    Watchdog watchdog(options_.broadcast_seconds, static_cast<int>(ExitCode::stopped),
                      "tovamill: error: the broadcast of the model stands still (a rank may have "
                      "died): start again");
    MPI_Request sending = MPI_REQUEST_NULL;
    for (std::size_t done = 0; done < bytes.size(); done += kBroadcastBytes) {
      const auto range = bytes.subspan(done, std::min(kBroadcastBytes, bytes.size() - done));
      const int n_bytes = static_cast<int>(range.size());
      if (receives)
        check_mpi(MPI_Recv(range.data(), n_bytes, MPI_BYTE, *(mine - 1), kBroadcastTag,
                           MPI_COMM_WORLD, MPI_STATUS_IGNORE),
                  "MPI_Recv", rank_);
      check_mpi(MPI_Wait(&sending, MPI_STATUS_IGNORE), "MPI_Wait", rank_);
      if (sends)
        check_mpi(MPI_Isend(range.data(), n_bytes, MPI_BYTE, *(mine + 1), kBroadcastTag,
                            MPI_COMM_WORLD, &sending),
                  "MPI_Isend", rank_);
      watchdog.rearm(options_.broadcast_seconds);
    }
    check_mpi(MPI_Wait(&sending, MPI_STATUS_IGNORE), "MPI_Wait", rank_);
  }

  // Pairs connect one after another, in the same order on both sides.
  void connect(const std::vector<int>& members) override {
    if (started_) throw Error(ExitCode::internal, "a connection after start-up");
    Watchdog watchdog(options_.start_seconds, static_cast<int>(ExitCode::stopped),
                      "tovamill: error: ranks that share a model do not find each other (one may "
                      "have died): start again");
    std::vector<int> peers;
    for (const int peer : members) {
      if (peer != rank_) peers.push_back(peer);
    }
    std::sort(peers.begin(), peers.end());
    std::byte word{};
    const auto send_word = [&](int peer) {
      check_mpi(MPI_Send(&word, 1, MPI_BYTE, peer, kConnectTag, MPI_COMM_WORLD), "MPI_Send", rank_);
    };
    const auto receive_word = [&](int peer) {
      check_mpi(MPI_Recv(&word, 1, MPI_BYTE, peer, kConnectTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE),
                "MPI_Recv", rank_);
    };
    for (const int peer : peers) {
      if (rank_ < peer) send_word(peer);
      receive_word(peer);
      if (rank_ > peer) send_word(peer);
    }
    bulk_ = open_mpi_bulk_channel(peers);
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
  // All facts go to rank 0 and back to all ranks. So the pairs that exchange messages connect while
  // the launcher is there, and each pair from one side only: connecting from both sides at once has
  // crashed Open MPI's TCP.
  void exchange_facts(int n_ranks) {
    std::vector<ProcessFacts> all(static_cast<std::size_t>(n_ranks));
    const ProcessFacts mine = facts_of_this_process(options_.gpus);
    const int n_bytes = static_cast<int>(all.size() * sizeof(mine));
    if (rank_ == 0) {
      all[0] = mine;
      for (int peer = 1; peer < n_ranks; ++peer)
        check_mpi(MPI_Recv(&all[static_cast<std::size_t>(peer)], sizeof(mine), MPI_BYTE, peer,
                           kMessageTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE),
                  "MPI_Recv", rank_);
      for (int peer = 1; peer < n_ranks; ++peer)
        check_mpi(MPI_Send(all.data(), n_bytes, MPI_BYTE, peer, kMessageTag, MPI_COMM_WORLD),
                  "MPI_Send", rank_);
    } else {
      check_mpi(MPI_Send(&mine, sizeof(mine), MPI_BYTE, 0, kMessageTag, MPI_COMM_WORLD), "MPI_Send",
                rank_);
      check_mpi(MPI_Recv(all.data(), n_bytes, MPI_BYTE, 0, kMessageTag, MPI_COMM_WORLD,
                         MPI_STATUS_IGNORE),
                "MPI_Recv", rank_);
    }
    ranks_ = place_ranks(all);
  }

  const MpiOptions options_;
  int rank_ = 0;
  std::vector<RankInfo> ranks_;
  std::unique_ptr<MpiChannel> channel_;
  std::unique_ptr<BulkChannel> bulk_;
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
