// The states of documents that a run has left in the middle: a file each in <run
// directory>/states/, whole or absent, whichever rank wrote it or looks for it.
//
// A file, little-endian: u32 magic "TVST", u32 version, fingerprint, path of the corpus file (a
// varint length and text each), u64 offset of the document in it, u64 length of the payload,
// payload, u32 CRC-32C of all before. Its name: the first 32 hexadecimal digits of the SHA-256 of
// path and offset, and ".state".
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tovamill {

std::string states_directory(const std::string& run_directory);

// For one thread at a time; several processes may work on one run directory.
class SavedStates {
 public:
  // `fingerprint` is the run's, as text: states of another one are never found. Touches no file.
  SavedStates(const std::string& run_directory, std::string fingerprint);

  // Keeps `bytes` for the document at `offset` of the corpus file `file`, durably, in place of what
  // was kept for it. Throws Error(io) with the disk's message (a full disk), Error(cannot_create)
  // where the directory cannot be made; no temporary file is left behind then.
  void save(std::string_view file, std::uint64_t offset, std::span<const std::byte> bytes) const;
  // What was kept; nothing where the file is absent, cannot be read, is damaged, torn, or of
  // another document or run: the document then starts anew.
  std::optional<std::vector<std::byte>> find(std::string_view file, std::uint64_t offset) const;
  // Forgets the document, which is done. A file that cannot be deleted does no harm and stays.
  void remove(std::string_view file, std::uint64_t offset) const;
  // Deletes states/ with everything in it, temporaries of dead processes included. What cannot be
  // deleted stays.
  static void remove_all(const std::string& run_directory);

 private:
  std::string path_of(std::string_view file, std::uint64_t offset) const;
  std::vector<std::byte> head_of(std::string_view file, std::uint64_t offset) const;

  std::string run_directory_;
  std::string fingerprint_;
  std::string temporary_ending_;  // of this process alone, on any host
};

}  // namespace tovamill
