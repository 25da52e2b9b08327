#include "pipeline/distributed/schedule.h"

#include <algorithm>

namespace tovamill {
namespace {

// A lease is 1/kShare of a worker's share of the work that is left.
constexpr std::uint64_t kShare = 4;

}  // namespace

std::uint64_t Schedule::cost(const FileRange& range) const {
  return extent_of(range.file).n_text_bytes_in(range.begin, range.end);
}

void Schedule::add(const FileRange& range, LeaseMode mode) {
  if (range.begin >= range.end) return;
  const std::uint64_t c = cost(range);
  bytes_left_ += c;
  if (mode == LeaseMode::normal) {
    pool_.push({c, range});
  } else {
    special_.push_back({range, mode});
  }
}

std::uint64_t Schedule::target_bytes(int n_workers) const {
  const std::uint64_t share =
      bytes_left_ / (kShare * static_cast<std::uint64_t>(std::max(1, n_workers)));
  return std::clamp(share, options_.least_bytes, options_.most_bytes);
}

bool Schedule::is_ending(int n_workers) const {
  return target_bytes(n_workers) <= options_.least_bytes;
}

std::optional<LeaseContent> Schedule::take(int n_workers, bool may_be_alone) {
  LeaseContent lease;
  const std::uint64_t target = target_bytes(n_workers);
  std::size_t path_bytes = 0;
  while (!pool_.empty() && lease.ranges.size() < options_.most_ranges) {
    Entry top = pool_.top();
    const FileExtent& extent = extent_of(top.range.file);
    const std::uint64_t room = target > lease.n_bytes ? target - lease.n_bytes : 0;
    path_bytes += files_[top.range.file].path_bytes;
    const bool fits = (extent.can_be_cut() ? room > 0 : top.cost <= room) &&
                      path_bytes <= options_.most_path_bytes;
    if (!lease.ranges.empty() && !fits) break;
    pool_.pop();
    bytes_left_ -= top.cost;
    // What remains behind the cut is worth a lease of its own, or the range is given whole.
    if (extent.can_be_cut() && top.cost > room + options_.least_bytes / 2) {
      const std::uint64_t cut = std::min(extent.cut_after(top.range.begin, room), top.range.end);
      add({top.range.file, cut, top.range.end});
      top.range.end = cut;
      top.cost = cost(top.range);
    }
    lease.n_bytes += top.cost;
    lease.ranges.push_back(top.range);
  }
  if (lease.ranges.empty() && may_be_alone && !special_.empty()) {
    lease.mode = special_.front().mode;
    lease.ranges.push_back(special_.front().range);
    lease.n_bytes = cost(special_.front().range);
    bytes_left_ -= lease.n_bytes;
    special_.pop_front();
  }
  if (lease.ranges.empty()) return std::nullopt;
  return lease;
}

}  // namespace tovamill
