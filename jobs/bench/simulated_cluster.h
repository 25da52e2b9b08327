// A thousand workers in one process and simulated time, around the real coordinator: what does it
// cost to serve them? Messages, schedule, both state machines and status.json are the real ones;
// made up are the texts (their lengths), the model (a rate in bytes per second that the documents
// of a worker share), the journals (what was synced when) and the network (a delay).
//
// The coordinator's iterations are measured in CPU seconds of this machine, and simulated time goes
// on by as much, so that a slow coordinator is late. Left out: MPI itself, and the grain of a step.
#pragma once

#include <cstdint>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "jobs/bench/simulated_corpus.h"
#include "pipeline/distributed/coordinator.h"
#include "workers/run/run_status.h"

namespace tovamill {

struct SimulationOptions {
  int n_workers = 1000;
  int n_deaths = 10;
  std::size_t n_streams = 8;
  double bytes_per_second = 200e3;  // of a worker: 50,000 tokens of 4 bytes
  double sync_s = 5.0;
  double delay_s = 0.002;  // of a message at most: the receiver looks every so often
  std::string directory;   // for status.json
};

struct SimulationResult {
  double simulated_s = 0.0, cpu_s = 0.0;  // of the coordinator, from the first lease to the end
  double begin_s = 0.0;                   // CPU seconds of `begin`
  double longest_receive_s = 0.0, longest_tick_s = 0.0, longest_show_s = 0.0,
         longest_iteration_s = 0.0;
  double receive_s = 0.0, tick_s = 0.0, show_s = 0.0;
  std::uint64_t n_received = 0, n_sent = 0;
  std::size_t most_bytes = 0;  // of a message
  double idle_share = 0.0;     // of the workers' time from their first lease to the end
  double longest_idle_s = 0.0;
  std::uint64_t resident_before = 0, resident_begun = 0, resident_end = 0;
  std::uint64_t n_documents = 0;  // that are durable in the journals
};

class SimulatedCluster {
 public:
  SimulatedCluster(SimulatedCorpus corpus, const SimulationOptions& options);
  ~SimulatedCluster();
  // Throws Error(internal) where the run does not complete or a document is not done exactly once.
  SimulationResult run();

 private:
  class Port;
  struct Worker;
  struct Event {
    double at_s;
    int rank;
    std::uint64_t generation;
    bool operator<(const Event& o) const { return at_s > o.at_s; }
  };
  struct InFlight {
    double at_s;
    int from, to;
    Message message;
    bool operator<(const InFlight& o) const { return at_s > o.at_s; }
  };
  struct Review {
    double at_s;
    int rank;
    std::vector<FileRange> ranges;
  };

  double uniform(double most) { return most * std::uniform_real_distribution<>()(random_); }
  void post(int from, int to, Message message);
  void wake(int rank);
  void start(Worker& w);
  void advance(Worker& w);
  void fill(Worker& w);
  bool read(Worker& w);
  void sync(Worker& w);
  void publish(Worker& w);
  double next_event(const Worker& w) const;
  void kill(int rank);
  JournalFindings review(const Review& r) const;
  void begin();
  void iterate();
  void show();
  std::uint64_t document_bytes(std::uint32_t file, std::size_t index) const;

  SimulatedCorpus corpus_;
  SimulationOptions options_;
  SimulationResult result_;
  std::mt19937_64 random_{7};
  double now_ = 0.0;
  std::vector<std::unique_ptr<Port>> ports_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::priority_queue<Event> events_;
  std::priority_queue<InFlight> to_workers_, to_coordinator_;
  std::vector<Review> reviews_;
  std::vector<std::pair<double, int>> deaths_, seen_deaths_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<RunStatus> status_;
  double first_lease_s_ = -1.0, shown_s_ = -1e9;
  std::uint64_t shown_tokens_ = 0;
};

// Resident bytes of this process.
std::uint64_t resident_bytes();
// CPU seconds of this thread.
double thread_cpu_s();

}  // namespace tovamill
