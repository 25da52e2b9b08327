// The records of a corpus file, one after another, whatever its format.
#pragma once

#include <cstdint>
#include <memory>

#include "io/corpus/corpus.h"

namespace tovamill {

// Reads one file's records in order; one at a time, holding no more than one record (of a record
// over max_record_bytes, no more than that).
//
// A range gives the records whose places lie in it, each read whole: so the ranges of any partition
// of a file give each record once, and their spans and rests account for each place once. A file
// that breaks off (a damaged .gz) gives one failed record at that place and ends. A file that
// cannot be read at the start of the range gives a failed record at that start. Nothing is lost
// silently.
class RecordReader {
 public:
  virtual ~RecordReader() = default;

  // False at the end of the range or file.
  virtual bool next(CorpusRecord& record) = 0;
  // As `next`, but reads no fields and holds nothing: gives only what the record accounts for.
  // Counts and skips records.
  virtual bool skip(CorpusSpan& span) = 0;
  // After `next` or `skip` returned false: what lies behind the last record and is accounted for
  // though no record is there. Ends at the first record at or behind the range's end.
  virtual CorpusSpan rest() const = 0;
  // Continues with a later range of the same file. False, and nothing changes, where this reader is
  // beyond its beginning or met a failure of the file: open another.
  virtual bool continue_with(CorpusRange range) = 0;
  // How many bytes of the range's text have been read, counted as leases do.
  virtual std::uint64_t n_bytes_read() const = 0;
};

// Never throws for what is wrong with the file: its records say so.
std::unique_ptr<RecordReader> open_records(const CorpusFile& file, const CorpusOptions& options,
                                           CorpusRange range = {});

}  // namespace tovamill
