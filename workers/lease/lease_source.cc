#include "workers/lease/lease_source.h"

#include <algorithm>

namespace tovamill {

void LeaseSource::fetch() {
  while (std::optional<Grant> grant = desk_.take_grant()) {
    open_[grant->number];
    waiting_.push_back(std::move(*grant));
  }
}

// Where the last piece was of the same file and ended before this one, its reader goes on.
void LeaseSource::open_piece() {
  const GrantedPiece& piece = current_.pieces[piece_];
  const CorpusRange range{piece.begin, piece.end};
  at_ = piece.begin;
  piece_is_open_ = true;
  if (reader_ && reader_path_ == piece.path && reader_->continue_with(range)) return;
  const CorpusFile file{.path = piece.path,
                        .n_bytes = piece.file_bytes,
                        .kind = static_cast<CorpusFile::Kind>(piece.kind),
                        .compression = static_cast<CorpusFile::Compression>(piece.compression)};
  reader_.reset();
  reader_.emplace(file, options_, range);
  reader_path_ = piece.path;
}

void LeaseSource::close_piece() {
  const CorpusSpan rest = reader_->rest();
  if (!rest.empty()) {
    journal_.append(SpanEntry{.file = current_.pieces[piece_].path,
                              .begin = rest.begin,
                              .end = rest.end,
                              .n_lines = rest.n_lines});
  }
  piece_is_open_ = false;
  if (++piece_ < current_.pieces.size()) return;
  open_[current_.number].is_read = true;
  reading_ = false;
}

std::optional<LeaseSource::Item> LeaseSource::next() {
  fetch();
  while (reading_ || !waiting_.empty()) {
    if (!reading_) {
      current_ = std::move(waiting_.front());
      waiting_.pop_front();
      piece_ = 0;
      reading_ = !current_.pieces.empty();
      if (!reading_) open_[current_.number].is_read = true;
      continue;
    }
    if (!piece_is_open_) open_piece();
    Item item;
    if (!reader_->next(item.record)) {
      close_piece();
      continue;
    }
    at_ = std::max(at_, item.record.offset + item.record.n_bytes);
    item.grant = current_.number;
    item.mode = current_.mode;
    item.note = current_.note;
    ++open_[current_.number].n_documents;
    return item;
  }
  return std::nullopt;
}

void LeaseSource::retire(std::uint64_t grant) { --open_.at(grant).n_documents; }

void LeaseSource::report_durable() {
  for (auto it = open_.begin(); it != open_.end();) {
    if (!it->second.is_read || it->second.n_documents > 0) {
      ++it;
      continue;
    }
    desk_.finished(it->first);
    it = open_.erase(it);
  }
}

std::uint64_t LeaseSource::n_bytes_unread() const {
  std::uint64_t sum = 0;
  for (const Grant& g : waiting_) {
    for (const GrantedPiece& p : g.pieces) sum += p.n_bytes;
  }
  if (!reading_) return sum;
  for (std::size_t i = piece_; i < current_.pieces.size(); ++i) {
    const GrantedPiece& p = current_.pieces[i];
    const std::uint64_t read = i == piece_ && piece_is_open_ ? at_ - std::min(at_, p.begin) : 0;
    sum += p.n_bytes - std::min(p.n_bytes, read);
  }
  return sum;
}

}  // namespace tovamill
