// The small records of a journal beside the documents: which places of the corpus hold no record,
// which documents were begun, why the process died.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tovamill {

// JournalEntry::span: the places [begin, end) of a corpus file are accounted for though no record
// is there, and `n_lines` begin in it (RecordReader::rest).
struct SpanEntry {
  std::string file;  // absolute path
  std::uint64_t begin = 0, end = 0;
  std::uint64_t n_lines = 0;

  bool operator==(const SpanEntry&) const = default;
};

// JournalEntry::begun: the document at `offset` of a corpus file enters the model.
struct BegunEntry {
  std::string file;  // absolute path
  std::uint64_t offset = 0;

  bool operator==(const BegunEntry&) const = default;
};

// JournalEntry::crash: why the process is dying: "signal 11", "out of memory".
struct CrashEntry {
  std::string text;

  bool operator==(const CrashEntry&) const = default;
};

// Self-contained little-endian byte strings, and back. Decoding checks every length and throws
// BadData naming `where`.
std::vector<std::byte> encode(const SpanEntry& entry);
std::vector<std::byte> encode(const BegunEntry& entry);
std::vector<std::byte> encode(const CrashEntry& entry);
SpanEntry decode_span(std::span<const std::byte> bytes, const std::string& where);
BegunEntry decode_begun(std::span<const std::byte> bytes, const std::string& where);
CrashEntry decode_crash(std::span<const std::byte> bytes, const std::string& where);

}  // namespace tovamill
