// A .txt file: its one record, at place 0.
#pragma once

#include <memory>

#include "io/corpus/record_reader.h"

namespace tovamill {

// Places are byte offsets in the decompressed file. The record belongs to the range that starts at
// 0; a UTF-8 byte order mark is not part of it.
std::unique_ptr<RecordReader> open_text(const CorpusFile& file, const CorpusOptions& options,
                                        CorpusRange range);

}  // namespace tovamill
