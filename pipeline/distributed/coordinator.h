// The coordinator: hands out leases, detects dead ranks, knows when all work is done. A state
// machine without clock, threads or files: times and messages come in, messages go out, so that
// tests can replay any history.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "io/corpus/corpus.h"
#include "pipeline/distributed/channel.h"
#include "pipeline/distributed/messages.h"
#include "pipeline/distributed/schedule.h"

namespace tovamill {

struct CoordinatorOptions {
  double silence_s = 20.0;  // a worker that is silent for so long is given up
  double heartbeat_s = 1.0;
  int first_worker = 0;  // 1 where rank 0 only coordinates
  // Ranks of a stage group: from first_worker on, so many ranks each share the layers of a model.
  // The first of them takes leases; if one is lost, all are.
  int n_stages = 1;
  std::vector<std::uint64_t> hosts;  // (n_ranks) equal for the ranks of one host
  ScheduleOptions schedule;
  // A document on which ranks crashed so often is quarantined.
  int most_crashes = 2;
  // A document that ranks held when they ended without a trace (killed by SIGKILL) is computed
  // alone after so many deaths, and quarantined after so many.
  int alone_after_deaths = 3;
  int most_deaths = 12;
};

// A document that was in flight when a rank died.
struct SuspectDocument {
  std::uint32_t file = 0;
  std::uint64_t offset = 0;  // its place
  int n_crashes = 0;         // deaths with a trace: the signal of a crash, out of memory
  int n_deaths = 0;          // deaths without a trace
};

// What the preparation of a run found: the corpus and the work that is left.
struct RunWork {
  std::vector<CorpusFile> files;
  std::vector<FileExtent> extents;  // (files)
  std::vector<FileRange> ranges;    // not yet in any journal
  std::vector<SuspectDocument> suspects;
  std::int32_t launch = 1;
  std::string fingerprint;  // of every worker's registration; empty: that of the first worker
  WorkerCounters earlier;   // of earlier launches
};

// What the journal of a rank that died holds.
struct JournalFindings {
  std::vector<FileRange> left;            // of the ranges it had: what is not in the journal
  std::vector<SuspectDocument> suspects;  // begun and not finished, with one death or crash each
  std::string how;                        // "signal 11", "out of memory"; empty: no trace
};

enum class RunOutcome : std::uint8_t { running, complete, stopped, lost, failed };

class Coordinator {
 public:
  // Requests a review of a rank's journal; the findings are given to `reviewed` later.
  using Review = std::function<void(int rank, std::vector<FileRange> ranges)>;

  Coordinator(CoordinatorOptions options, Channel& channel, Review review, double now_s);

  // Starts to hand out leases: the run is prepared.
  void begin(RunWork work, double now_s);
  void receive(const Envelope& envelope, double now_s);
  // Sends heartbeats, detects silence, serves waiting workers. To be called often.
  void tick(double now_s);
  // The operating system reports the end of the rank's process.
  void ended(int rank, double now_s);
  void reviewed(int rank, const JournalFindings& findings);
  // The dtype of all ranks, as soon as rank 0 has chosen it.
  void set_dtype(std::string dtype) { dtype_ = std::move(dtype); }
  // Before set_dtype, which lets the workers load.
  void set_useful_streams(std::int32_t n) { useful_streams_ = n; }
  // Makes all ranks save what is in flight and end early.
  void request_stop();
  // Ends the run with a failure.
  void fail(int exit_code, const std::string& text);
  // Lets all ranks end: the results are written.
  void end();

  RunOutcome outcome() const;
  // Whether the outcome is known and no worker computes any more.
  bool everybody_left() const;
  // Whether, besides, all live ranks have been told that they may end.
  bool everybody_was_told() const;
  int exit_code() const { return exit_code_; }
  const std::string& failure() const { return failure_; }

  enum class State : std::uint8_t { starting, working, waiting, leaving, left, dead };
  struct Worker {
    State state = State::starting;
    bool is_known = false;  // its registration has arrived
    Registration registration;
    Report report;  // the latest
    double heard_s = 0.0;
    double tokens_per_second = 0.0;
    std::string note;         // why it was lost
    bool is_present = false;  // dead, but its process waits for the end
    // Leases that are not yet reported durable, by number.
    struct Outstanding {
      Lease lease;
      std::vector<FileRange> ranges;
      std::uint64_t n_bytes = 0;
      double sent_s = -1e9;
    };
    std::map<std::uint64_t, Outstanding> outstanding;
    std::uint64_t n_leases = 0;
    std::uint64_t n_heartbeats = 0;
    double heartbeat_sent_s = -1e9;
    bool wants = false;  // by its latest report, and it got nothing since
    bool is_reviewed = true;
    double rate_s = 0.0;
    std::uint64_t rate_tokens = 0;
  };
  const std::vector<CorpusFile>& files() const { return files_; }  // of the run; fixed once begun
  const std::vector<Worker>& workers() const { return workers_; }  // by rank; see first_worker
  bool is_worker(int rank) const { return rank >= options_.first_worker; }
  int n_alive() const;
  bool anybody_works() const;    // has opened a journal
  std::vector<int> take_lost();  // ranks that were lost since the last call
  bool anybody_alive() const;
  bool anybody_lost() const { return anybody_lost_; }
  std::int32_t launch() const { return launch_; }
  std::uint64_t bytes_total() const { return bytes_total_; }
  std::uint64_t bytes_left() const;
  WorkerCounters totals() const;  // earlier launches included
  std::uint64_t n_quarantined() const { return n_quarantined_; }

 private:
  struct DocumentKey {
    std::uint32_t file;
    std::uint64_t offset;
    auto operator<=>(const DocumentKey&) const = default;
  };

  void take_report(int rank, Report report, double now_s);
  void take_registration(int rank, Registration registration);
  void lose(int rank, const std::string& why, double now_s);
  void put_back(const std::vector<FileRange>& ranges);
  void count(const SuspectDocument& suspect);
  void try_lease(int rank, double now_s);
  bool has_least_work(int rank) const;
  bool takes_leases(int rank) const;
  std::vector<int> stage_peers_of(int rank) const;  // the others of its stage group
  bool has_lost_stage_peer(int rank) const;
  int n_groups_alive() const { return std::max(1, n_alive() / options_.n_stages); }
  void send_lease(int rank, Worker::Outstanding& outstanding, double now_s);
  void send_heartbeat(int rank, double now_s);
  void expedite_heartbeats_of_host(int rank);
  void expedite_heartbeats_of_peers(int rank);
  WeightsOrder weights_for(int rank, WeightsPlace& weights_place) const;
  void check_complete();
  void measure_throughput(double now_s);

  CoordinatorOptions options_;
  Channel& channel_;
  Review review_;
  Schedule schedule_;
  std::vector<CorpusFile> files_;
  std::vector<Worker> workers_;
  std::map<DocumentKey, SuspectDocument> suspects_;
  std::string fingerprint_, dtype_;
  std::int32_t useful_streams_ = 0;
  std::int32_t launch_ = 0;
  WorkerCounters earlier_;
  std::uint64_t bytes_total_ = 0;
  std::uint64_t n_quarantined_ = 0;
  std::vector<int> lost_;
  bool begun_ = false;
  double begun_s_ = 0.0, throughput_measured_s_ = 0.0;
  std::uint64_t bytes_begun_ = 0;  // that were left to do then
  bool anybody_lost_ = false;
  bool something_new_ = false;
  double leased_s_ = -1e9, ticked_s_ = 0.0;
  RunOrder order_ = RunOrder::wait;
  RunOutcome outcome_ = RunOutcome::running;
  int exit_code_ = 0;
  std::string failure_;
};

}  // namespace tovamill
