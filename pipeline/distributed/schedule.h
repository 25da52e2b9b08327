// The work that is left, and how it is cut into leases: longest first, smaller towards the end.
// Pure: knows neither ranks nor time.
//
// A lease is about 1/kShare of a worker's share of the work that is left (guided self-scheduling,
// Polychronopoulos and Kuck 1987), so that the last leases are short whatever the first were.
// Files that can be cut are cut anywhere (their reader finds the records). Other files are leased
// whole, several small ones together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <queue>
#include <vector>

#include "io/corpus/file_extent.h"
#include "pipeline/distributed/file_range.h"
#include "pipeline/distributed/lease.h"

namespace tovamill {

struct LeaseContent {
  LeaseMode mode = LeaseMode::normal;
  std::vector<FileRange> ranges;
  std::uint64_t n_bytes = 0;  // about what they cost, in bytes of text
};

// What the schedule knows of a file.
struct ScheduledFile {
  FileExtent extent;
  std::uint32_t path_bytes = 0;
};

struct ScheduleOptions {
  std::uint64_t most_bytes = 64u << 20;  // of a lease of files that can be cut
  std::uint64_t least_bytes = 2u << 10;  // at first; see set_least_bytes
  std::size_t most_ranges = 24;          // of a lease
  std::size_t most_path_bytes = 2400u;   // of the ranges of a lease: they travel in one message
};

class Schedule {
 public:
  explicit Schedule(const ScheduleOptions& options = {}) : options_(options) {}

  void set_files(std::vector<ScheduledFile> files) { files_ = std::move(files); }
  // Sets the size of the smallest leases, once the throughput of the workers is known: too small
  // ones cost messages, too large ones let others wait at the end.
  void set_least_bytes(std::uint64_t n_bytes) {
    options_.least_bytes = std::min(n_bytes, options_.most_bytes);
  }
  std::uint64_t least_bytes() const { return options_.least_bytes; }

  // Adds work, also for a second time. A range with a mode other than normal becomes a lease of its
  // own.
  void add(const FileRange& range, LeaseMode mode = LeaseMode::normal);

  // The next lease where `n_workers` share the work. `may_be_alone`: whether this worker takes
  // ranges of the other modes; they come when nothing else is left.
  std::optional<LeaseContent> take(int n_workers, bool may_be_alone = true);

  bool empty() const { return pool_.empty() && special_.empty(); }
  std::uint64_t bytes_left() const { return bytes_left_; }
  // Whether leases are as small as they get: then a worker should not take any ahead.
  bool is_ending(int n_workers) const;
  const FileExtent& extent_of(std::uint32_t file) const { return files_.at(file).extent; }
  // The estimated bytes of text of a range; at least 1.
  std::uint64_t cost(const FileRange& range) const;

 private:
  struct Entry {
    std::uint64_t cost;
    FileRange range;
    // The greatest cost is on top; of equal ones the first of the corpus.
    bool operator<(const Entry& o) const {
      return cost != o.cost ? cost < o.cost : range > o.range;
    }
  };
  struct Special {
    FileRange range;
    LeaseMode mode;
  };
  std::uint64_t target_bytes(int n_workers) const;

  ScheduleOptions options_;
  std::vector<ScheduledFile> files_;
  std::priority_queue<Entry> pool_;
  std::deque<Special> special_;
  std::uint64_t bytes_left_ = 0;
};

}  // namespace tovamill
