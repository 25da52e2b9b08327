// A file as read-only memory.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace tovamill {

// Owns the mapping of a whole regular file; move-only. An empty file is an empty span. The file
// must not be shortened by others while it is mapped.
class MappedFile {
 public:
  // Throws Error(no_input) where the file is missing, unreadable or not a regular file, Error(io)
  // where mapping fails.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, n_bytes_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), n_bytes_}; }

 private:
  void unmap() noexcept;

  std::string path_;
  const std::byte* data_ = nullptr;
  std::size_t n_bytes_ = 0;
};

}  // namespace tovamill
