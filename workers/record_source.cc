#include "workers/record_source.h"

#include <algorithm>

namespace tovamill {
namespace {

// What a compressed file's text is worth in bytes on disk, for the progress line only.
constexpr std::uint64_t kUsualCompression = 3;

}  // namespace

RecordSource::RecordSource(std::vector<CorpusFile> files, const CorpusOptions& options,
                           std::uint64_t skip, std::uint64_t limit,
                           std::function<bool(const CorpusRecord&)> is_done)
    : files_(std::move(files)),
      options_(options),
      skip_(skip),
      limit_(limit),
      is_done_(std::move(is_done)) {
  for (const CorpusFile& f : files_) n_corpus_bytes_ += f.n_bytes;
}

std::optional<CorpusRecord> RecordSource::next() {
  CorpusRecord record;
  while (limit_ == 0 || n_seen_ < skip_ || n_seen_ - skip_ < limit_) {
    if (!reader_) {
      if (next_file_ >= files_.size()) return std::nullopt;
      reader_.emplace(files_[next_file_++], options_);
    }
    const CorpusFile& file = files_[next_file_ - 1];
    if (!reader_->next(record)) {
      reader_.reset();
      n_bytes_before_ += file.n_bytes;
      n_bytes_in_file_ = 0;
      continue;
    }
    const std::uint64_t read = record.offset + record.n_bytes;
    const bool plain = file.compression == CorpusFile::Compression::none;
    n_bytes_in_file_ = std::min(file.n_bytes, plain ? read : read / kUsualCompression);
    ++n_seen_;
    if (n_seen_ > skip_ && !is_done_(record)) return record;
  }
  return std::nullopt;
}

std::uint64_t RecordSource::n_bytes_read() const {
  return std::min(n_corpus_bytes_, n_bytes_before_ + n_bytes_in_file_);
}

}  // namespace tovamill
