// The line numbers of records that were read in ranges: each document accounts for a span of the
// file and the lines in it. In a complete run the spans are contiguous, so that the lines add up.
// Where they are not, the lines of the file are counted.
#pragma once

#include <cstdint>
#include <vector>

#include "pipeline/run_directory/run_directory.h"

namespace tovamill {

// (index.documents) 1-based; 0 where there are no lines, and where the line cannot be known: the
// journals leave a gap before the document and the file cannot be read any more. Never throws for
// what is wrong with a corpus file.
std::vector<std::uint64_t> line_numbers(const JournalIndex& index);

}  // namespace tovamill
