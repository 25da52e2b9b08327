// The journal of this incarnation: finished documents are handed to the system at once and made
// durable in groups.
#pragma once

#include <cstdint>
#include <string>

#include "io/results/journal.h"
#include "pipeline/run_directory/document_record.h"
#include "pipeline/run_directory/journal_entries.h"

namespace tovamill {

class RunJournal {
 public:
  // `header` is JSON text: the fingerprint, options, host, device.
  RunJournal(const std::string& path, const std::string& header, double sync_seconds);

  void append(const DocumentRecord& record);
  void append(const SpanEntry& entry);
  void append(const BegunEntry& entry);
  void append(const CrashEntry& entry);
  // Makes durable what was appended if `sync_seconds` have passed since the last time; whether
  // everything is durable now.
  bool sync_if_due();
  void sync();
  void sync_if_needed() {
    if (dirty_) sync();
  }
  // Writes the counters of this incarnation (JSON text) and makes everything durable.
  void close(const std::string& footer);

  double seconds_writing() const { return seconds_writing_; }
  int descriptor() const { return writer_.descriptor(); }

 private:
  void append(JournalEntry kind, const std::vector<std::byte>& payload);
  JournalWriter writer_;
  double sync_seconds_;
  double last_sync_s_;
  bool dirty_ = true;
  double seconds_writing_ = 0.0;
};

// Seconds of a steady clock.
double now_s();

}  // namespace tovamill
