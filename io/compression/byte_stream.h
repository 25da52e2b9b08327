// The bytes of a file, decompressed on the way, in constant memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

namespace tovamill {

// Why a stream broke off. Everything before the break was delivered first.
class StreamError : public std::runtime_error {
 public:
  StreamError(const std::string& reason, const std::string& text)
      : std::runtime_error(text), reason_(reason) {}
  const std::string& reason() const noexcept {
    return reason_;
  }  // "truncated", "unreadable", "unsupported"

 private:
  std::string reason_;
};

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Fills the front of `out` (not empty) and returns how many bytes; 0 at the end. Throws
  // StreamError where the file cannot be read on.
  virtual std::size_t read(std::span<char> out) = 0;
  // Continues at a byte offset from the file's start; false where only reading leads there
  // (compressed files). Throws as `read` does.
  virtual bool seek(std::uint64_t) { return false; }
  // Bytes of the file on disk behind what was read, up to a compressed block more.
  virtual std::uint64_t n_bytes_taken() const = 0;
};

// Each throws StreamError if the file cannot be opened. Compressed files may be several members,
// frames or streams one behind another.
std::unique_ptr<ByteStream> open_plain_stream(const std::string& path);
std::unique_ptr<ByteStream> open_gzip_stream(const std::string& path);
std::unique_ptr<ByteStream> open_zstd_stream(const std::string& path);
std::unique_ptr<ByteStream> open_xz_stream(const std::string& path);
std::unique_ptr<ByteStream> open_bzip2_stream(const std::string& path);

}  // namespace tovamill
