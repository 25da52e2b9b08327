// The journal of this incarnation: finished documents are handed to the system at once and made
// durable in groups.
#pragma once

#include <cstdint>
#include <string>

#include "io/journal.h"
#include "pipeline/document_record.h"

namespace tovamill {

class RunJournal {
 public:
  // `header` is JSON text: the fingerprint, options, host, device.
  RunJournal(const std::string& path, const std::string& header, double sync_seconds);

  void append(const DocumentRecord& record);
  // Makes durable what was appended if `sync_seconds` have passed since the last time.
  void sync_if_due();
  // Writes the counters of this incarnation (JSON text) and makes everything durable.
  void close(const std::string& footer);

  double seconds_writing() const { return seconds_writing_; }

 private:
  void sync();
  JournalWriter writer_;
  double sync_seconds_;
  double last_sync_s_;
  bool dirty_ = true;
  double seconds_writing_ = 0.0;
};

// Seconds of a steady clock.
double now_s();

}  // namespace tovamill
