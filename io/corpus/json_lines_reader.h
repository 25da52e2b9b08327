// A .jsonl file: a record per line.
#pragma once

#include <memory>

#include "io/corpus/record_reader.h"

namespace tovamill {

// Places are byte offsets in the decompressed file. A record belongs to the range in which its line
// begins, so the ends of ranges may lie anywhere. Lines that are empty or all white space separate
// records and are none. A UTF-8 byte order mark at the file's start belongs to no record. Of
// repeated keys the last one counts.
std::unique_ptr<RecordReader> open_json_lines(const CorpusFile& file, const CorpusOptions& options,
                                              CorpusRange range);

}  // namespace tovamill
