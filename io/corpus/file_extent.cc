#include "io/corpus/file_extent.h"

#include <algorithm>

namespace tovamill {
namespace {

// n * to / from, exact where both are equal: then places are bytes.
std::uint64_t scaled(std::uint64_t n, std::uint64_t from, std::uint64_t to) {
  if (from == to || from == 0) return n;
  return static_cast<std::uint64_t>(static_cast<double>(n) * static_cast<double>(to) /
                                    static_cast<double>(from));
}

}  // namespace

std::uint64_t FileExtent::n_text_bytes_in(std::uint64_t begin, std::uint64_t end) const {
  end = std::min(end, n_places);
  if (begin >= end) return 1;
  return std::max<std::uint64_t>(1, scaled(end - begin, n_places, n_text_bytes));
}

std::uint64_t FileExtent::cut_after(std::uint64_t begin, std::uint64_t n_bytes) const {
  const std::uint64_t at =
      begin + std::max<std::uint64_t>(1, scaled(n_bytes, n_text_bytes, n_places));
  return at + (cut_every - at % cut_every) % cut_every;
}

std::uint64_t FileExtent::cut_at_byte(std::uint64_t at, std::uint64_t n_bytes) const {
  if (at >= n_bytes) return n_places;
  const std::uint64_t place = std::min(scaled(at, n_bytes, n_places), n_places);
  return place - place % cut_every;
}

}  // namespace tovamill
