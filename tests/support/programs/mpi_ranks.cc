// One rank of the tests of MPI, started by mpirun or srun: mpi_ranks SCENARIO. Each rank that sees
// what it should prints "rank R of N: ok" and exits 0; what it misses is a line on standard error
// and exit code 1.
//   exchange    every rank with rank 0: broadcasts, ping-pong, bursts; MPI is ended
//   death       the last rank kills itself while the others exchange; they go on and exit
//   late        the last rank ends before MPI_Init; the others give up after 3 s
// The launcher is checked first, as the program does it.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "jobs/command_line/launcher.h"
#include "pipeline/distributed/mpi_session.h"
#include "pipeline/distributed/process_watch.h"

namespace tovamill {
namespace {

constexpr int kPings = 500, kBursts = 200, kBurst = 50;
constexpr std::uint32_t kEnd = 12345;
constexpr int kLastWords = 100;  // messages after which the rank that dies does so

void expect(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error("not so: " + what);
}

// (number, filler of a length that depends on the number): 4 bytes to the longest allowed.
Message message_of(std::uint32_t number) {
  Message message(4 + number * 37 % (kMostMessageBytes - 3), std::byte(number & 0xff));
  std::memcpy(message.data(), &number, sizeof(number));
  return message;
}

std::uint32_t number_of(const Message& message) {
  std::uint32_t number = 0;
  expect(message.size() >= sizeof(number), "a message holds a number");
  std::memcpy(&number, message.data(), sizeof(number));
  expect(message == message_of(number), "a message holds its filler");
  return number;
}

Envelope next_message(Channel& channel) {
  for (int n_empty = 0;; ++n_empty) {
    if (auto envelope = channel.receive()) return std::move(*envelope);
    if (n_empty > 100) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

void expect_next(Channel& channel, int from, std::uint32_t number) {
  const Envelope envelope = next_message(channel);
  expect(envelope.from == from, "the message is from rank " + std::to_string(from));
  expect(number_of(envelope.message) == number, "message " + std::to_string(number) + " is next");
}

void test_broadcasts(MpiSession& session) {
  std::vector<int> all;
  for (const RankInfo& rank : session.ranks()) all.push_back(rank.rank);
  const std::vector<int> pair{0, session.n_ranks() - 1};
  for (const std::vector<int>& members : {all, pair, all}) {
    if (std::set<int>(members.begin(), members.end()).size() < members.size()) continue;
    if (session.rank() != members.front() && session.rank() != members.back() &&
        members.size() == 2)
      continue;
    std::vector<std::byte> sent(20'000'003), bytes(sent.size());
    for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = std::byte(i * 2654435761u >> 24);
    if (session.rank() == 0) bytes = sent;
    session.broadcast(bytes, members);
    expect(bytes == sent, "a broadcast brings what was sent");
  }
}

void test_ranks(const MpiSession& session) {
  const RankInfo& self = session.self();
  expect(self.rank == session.rank() && self.pid == getpid(), "a rank knows itself");
  int n_local = 0, local_rank = 0;
  std::set<std::uint64_t> hosts;
  std::set<int> pids;
  for (const RankInfo& rank : session.ranks()) {
    hosts.insert(rank.host_identity);
    if (rank.host_identity != self.host_identity) continue;
    n_local += 1;
    local_rank += rank.rank < self.rank;
    expect(pids.insert(rank.pid).second, "no two ranks of a host have one pid");
    expect(kill(rank.pid, 0) == 0, "the pid of a rank of this host is one");
  }
  expect(self.n_local == n_local && self.local_rank == local_rank, "local ranks are counted");
  expect(self.n_hosts == static_cast<int>(hosts.size()), "hosts are counted");
  expect(self.n_cores >= 1 && self.n_host_cores >= self.n_cores, "cores are counted");
  expect(!self.host.empty(), "the host has a name");
}

// Rank 0 with one rank at a time: each number comes back; then bursts, each answered by its end.
void serve(Channel& channel, int peer) {
  for (std::uint32_t i = 0; i < kPings; ++i) {
    channel.send(peer, message_of(i));
    expect_next(channel, peer, i);
  }
  for (std::uint32_t burst = 0; burst < kBursts; ++burst) {
    for (std::uint32_t i = 0; i < kBurst; ++i) expect_next(channel, peer, burst * kBurst + i);
    channel.send(peer, message_of(burst));
  }
}

void answer(Channel& channel) {
  for (std::uint32_t i = 0; i < kPings; ++i) {
    expect_next(channel, 0, i);
    channel.send(0, message_of(i));
  }
  for (std::uint32_t burst = 0; burst < kBursts; ++burst) {
    for (std::uint32_t i = 0; i < kBurst; ++i) channel.send(0, message_of(burst * kBurst + i));
    expect_next(channel, 0, burst);
  }
}

// (size, number, filler): from nothing to several pieces.
Message bulk_message(std::size_t number) {
  constexpr std::size_t kSizes[] = {0, 1, 3000, 70'001, 4 << 20, 13'000'007};
  Message message(kSizes[number % std::size(kSizes)]);
  for (std::size_t i = 0; i < message.size(); ++i)
    message[i] = std::byte((i + number) * 2654435761u >> 24);
  return message;
}

// Each rank sends all of its messages to every other at once; each pair's come in their order.
void test_bulk(BulkChannel& channel, int rank, int n_ranks) {
  constexpr std::size_t kMessages = 12;
  for (int peer = 0; peer < n_ranks; ++peer) {
    for (std::size_t i = 0; peer != rank && i < kMessages; ++i) channel.send(peer, bulk_message(i));
  }
  std::vector<std::size_t> n_from(static_cast<std::size_t>(n_ranks), 0);
  std::size_t n_left = kMessages * static_cast<std::size_t>(n_ranks - 1);
  while (n_left > 0 || channel.is_busy()) {
    const std::optional<Envelope> e = channel.receive();
    if (!e) continue;
    --n_left;
    expect(e->message == bulk_message(n_from.at(static_cast<std::size_t>(e->from))++),
           "the next message of its rank has arrived");
  }
}

bool exchange(MpiSession& session) {
  test_ranks(session);
  test_broadcasts(session);
  std::vector<int> all;
  for (const RankInfo& rank : session.ranks()) all.push_back(rank.rank);
  session.connect(all);
  session.end_start_up();
  test_bulk(*session.bulk_channel(), session.rank(), session.n_ranks());
  Channel& channel = session.channel();
  channel.send(channel.rank(), message_of(7));
  expect_next(channel, channel.rank(), 7);
  if (channel.rank() == 0) {
    for (int peer = 1; peer < channel.n_ranks(); ++peer) serve(channel, peer);
    for (int peer = 1; peer < channel.n_ranks(); ++peer) channel.send(peer, message_of(kEnd));
  } else {
    answer(channel);
    expect_next(channel, 0, kEnd);  // MPI is ended by all at once
  }
  return session.end(true, 1);
}

// Every rank answers each number until 0 is sent; the last one dies on the way.
void answer_or_die(Channel& channel) {
  const bool dies = channel.rank() == channel.n_ranks() - 1;
  for (int n = 0;; ++n) {
    if (dies && n == kLastWords) raise(SIGKILL);
    const std::uint32_t number = number_of(next_message(channel).message);
    if (number == 0) return;
    channel.send(0, message_of(number));
  }
}

void outlive(const MpiSession& session, Channel& channel) {
  ProcessWatch watch;
  const int doomed = channel.n_ranks() - 1;
  for (const RankInfo& rank : session.ranks()) {
    if (rank.host_identity == session.self().host_identity) watch.watch(rank.rank, rank.pid);
  }
  const bool same_host = session.ranks().back().host_identity == session.self().host_identity;
  std::vector<int> ended;
  // Well beyond the death, the dead rank is sent to as well: nothing blocks, nobody else suffers.
  for (std::uint32_t i = 1; i <= 4 * kLastWords || (same_host && ended.empty()); ++i) {
    for (int peer = 1; peer <= doomed; ++peer) channel.send(peer, message_of(i));
    std::set<int> answered;
    while (static_cast<int>(answered.size()) < doomed - 1) {
      const Envelope envelope = next_message(channel);
      if (envelope.from == doomed) continue;
      expect(number_of(envelope.message) == i, "the answer fits");
      answered.insert(envelope.from);
    }
    for (const int rank : watch.ended()) ended.push_back(rank);
  }
  if (same_host) expect(ended == std::vector<int>{doomed}, "the dead rank is found");
  for (int peer = 1; peer < doomed; ++peer) channel.send(peer, message_of(0));
  for (int i = 0; i < 1000; ++i) channel.receive();  // lets the last messages go
}

bool death(MpiSession& session) {
  session.end_start_up();
  if (session.rank() == 0) {
    outlive(session, session.channel());
  } else {
    answer_or_die(session.channel());
  }
  return session.end(false, 1);
}

int run(const std::vector<std::string>& arguments) {
  const std::string scenario = arguments.front();
  if (arguments.back() == "--print-config") return 0;  // as jobs/launch.sh asks: no run directory
  const Launcher launcher = find_launcher(process_environment());
  try {
    check_launch(launcher);
  } catch (const Error& error) {
    if (may_print(launcher)) std::cerr << "tovamill: error: " << error.what() << "\n";
    return static_cast<int>(error.code());
  }
  if (scenario == "late" && launcher.rank == launcher.n_tasks - 1) return 0;
  const auto session = MpiSession::start(
      {.start_seconds = scenario == "late" ? 3.0 : 60.0, .detach_pmix = launcher.detach_pmix});
  check_ranks(launcher, session->n_ranks());
  const bool ended = scenario == "death" ? death(*session) : exchange(*session);
  std::cout << "rank " + std::to_string(session->rank()) + " of " +
                   std::to_string(session->n_ranks()) + ": ok\n"
            << std::flush;
  if (!ended) _exit(0);
  return 0;
}

}  // namespace
}  // namespace tovamill

int main(int argc, char** argv) {
  try {
    if (argc < 2) throw std::runtime_error("no scenario given");
    return tovamill::run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    _exit(1);  // MPI_Finalize would wait for the others
  }
}
