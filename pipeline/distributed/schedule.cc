#include "pipeline/distributed/schedule.h"

#include <algorithm>

namespace tovamill {
namespace {

// A worker's lease is this part of its share of what is left.
constexpr std::uint64_t kShare = 4;

}  // namespace

std::uint64_t Schedule::cost(const Piece& piece) const {
  const ScheduledFile& file = files_.at(piece.file);
  const std::uint64_t end = std::min(piece.end, file.n_bytes);
  return end > piece.begin ? end - piece.begin : 1;
}

void Schedule::add(const Piece& piece, LeaseMode mode) {
  if (piece.begin >= piece.end) return;
  const std::uint64_t c = cost(piece);
  bytes_left_ += c;
  if (mode == LeaseMode::normal) {
    pool_.push({c, piece});
  } else {
    special_.push_back({piece, mode});
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
  while (!pool_.empty() && lease.pieces.size() < options_.most_pieces) {
    Entry top = pool_.top();
    const ScheduledFile& file = files_[top.piece.file];
    const std::uint64_t room = target > lease.n_bytes ? target - lease.n_bytes : 0;
    path_bytes += file.path_bytes;
    const bool fits =
        (file.divisible ? room > 0 : top.cost <= room) && path_bytes <= options_.most_path_bytes;
    if (!lease.pieces.empty() && !fits) break;
    pool_.pop();
    bytes_left_ -= top.cost;
    // What remains behind the cut is worth a lease of its own, or the piece is given whole.
    if (file.divisible && top.cost > room + options_.least_bytes / 2) {
      const std::uint64_t cut = top.piece.begin + std::max<std::uint64_t>(1, room);
      add({top.piece.file, cut, top.piece.end});
      top.piece.end = cut;
      top.cost = cost(top.piece);
    }
    lease.n_bytes += top.cost;
    lease.pieces.push_back(top.piece);
  }
  if (lease.pieces.empty() && may_be_alone && !special_.empty()) {
    lease.mode = special_.front().mode;
    lease.pieces.push_back(special_.front().piece);
    lease.n_bytes = cost(special_.front().piece);
    bytes_left_ -= lease.n_bytes;
    special_.pop_front();
  }
  if (lease.pieces.empty()) return std::nullopt;
  return lease;
}

}  // namespace tovamill
