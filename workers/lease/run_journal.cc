#include "workers/lease/run_journal.h"

#include <chrono>
#include <span>
#include <vector>

namespace tovamill {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

RunJournal::RunJournal(const std::string& path, const std::string& header, double sync_seconds)
    : writer_(path), sync_seconds_(sync_seconds), last_sync_s_(now_s()) {
  writer_.append(JournalEntry::header, bytes_of(header));
  sync();
}

void RunJournal::append(JournalEntry kind, const std::vector<std::byte>& payload) {
  const double start = now_s();
  writer_.append(kind, payload);
  dirty_ = true;
  seconds_writing_ += now_s() - start;
}

void RunJournal::append(const DocumentRecord& r) { append(JournalEntry::document, encode(r)); }
void RunJournal::append(const SpanEntry& e) { append(JournalEntry::span, encode(e)); }
void RunJournal::append(const BegunEntry& e) { append(JournalEntry::begun, encode(e)); }
void RunJournal::append(const CrashEntry& e) { append(JournalEntry::crash, encode(e)); }

void RunJournal::sync() {
  const double start = now_s();
  writer_.sync();
  dirty_ = false;
  last_sync_s_ = now_s();
  seconds_writing_ += last_sync_s_ - start;
}

bool RunJournal::sync_if_due() {
  if (dirty_ && now_s() - last_sync_s_ >= sync_seconds_) sync();
  return !dirty_;
}

void RunJournal::close(const std::string& footer) {
  writer_.append(JournalEntry::footer, bytes_of(footer));
  sync();
}

}  // namespace tovamill
