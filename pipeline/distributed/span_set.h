// A set of places as disjoint intervals; neighbours and overlaps become one.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace tovamill {

// [begin, end).
struct Span {
  std::uint64_t begin = 0, end = 0;

  bool operator==(const Span&) const = default;
};

class SpanSet {
 public:
  // Adds [begin, end); nothing if begin >= end. Fastest in ascending order.
  void add(std::uint64_t begin, std::uint64_t end);
  void add(const SpanSet& other);

  bool contains(std::uint64_t offset) const;
  // The parts of [begin, end) that are not in the set, in ascending order.
  std::vector<Span> missing(std::uint64_t begin, std::uint64_t end) const;
  // How many places of [begin, end) are in the set.
  std::uint64_t covered_bytes(std::uint64_t begin, std::uint64_t end) const;

  std::vector<Span> spans() const;  // in ascending order
  bool empty() const { return ends_.empty(); }

 private:
  // The first interval that ends behind `offset`.
  std::map<std::uint64_t, std::uint64_t>::const_iterator first_behind(std::uint64_t offset) const;

  std::map<std::uint64_t, std::uint64_t> ends_;  // by begin; disjoint, not touching
};

}  // namespace tovamill
