// A part of a corpus that a lease can hold.
#pragma once

#include <compare>
#include <cstdint>

#include "io/corpus/corpus.h"

namespace tovamill {

// The records of a corpus file at the places [begin, end).
struct FileRange {
  std::uint32_t file = 0;  // index into the corpus files
  std::uint64_t begin = 0;
  std::uint64_t end = kToTheEnd;
  auto operator<=>(const FileRange&) const = default;
};

}  // namespace tovamill
