// The records of a corpus file, one after another, whatever its format.
#pragma once

#include <cstdint>
#include <memory>

#include "io/corpus/corpus.h"

namespace tovamill {

// Reads one file's records in order; one at a time, holding no more than one record (of a record
// over max_record_bytes, no more than that).
//
// Of a range, the records whose place lies in it, each read whole: so the ranges of any partition
// of a file give each record once, and their spans and rests account for each place once. A file
// that breaks off (a damaged .gz) yields one failed record at that place and ends; one that cannot
// be read at the start of the range, a failed record with that start as its place: nothing is
// passed over in silence.
class RecordReader {
 public:
  virtual ~RecordReader() = default;

  // False at the end of the range or file.
  virtual bool next(CorpusRecord& record) = 0;
  // As `next`, but the record's fields are not read and nothing of it is held: gives what it
  // accounts for only. What records are counted and passed over with.
  virtual bool skip(CorpusSpan& span) = 0;
  // After `next` or `skip` returned false: what lies behind the last record and is accounted for
  // though no record is there. Ends at the first record at or behind the range's end.
  virtual CorpusSpan rest() const = 0;
  // Continues with a later range of the same file. False, and nothing changes, where this reader is
  // beyond its beginning or met a failure of the file: open another.
  virtual bool continue_with(CorpusRange range) = 0;
  // Bytes of the range's text that lie behind the reader: of those that a lease counts.
  virtual std::uint64_t n_bytes_read() const = 0;
};

// Never throws for what is wrong with the file: its records say so.
std::unique_ptr<RecordReader> open_records(const CorpusFile& file, const CorpusOptions& options,
                                           CorpusRange range = {});

}  // namespace tovamill
