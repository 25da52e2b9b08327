#include "workers/lease/lease_source.h"

#include <algorithm>

namespace tovamill {

void LeaseSource::fetch() {
  while (std::optional<Lease> lease = mailbox_.take_lease()) {
    open_[lease->number];
    waiting_.push_back(std::move(*lease));
  }
}

// Where the last range was of the same file and ended before this one, its reader continues.
void LeaseSource::open_range() {
  const LeasedRange& leased = current_.ranges[range_];
  const CorpusRange range{leased.begin, leased.end};
  range_is_open_ = true;
  if (reader_ && reader_path_ == leased.path && reader_->continue_with(range)) return;
  const CorpusFile file{.path = leased.path, .n_bytes = leased.file_bytes, .format = leased.format};
  reader_.reset();
  reader_ = open_records(file, options_, range);
  reader_path_ = leased.path;
}

void LeaseSource::close_range() {
  const CorpusSpan rest = reader_->rest();
  if (!rest.empty()) {
    journal_.append(SpanEntry{.file = current_.ranges[range_].path,
                              .begin = rest.begin,
                              .end = rest.end,
                              .n_lines = rest.n_lines});
  }
  range_is_open_ = false;
  if (++range_ < current_.ranges.size()) return;
  open_[current_.number].is_read = true;
  reading_ = false;
}

std::optional<LeaseSource::Item> LeaseSource::next() {
  fetch();
  while (reading_ || !waiting_.empty()) {
    if (!reading_) {
      current_ = std::move(waiting_.front());
      waiting_.pop_front();
      range_ = 0;
      reading_ = !current_.ranges.empty();
      if (!reading_) open_[current_.number].is_read = true;
      continue;
    }
    if (!range_is_open_) open_range();
    Item item;
    if (!reader_->next(item.record)) {
      close_range();
      continue;
    }
    item.lease = current_.number;
    item.mode = current_.mode;
    item.note = current_.note;
    ++open_[current_.number].n_documents;
    return item;
  }
  return std::nullopt;
}

void LeaseSource::retire(std::uint64_t lease) { --open_.at(lease).n_documents; }

void LeaseSource::report_durable() {
  for (auto it = open_.begin(); it != open_.end();) {
    if (!it->second.is_read || it->second.n_documents > 0) {
      ++it;
      continue;
    }
    mailbox_.finished(it->first);
    it = open_.erase(it);
  }
}

std::uint64_t LeaseSource::n_bytes_unread() const {
  std::uint64_t sum = 0;
  for (const Lease& g : waiting_) {
    for (const LeasedRange& p : g.ranges) sum += p.n_bytes;
  }
  if (!reading_) return sum;
  for (std::size_t i = range_; i < current_.ranges.size(); ++i) {
    const LeasedRange& p = current_.ranges[i];
    const std::uint64_t read = i == range_ && range_is_open_ ? reader_->n_bytes_read() : 0;
    sum += p.n_bytes - std::min(p.n_bytes, read);
  }
  return sum;
}

}  // namespace tovamill
