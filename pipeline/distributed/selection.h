// Which ranges of a corpus a run works on: all of it, a part for one job of an array, or so many
// records.
#pragma once

#include <cstdint>
#include <vector>

#include "io/corpus/corpus.h"
#include "pipeline/distributed/file_range.h"

namespace tovamill {

// One of `n` parts of a corpus, from 1.
struct Part {
  std::uint32_t index = 1, n = 1;

  bool operator==(const Part&) const = default;
};

// The ranges in the order of files and places. A whole file is [0, n_places) where it can be cut
// and is not empty, else [0, kToTheEnd).
//
// `part`: the files one behind another (bytes on disk) are cut into `n` equal parts; those that can
// be cut are cut inside, any other file belongs to the part that holds its first byte, so that
// every place is in exactly one part. Within it the first `skip` records are skipped, and at
// most `limit` (0: all) of the others are taken; failed records count, blank lines do not. They are
// found by reading as far as needed, in constant memory.
std::vector<FileRange> select_ranges(const std::vector<CorpusFile>& files,
                                     const CorpusOptions& options, std::uint64_t skip,
                                     std::uint64_t limit, Part part = {});

}  // namespace tovamill
