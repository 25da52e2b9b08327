// Append-only files of records that survive SIGKILL at any moment. A torn tail is ignored when
// reading. One file per incarnation of a worker (O_EXCL); the writer never appends to another's
// file.
//
// A record, little-endian: magic u32 "TVJ1", kind u32, payload length u64, CRC-32C u32 of the 16
// bytes before and the payload, payload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/files/file_descriptor.h"

namespace tovamill {

enum class JournalEntry : std::uint32_t {
  header = 1,  // first record of each file: JSON text with the fingerprint, options, host, device,
               // program version
  document = 2,  // an encoded DocumentRecord
  footer = 3,    // JSON text with the run counters of this incarnation (seconds computing, waiting,
                 // writing, ...)
  // Encoded by pipeline/run_directory/journal_entries.h:
  span = 4,   // places of a corpus file that hold no record
  begun = 5,  // a document enters the model
  crash = 6,  // why the process dies: it was computing what was begun and not finished
  // Of journal/inputs.log, encoded by pipeline/run_directory/input_files.h:
  input = 7,        // a corpus file as the run found it
  model_input = 8,  // a file of the model's weights
};

// For one thread at a time.
class JournalWriter {
 public:
  // Creates the file (fails with Error(cannot_create) if it exists) and makes its directory entry
  // durable.
  explicit JournalWriter(const std::string& path);
  ~JournalWriter();
  JournalWriter(const JournalWriter&) = delete;
  JournalWriter& operator=(const JournalWriter&) = delete;

  // Hands the record to the operating system (survives the death of the process, not of the
  // machine). Throws Error(io) with the cause. The journal takes no more records after
  // that; what it holds stays valid.
  void append(JournalEntry kind, std::span<const std::byte> payload);
  // fdatasync of everything appended. Throws as `append` does.
  void sync();
  std::uint64_t n_bytes() const;

  // The bytes that `append` writes. A signal handler, which may only call write(2), writes a frame
  // prepared in advance to `descriptor` (opened for appending).
  static std::vector<std::byte> frame(JournalEntry kind, std::span<const std::byte> payload);
  int descriptor() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The intact records of a journal in order.
class JournalReader {
 public:
  // Throws Error(no_input) if the file cannot be opened.
  explicit JournalReader(const std::string& path);

  // False where the intact records end; throws Error(io) if the disk fails. The payload holds until
  // the next call.
  bool next();
  JournalEntry kind() const { return kind_; }
  std::span<const std::byte> payload() const { return payload_; }
  std::uint64_t position() const { return position_; }  // of the record in the file, for `read`

  // The record at a position that `position()` gave, checked again; throws BadData if it is not
  // intact any more.
  void read(std::uint64_t position);

  // After `next` returned false: bytes of a torn or damaged tail that were ignored.
  std::uint64_t n_ignored() const { return n_bytes_ - end_; }

 private:
  bool read_intact(std::uint64_t position);

  std::string path_;
  FileDescriptor file_;
  std::uint64_t n_bytes_ = 0;   // of the file when it was opened
  std::uint64_t position_ = 0;  // of the current record
  std::uint64_t end_ = 0;       // behind the last intact record that `next` gave
  JournalEntry kind_{};
  std::vector<std::byte> payload_;
};

// Calls `visit` for each intact record in order. Returns the bytes of a torn or damaged tail that
// were ignored (0: none). Throws Error(no_input) if the file cannot be opened.
std::uint64_t read_journal(
    const std::string& path,
    const std::function<void(JournalEntry, std::span<const std::byte>)>& visit);

// CRC-32C (Castagnoli) as in RFC 3720; `crc` is that of the bytes before. `_by_tables`: without the
// CPU's instruction.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc = 0);
std::uint32_t crc32c_by_tables(std::span<const std::byte> bytes, std::uint32_t crc = 0);

}  // namespace tovamill
