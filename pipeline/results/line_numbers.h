// The line numbers that ranges of a file do not know: each document accounts for a span of bytes
// and the lines in it, and in a complete run the spans lie side by side, so that the lines add up.
// Where they do not, the file itself is counted.
#pragma once

#include <cstdint>
#include <vector>

#include "pipeline/run_directory/run_directory.h"

namespace tovamill {

// (index.documents) 1-based; 0 in .txt, and where the line cannot be known: the journals leave a
// gap before the document and the file cannot be read any more. Never throws for what is wrong with
// a corpus file.
std::vector<std::uint64_t> line_numbers(const JournalIndex& index);

}  // namespace tovamill
