// How far a corpus file reaches, and where ranges of it may be cut.
//
// The place of a record is a number that only the reader of its format interprets, ordered as the
// records are: for lines and texts the byte offset in the decompressed file, for a format of rows
// the number of the row. Journals, leases and saved states keep places.
#pragma once

#include <cstdint>

namespace tovamill {

inline constexpr std::uint64_t kToTheEnd = UINT64_MAX;

struct FileExtent {
  std::uint64_t n_places = 0;      // records begin before this place; estimated unless is_exact
  std::uint64_t n_text_bytes = 0;  // about what the records hold: the work in the file
  std::uint32_t cut_every = 0;     // ranges are best cut at multiples of it; 0: not at all
  bool is_exact = false;           // known without reading the records: not of compressed files
  // The greatest place that the first record can have: behind a byte order mark it is not 0.
  std::uint8_t latest_first_place = 0;

  bool can_be_cut() const { return cut_every > 0 && n_places > 0; }
  // There is no record in a file that can be read.
  bool holds_nothing() const { return cut_every > 0 && n_places == 0 && is_exact; }
  // About how many bytes of text the range holds; at least 1.
  std::uint64_t n_text_bytes_in(std::uint64_t begin, std::uint64_t end) const;
  // Where a range that starts at `begin` is to be cut so that it holds about `n_bytes` of text: at
  // least a place behind `begin`. It may lie behind the end of the file.
  std::uint64_t cut_after(std::uint64_t begin, std::uint64_t n_bytes) const;
  // The cut that stands for byte `at` of the `n_bytes` that the file has on disk: 0 for 0, n_places
  // for n_bytes, ascending between.
  std::uint64_t cut_at_byte(std::uint64_t at, std::uint64_t n_bytes) const;
};

}  // namespace tovamill
