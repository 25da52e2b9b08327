#include "pipeline/distributed/span_set.h"

#include <algorithm>

namespace tovamill {

void SpanSet::add(std::uint64_t begin, std::uint64_t end) {
  if (begin >= end) return;
  // Mostly it continues the last interval.
  if (!ends_.empty()) {
    auto& [last_begin, last_end] = *std::prev(ends_.end());
    if (begin >= last_begin && begin <= last_end) {
      last_end = std::max(last_end, end);
      return;
    }
  }
  auto at = ends_.upper_bound(begin);
  if (at != ends_.begin() && std::prev(at)->second >= begin) {
    --at;
    if (at->second >= end) return;
  } else {
    at = ends_.emplace_hint(at, begin, end);
  }
  // `at` begins the merged interval; those that it reaches go into it.
  auto next = std::next(at);
  for (; next != ends_.end() && next->first <= end; next = ends_.erase(next))
    end = std::max(end, next->second);
  at->second = end;
}

void SpanSet::add(const SpanSet& other) {
  for (const auto& [begin, end] : other.ends_) add(begin, end);
}

std::map<std::uint64_t, std::uint64_t>::const_iterator SpanSet::first_behind(
    std::uint64_t offset) const {
  auto at = ends_.upper_bound(offset);
  if (at != ends_.begin() && std::prev(at)->second > offset) --at;
  return at;
}

bool SpanSet::contains(std::uint64_t offset) const {
  const auto at = first_behind(offset);
  return at != ends_.end() && at->first <= offset;
}

std::vector<Span> SpanSet::missing(std::uint64_t begin, std::uint64_t end) const {
  std::vector<Span> gaps;
  for (auto at = first_behind(begin); begin < end && at != ends_.end() && at->first < end; ++at) {
    if (at->first > begin) gaps.push_back({begin, at->first});
    begin = std::max(begin, at->second);
  }
  if (begin < end) gaps.push_back({begin, end});
  return gaps;
}

std::uint64_t SpanSet::covered_bytes(std::uint64_t begin, std::uint64_t end) const {
  std::uint64_t n = 0;
  for (auto at = first_behind(begin); begin < end && at != ends_.end() && at->first < end; ++at)
    n += std::min(end, at->second) - std::max(begin, at->first);
  return n;
}

std::vector<Span> SpanSet::spans() const {
  std::vector<Span> all;
  for (const auto& [begin, end] : ends_) all.push_back({begin, end});
  return all;
}

}  // namespace tovamill
