// A made-up cluster for the protocol's tests: a coordinator and workers that pretend to compute, on
// a network that delays, drops, doubles and reorders, with deaths of every kind. Time is simulated;
// a history is a function of its seed.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "pipeline/distributed/coordinator.h"
#include "pipeline/distributed/worker_link.h"

namespace tovamill::testing {

struct FakeDocument {
  std::uint64_t offset = 0, n_bytes = 1;
  int kills = 0;  // 1: crashes its rank, leaving a mark; 2: takes it away without one
};
struct FakeFile {
  CorpusFile file;
  std::vector<FakeDocument> documents;  // by offset
};

// What one rank of one launch has left on disk.
struct FakeJournal {
  bool is_open = false;
  bool has_footer = false;
  bool has_crash = false;
  std::set<std::pair<std::uint32_t, std::uint64_t>> begun, done, quarantined;
};

struct FakeOptions {
  int n_workers = 4;
  double step_s = 0.05;
  double bytes_per_second = 1000.0;
  std::size_t n_streams = 3;
  double most_delay_s = 0.2;
  double drop = 0.0, twice = 0.0;   // probabilities of a message
  double kill = 0.0, freeze = 0.0;  // of each worker, per second
  double kill_coordinator = 0.0;    // per second
  double machine_dies = 0.5;        // of a kill: what was not synced is lost as well
  bool sees_processes = true;       // the coordinator learns of deaths at once
  bool dedicated = false;
  int most_kills = 8;
  double most_seconds = 20000.0;
  CoordinatorOptions coordinator;
};

class FakeCluster {
 public:
  FakeCluster(std::vector<FakeFile> files, const FakeOptions& options, std::uint64_t seed);
  ~FakeCluster();

  // One launch, until everybody has ended. The outcome of its coordinator; nullopt where that was
  // killed, or where time ran out (see `time_is_up`).
  std::optional<RunOutcome> launch();
  // Launches until one is complete, with fewer and fewer deaths.
  bool run_to_completion(int most_launches);

  bool time_is_up() const { return now_ > options_.most_seconds; }
  double now() const { return now_; }
  const std::vector<FakeJournal>& journals() const { return journals_; }
  // How often each document stands in the journals as finished or quarantined.
  int n_done(std::uint32_t file, std::uint64_t offset) const;
  int n_quarantined(std::uint32_t file, std::uint64_t offset) const;
  // Seconds that workers had nothing to do between their first lease and the end, the longest of
  // them.
  double longest_idle_s() const { return longest_idle_s_; }
  const std::vector<FakeFile>& files() const { return files_; }
  FakeOptions& options() { return options_; }

 private:
  struct Worker;
  class Port;
  struct InFlight {
    double at_s;
    int from, to;
    Message message;
    bool operator<(const InFlight& o) const { return at_s > o.at_s; }
  };

  bool chance(double probability);
  double uniform(double most);
  void post(int from, int to, Message message);
  void deliver();
  void step_worker(int rank);
  void compute(Worker& w);
  void kill(int rank, bool leaves_mark);
  void close(Worker& w);
  void review(int rank, const std::vector<FileRange>& ranges);
  RunWork prepare();
  std::vector<FileRange> what_is_left(const std::vector<FileRange>& ranges,
                                      const std::vector<const FakeJournal*>& journals) const;

  std::vector<FakeFile> files_;
  FakeOptions options_;
  std::mt19937_64 random_;
  double now_ = 0.0;
  std::vector<FakeJournal> journals_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<Port>> ports_;
  std::priority_queue<InFlight> network_;
  std::unique_ptr<Coordinator> coordinator_;
  struct PendingReview {
    double at_s;
    int rank;
    std::vector<FileRange> ranges;
  };
  std::vector<PendingReview> reviews_;
  int launch_ = 0;
  int n_kills_ = 0;
  double longest_idle_s_ = 0.0;
};

// A corpus of a few files with documents of random sizes, some of which kill.
std::vector<FakeFile> fake_corpus(std::uint64_t seed, int n_documents, double killers = 0.0);

}  // namespace tovamill::testing
