// The records that an index of journals names, one at a time.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "io/results/journal.h"
#include "pipeline/run_directory/run_directory.h"

namespace tovamill {

// Keeps a few journals open: a long-lived run directory may hold thousands.
class IndexedDocuments {
 public:
  explicit IndexedDocuments(const JournalIndex& index) : index_(index) {}

  // Throws Error(no_input or io), BadData if the journal changed since it was scanned.
  DocumentRecord read(const DocumentLocation& at);

 private:
  static constexpr std::size_t kMostOpen = 256;
  const JournalIndex& index_;
  std::map<std::uint32_t, JournalReader> readers_;
};

// The id of a record that has none of its own: "<file name>" if the file is one record, else "<file
// name>:<line>", or "<file name>@<offset>" where the line is not known (0).
std::string default_id(const std::string& file, std::uint64_t line, std::uint64_t offset);

}  // namespace tovamill
