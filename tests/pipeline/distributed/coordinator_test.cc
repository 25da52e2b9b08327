// The protocol and the schedule, played through thousands of random histories: whatever is lost,
// late, doubled, frozen or killed, every document is done exactly once in the end.
#include "pipeline/distributed/coordinator.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/row_step.h"
#include "tests/support/runs/fake_cluster.h"

namespace tovamill {
namespace {

using testing::fake_corpus;
using testing::FakeCluster;
using testing::FakeFile;
using testing::FakeOptions;

FakeOptions small_leases() {
  FakeOptions o;
  o.coordinator.silence_s = 5.0;
  o.coordinator.schedule.least_bytes = 200;
  o.coordinator.schedule.most_bytes = 5000;
  return o;
}

CoordinatorOptions on_hosts(int first_worker, std::vector<std::uint64_t> hosts) {
  CoordinatorOptions o;
  o.first_worker = first_worker;
  o.hosts = std::move(hosts);
  return o;
}

// Every document that does not kill is done and never quarantined; every one that kills is
// quarantined and never done.
void expect_all_accounted(const FakeCluster& cluster, std::uint64_t seed) {
  for (std::uint32_t f = 0; f < cluster.files().size(); ++f) {
    for (const auto& d : cluster.files()[f].documents) {
      const bool kills = d.kills != 0;
      ASSERT_EQ(cluster.n_done(f, d.offset) > 0, !kills)
          << "seed " << seed << ", file " << f << ", offset " << d.offset;
      ASSERT_EQ(cluster.n_quarantined(f, d.offset) > 0, kills)
          << "seed " << seed << ", file " << f << ", offset " << d.offset;
    }
  }
}

TEST(Coordinator, UndisturbedEveryDocumentIsDoneOnceAndNobodyWaitsLong) {
  for (std::uint64_t seed = 1; seed <= 300; seed += testing::row_step(11)) {
    FakeOptions o = small_leases();
    o.n_workers = 1 + static_cast<int>(seed % 7);
    o.dedicated = seed % 3 == 0;
    FakeCluster cluster(fake_corpus(seed, 150), o, seed);
    ASSERT_EQ(cluster.launch(), RunOutcome::complete) << "seed " << seed;
    double longest = 0.0;
    for (std::uint32_t f = 0; f < cluster.files().size(); ++f) {
      const FakeFile& file = cluster.files()[f];
      double whole = 0.0;
      for (const auto& d : file.documents) {
        ASSERT_EQ(cluster.n_done(f, d.offset), 1) << "seed " << seed;
        const double bytes = static_cast<double>(d.n_bytes);
        whole = !file.file.format.is_compressed() ? std::max(whole, bytes) : whole + bytes;
      }
      longest = std::max(longest, whole);
    }
    // What one worker may hold at the end: the longest thing that cannot be divided, and small
    // leases for its other streams.
    const double indivisible = longest / o.bytes_per_second * static_cast<double>(o.n_streams);
    EXPECT_LE(cluster.longest_idle_s(), indivisible + 3.0) << "seed " << seed;
  }
}

TEST(Coordinator, LostLateAndDoubledMessagesChangeNothing) {
  for (std::uint64_t seed = 1; seed <= 500; seed += testing::row_step(19)) {
    FakeOptions o = small_leases();
    o.coordinator.silence_s = 60.0;  // nobody is taken for dead
    o.n_workers = 1 + static_cast<int>(seed % 6);
    o.most_delay_s = static_cast<double>(seed % 5) * 0.3;
    o.drop = 0.3;
    o.twice = 0.3;
    FakeCluster cluster(fake_corpus(seed, 100), o, seed);
    ASSERT_EQ(cluster.launch(), RunOutcome::complete) << "seed " << seed;
    for (std::uint32_t f = 0; f < cluster.files().size(); ++f) {
      for (const auto& d : cluster.files()[f].documents)
        ASSERT_EQ(cluster.n_done(f, d.offset), 1) << "seed " << seed;
    }
  }
}

TEST(Coordinator, DeathsOfWorkersCostNoDocument) {
  for (std::uint64_t seed = 1; seed <= 1000; seed += testing::row_step(19)) {
    FakeOptions o = small_leases();
    o.n_workers = 2 + static_cast<int>(seed % 5);
    o.dedicated = seed % 4 == 0;
    o.kill = 0.05;
    o.freeze = seed % 2 == 0 ? 0.05 : 0.0;
    o.drop = 0.05;
    o.twice = 0.05;
    o.sees_processes = seed % 3 != 0;
    FakeCluster cluster(fake_corpus(seed, 120), o, seed);
    ASSERT_TRUE(cluster.run_to_completion(40)) << "seed " << seed;
    expect_all_accounted(cluster, seed);
  }
}

// Workers behind the first of a group do no harm: they ask, and are given nothing.
TEST(Coordinator, RanksThatShareAModelLiveAndDieTogether) {
  for (std::uint64_t seed = 1; seed <= 300; seed += testing::row_step(11)) {
    FakeOptions o = small_leases();
    o.coordinator.n_stages = 2 + static_cast<int>(seed % 2);
    o.n_workers = o.coordinator.n_stages * (1 + static_cast<int>(seed % 3));
    o.dedicated = seed % 4 == 0;
    o.kill = seed % 5 == 0 ? 0.0 : 0.05;
    o.drop = 0.05;
    o.sees_processes = seed % 3 != 0;
    FakeCluster cluster(fake_corpus(seed, 120), o, seed);
    ASSERT_TRUE(cluster.run_to_completion(40)) << "seed " << seed;
    expect_all_accounted(cluster, seed);
    if (o.kill > 0.0) continue;
    const auto has_worked = [](const testing::FakeJournal& j) { return !j.begun.empty(); };
    EXPECT_LE(std::ranges::count_if(cluster.journals(), has_worked),
              o.n_workers / o.coordinator.n_stages)
        << "seed " << seed;
  }
}

TEST(Coordinator, DeathsOfTheCoordinatorCostALaunch) {
  for (std::uint64_t seed = 1; seed <= 1000; seed += testing::row_step(19)) {
    FakeOptions o = small_leases();
    o.n_workers = 1 + static_cast<int>(seed % 6);
    o.kill = 0.02;
    o.kill_coordinator = 0.1;
    o.freeze = 0.02;
    o.drop = 0.05;
    FakeCluster cluster(fake_corpus(seed, 120), o, seed);
    ASSERT_TRUE(cluster.run_to_completion(40)) << "seed " << seed;
    expect_all_accounted(cluster, seed);
  }
}

TEST(Coordinator, DocumentsThatKillAreSetAsideAndNoOthers) {
  for (std::uint64_t seed = 1; seed <= 300; seed += testing::row_step(11)) {
    FakeOptions o = small_leases();
    o.n_workers = 2 + static_cast<int>(seed % 5);
    o.dedicated = seed % 2 == 0;
    FakeCluster cluster(fake_corpus(seed, 60, 0.03), o, seed);
    ASSERT_TRUE(cluster.run_to_completion(400)) << "seed " << seed;
    expect_all_accounted(cluster, seed);
  }
}

TEST(Coordinator, AStopEndsTheRunAndTheNextCompletesIt) {
  // `stop_requested` is a worker's own signal; here the coordinator's.
  class Quiet final : public Channel {
   public:
    int rank() const override { return 0; }
    int n_ranks() const override { return 2; }
    void send(int to, Message m) override {
      if (to == 1 && kind_of(m) == MessageKind::heartbeat) last = decode_heartbeat(m);
    }
    std::optional<Envelope> receive() override { return std::nullopt; }
    Heartbeat last;
  } channel;
  Coordinator c(
      on_hosts(1, {1, 2}), channel, [](int, std::vector<FileRange>) {}, 0.0);
  CorpusFile file{.path = "/a.txt", .n_bytes = 100};
  c.begin({.files = {file},
           .extents = {extent_of(file)},
           .ranges = {{0, 0, kToTheEnd}},
           .suspects = {},
           .launch = 1,
           .fingerprint = "",
           .earlier = {}},
          0.0);
  Report r;
  r.number = 1;
  r.phase = WorkerPhase::working;
  r.stop_requested = true;
  c.receive({1, encode(r)}, 0.1);
  c.tick(0.2);
  EXPECT_EQ(channel.last.order, RunOrder::stop);
  EXPECT_EQ(c.outcome(), RunOutcome::stopped);
  EXPECT_FALSE(c.everybody_left());
  r.number = 2;
  r.phase = WorkerPhase::left;
  c.receive({1, encode(r)}, 0.3);
  EXPECT_TRUE(c.everybody_left());
  EXPECT_EQ(c.n_alive(), 0);
}

TEST(Coordinator, TroubleThatIsFatalEndsTheRunWithItsCode) {
  FakeOptions o = small_leases();
  class Quiet final : public Channel {
   public:
    int rank() const override { return 0; }
    int n_ranks() const override { return 3; }
    void send(int, Message) override {}
    std::optional<Envelope> receive() override { return std::nullopt; }
  } channel;
  Coordinator c(
      on_hosts(1, {1, 2, 3}), channel, [](int, std::vector<FileRange>) {}, 0.0);
  c.receive({1, encode(WorkerFailure{74, true, "disk full"})}, 0.1);
  EXPECT_EQ(c.outcome(), RunOutcome::failed);
  EXPECT_EQ(c.exit_code(), 74);
  EXPECT_NE(c.failure().find("disk full"), std::string::npos);
  EXPECT_NE(c.failure().find("rank 1"), std::string::npos);
}

TEST(Coordinator, OtherNumbersAreRefused) {
  class Quiet final : public Channel {
   public:
    int rank() const override { return 0; }
    int n_ranks() const override { return 2; }
    void send(int, Message) override {}
    std::optional<Envelope> receive() override { return std::nullopt; }
  } channel;
  Coordinator c(
      on_hosts(0, {1, 2}), channel, [](int, std::vector<FileRange>) {}, 0.0);
  CorpusFile file{.path = "/a.txt", .n_bytes = 100};
  c.receive({0, encode(Registration{
                    .host = "a", .device = "", .fingerprint = "x", .differences = "f32"})},
            0.0);
  c.begin({.files = {file},
           .extents = {extent_of(file)},
           .ranges = {{0, 0, kToTheEnd}},
           .suspects = {},
           .launch = 1,
           .fingerprint = "x",
           .earlier = {}},
          0.1);
  EXPECT_EQ(c.outcome(), RunOutcome::running);
  c.receive({1, encode(Registration{
                    .host = "b", .device = "", .fingerprint = "y", .differences = "bf16"})},
            0.2);
  EXPECT_EQ(c.outcome(), RunOutcome::failed);
  EXPECT_EQ(c.exit_code(), 78);
  EXPECT_NE(c.failure().find("bf16"), std::string::npos);
}

// A launcher may end everything at the first rank that leaves early.
TEST(Coordinator, WhoEndsTheRunStaysToTheEnd) {
  class Last final : public Channel {
   public:
    int rank() const override { return 0; }
    int n_ranks() const override { return 2; }
    void send(int to, Message m) override {
      if (to == 1) last = decode_heartbeat(m);
    }
    std::optional<Envelope> receive() override { return std::nullopt; }
    Heartbeat last;
  } channel;
  Coordinator c(
      on_hosts(1, {1, 2}), channel, [](int, std::vector<FileRange>) {}, 0.0);
  c.receive({1, encode(WorkerFailure{65, true, "a bad record"})}, 0.1);
  c.tick(0.2);
  EXPECT_EQ(channel.last.order, RunOrder::stop);
  EXPECT_TRUE(c.everybody_left());
  c.end();
  c.tick(0.3);
  EXPECT_EQ(channel.last.order, RunOrder::end);
  EXPECT_TRUE(channel.last.all_alive);
  EXPECT_EQ(c.exit_code(), 65);
}

class Deaf final : public Channel {
 public:
  explicit Deaf(int n_ranks) : n_ranks_(n_ranks) {}
  int rank() const override { return 0; }
  int n_ranks() const override { return n_ranks_; }
  void send(int, Message) override {}
  std::optional<Envelope> receive() override { return std::nullopt; }

 private:
  int n_ranks_;
};

// A text has its offset behind a byte order mark, and its reader starts at 0 only.
TEST(Coordinator, ATextWithAByteOrderMarkThatKillsIsSetAside) {
  Deaf channel(1);
  Coordinator c(
      on_hosts(0, {1}), channel, [](int, std::vector<FileRange>) {}, 0.0);
  CorpusFile file{.path = "/a.txt", .n_bytes = 100};
  c.begin({.files = {file},
           .extents = {extent_of(file)},
           .ranges = {{0, 0, kToTheEnd}},
           .suspects = {{.file = 0, .offset = 3, .n_crashes = 2}},
           .launch = 1,
           .fingerprint = "",
           .earlier = {}},
          0.0);
  c.receive(
      {0, encode(Registration{.host = "a", .device = "", .fingerprint = "", .differences = ""})},
      0.1);
  Report r;
  r.number = 1;
  r.phase = WorkerPhase::working;
  r.wants = Wants::now;
  r.journal_is_open = true;
  c.receive({0, encode(r)}, 0.2);
  const auto& outstanding = c.workers()[0].outstanding;
  ASSERT_EQ(outstanding.size(), 1u);
  EXPECT_EQ(outstanding.begin()->second.lease.mode, LeaseMode::quarantined);
  EXPECT_EQ(outstanding.begin()->second.ranges.front().begin, 0u);
}

// Whoever was stopped himself (Ctrl-Z, scontrol suspend) has heard of nobody meanwhile.
TEST(Coordinator, AStandstillOfItsOwnIsNobodysSilence) {
  Deaf channel(2);
  Coordinator c(
      on_hosts(0, {1, 2}), channel, [](int, std::vector<FileRange>) {}, 0.0);
  c.tick(0.1);
  c.tick(100.0);
  EXPECT_EQ(c.n_alive(), 2);
  for (double now = 100.0; now < 125.0; now += 1.0) c.tick(now);
  EXPECT_EQ(c.n_alive(), 0);
}

// Nobody waits for the next second's report or heartbeat when the run starts.
TEST(Coordinator, KnowsAReadyWorkerAndHandsOnWeightsAtOnce) {
  class Network final : public Channel {
   public:
    int rank() const override { return 0; }
    int n_ranks() const override { return 2; }
    void send(int to, Message m) override {
      if (is_for_coordinator(kind_of(m)))
        reports.push_back(std::move(m));
      else if (kind_of(m) == MessageKind::heartbeat)
        heartbeats[static_cast<std::size_t>(to)] = decode_heartbeat(m);
    }
    std::optional<Envelope> receive() override { return std::nullopt; }
    std::vector<Message> reports;
    Heartbeat heartbeats[2];
  } network;
  Coordinator c(
      on_hosts(0, {1, 1}), network, [](int, std::vector<FileRange>) {}, 0.0);
  c.tick(0.0);
  WorkerLink link(network, 0, 20.0, 0.0);
  link.tick(0.0);
  network.reports.clear();
  link.register_worker({.host = "a", .device = "", .fingerprint = "x", .differences = ""});
  WorkerSituation s;
  s.weights = WeightsPlace{.pid = 7, .fd = 3, .n_bytes = 1, .identity = 2};
  link.update(s);
  link.tick(0.02);
  ASSERT_EQ(network.reports.size(), 2u);  // registration and report
  EXPECT_EQ(network.heartbeats[1].weights, WeightsOrder::wait);
  for (const Message& m : network.reports) c.receive({0, m}, 0.03);
  c.tick(0.04);
  EXPECT_TRUE(network.heartbeats[0].is_known);
  EXPECT_EQ(network.heartbeats[1].weights, WeightsOrder::map_packed);
  EXPECT_EQ(network.heartbeats[1].weights_place, *s.weights);
}

TEST(Coordinator, TheFirstToBeReadyLeavesWorkForThoseWhoStillLoad) {
  class Network final : public Channel {
   public:
    int rank() const override { return 0; }
    int n_ranks() const override { return 3; }
    void send(int, Message m) override {
      if (kind_of(m) == MessageKind::lease) ++n_leases;
    }
    std::optional<Envelope> receive() override { return std::nullopt; }
    std::uint64_t n_leases = 0;
  } network;
  CoordinatorOptions o = on_hosts(0, {1, 1, 1});
  const std::uint64_t n_bytes = o.schedule.least_bytes;
  Coordinator c(
      o, network, [](int, std::vector<FileRange>) {}, 0.0);
  RunWork work;
  for (std::uint32_t f = 0; f < 6; ++f) {
    work.files.push_back({.path = "/" + std::to_string(f), .n_bytes = n_bytes});
    work.extents.push_back(extent_of(work.files.back()));
    work.ranges.push_back({.file = f, .begin = 0});
  }
  c.begin(std::move(work), 0.0);
  const auto hunger_of_rank_0 = [&] {  // until it gets no more
    Report r;
    r.phase = WorkerPhase::working;
    r.wants = Wants::now;
    r.journal_is_open = true;
    for (std::uint64_t i = 1; i <= 10; ++i) {
      r.number = 100 * network.n_leases + i;
      r.accepted = network.n_leases;
      r.open.clear();
      for (std::uint64_t g = 1; g <= network.n_leases; ++g) r.open.push_back(g);
      r.bytes_open = network.n_leases * n_bytes;
      c.receive({0, encode(r)}, 0.1);
      c.tick(0.1);
    }
  };
  c.receive(
      {0, encode(Registration{.host = "a", .device = "", .fingerprint = "x", .differences = ""})},
      0.0);
  hunger_of_rank_0();
  EXPECT_EQ(network.n_leases, 2u);
  c.ended(1, 0.2);
  c.ended(2, 0.2);
  hunger_of_rank_0();
  EXPECT_EQ(network.n_leases, 6u);
}

}  // namespace
}  // namespace tovamill
