// A worker of the simulated cluster, as DocumentLoop and LeaseSource have it.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "jobs/bench/simulated_cluster.h"
#include "pipeline/distributed/worker_link.h"

namespace tovamill {

struct SimulatedCluster::Worker {
  int rank = 0;
  bool alive = true;
  double ready_s = 0.0;
  double bytes_per_second = 1.0;
  std::unique_ptr<WorkerLink> link;
  WorkerSituation situation;
  std::uint64_t generation = 0;  // of its one valid event
  double sent_s = -1e9;
  bool has_news = false;  // that no report has told yet

  struct Open {
    std::uint64_t n_documents = 0;  // read and not computed
    bool is_read = false;
    std::vector<FileRange> computed, durable;
  };
  std::map<std::uint64_t, Open> open;
  std::deque<Lease> waiting;
  Lease current;
  bool reading = false;
  std::size_t range = 0, document = SIZE_MAX;  // the next to be read; SIZE_MAX: not opened
  std::uint64_t unread_bytes = 0;
  struct Stream {
    std::uint64_t lease;
    FileRange document;
    double left_bytes;
  };
  std::vector<Stream> streams;
  double advanced_s = 0.0, synced_s = 0.0;
  bool dirty = false;
  double first_s = -1.0, idle_s = 0.0;
};

}  // namespace tovamill
