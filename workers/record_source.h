// The records of a corpus that this run has still to do, one after another, in the order of files
// and bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "io/corpus.h"

namespace tovamill {

class RecordSource {
 public:
  // `is_done` tells which records the journals hold. The first `skip` records are passed over, at
  // most `limit` (0: all) of the others are looked at, done ones included.
  RecordSource(std::vector<CorpusFile> files, const CorpusOptions& options, std::uint64_t skip,
               std::uint64_t limit, std::function<bool(const CorpusRecord&)> is_done);

  std::optional<CorpusRecord> next();

  std::uint64_t n_corpus_bytes() const { return n_corpus_bytes_; }  // on disk
  // Bytes on disk that lie behind the records handed out so far (estimated within compressed
  // files).
  std::uint64_t n_bytes_read() const;

 private:
  std::vector<CorpusFile> files_;
  const CorpusOptions& options_;
  std::uint64_t skip_, limit_;
  std::function<bool(const CorpusRecord&)> is_done_;
  std::size_t next_file_ = 0;
  std::optional<CorpusReader> reader_;
  std::uint64_t n_seen_ = 0;
  std::uint64_t n_corpus_bytes_ = 0;
  std::uint64_t n_bytes_before_ = 0;  // of the files that are through
  std::uint64_t n_bytes_in_file_ = 0;
};

}  // namespace tovamill
