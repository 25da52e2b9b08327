// Append-only files of records that survive SIGKILL at any moment: magic, length, CRC-32C, payload. A torn tail is
// ignored when reading. One file per incarnation of a worker (O_EXCL); the writer never appends to another's file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace tovamill {

enum class JournalEntry : std::uint32_t {
  header = 1,    // first record of each file: JSON text with the fingerprint, options, host, device, program version
  document = 2,  // an encoded DocumentRecord
  footer = 3,    // JSON text with the run counters of this incarnation (seconds computing, waiting, writing, ...)
};

class JournalWriter {
 public:
  // Creates the file (fails with Error(cannot_create) if it exists) and makes its directory entry durable.
  explicit JournalWriter(const std::string& path);
  ~JournalWriter();
  JournalWriter(const JournalWriter&) = delete;
  JournalWriter& operator=(const JournalWriter&) = delete;

  // Hands the record to the operating system (survives the death of the process, not of the machine).
  void append(JournalEntry kind, std::span<const std::byte> payload);
  // fdatasync of everything appended. Throws Error(io) with the cause (a full disk: 74 and what to do).
  void sync();
  std::uint64_t n_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Calls `visit` for each intact record in order. Returns the bytes of a torn or damaged tail that were ignored (0: none).
// Throws Error(no_input) if the file cannot be opened.
std::uint64_t read_journal(const std::string& path,
                           const std::function<void(JournalEntry, std::span<const std::byte>)>& visit);

// CRC-32C (Castagnoli) as in RFC 3720.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc = 0);

}  // namespace tovamill
