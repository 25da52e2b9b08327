#include "io/compression/byte_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "io/compression/compressed_input.h"
#include "io/files/durable.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

class PlainStream : public ByteStream {
 public:
  explicit PlainStream(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    // What this process lacks is no fault of the file.
    if (fd_ < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
      throw Error(ExitCode::io, path + ": cannot be opened: " + why_io_failed(errno));
    if (fd_ < 0)
      throw StreamError("unreadable", std::string("cannot be opened: ") + std::strerror(errno));
    posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  ~PlainStream() override { close(fd_); }
  PlainStream(const PlainStream&) = delete;
  PlainStream& operator=(const PlainStream&) = delete;

  std::size_t read(std::span<char> out) override {
    for (;;) {
      const ssize_t n = ::read(fd_, out.data(), out.size());
      if (n >= 0) {
        n_taken_ += static_cast<std::uint64_t>(n);
        return static_cast<std::size_t>(n);
      }
      if (errno != EINTR)
        throw StreamError("unreadable", std::string("cannot be read: ") + std::strerror(errno));
    }
  }
  std::uint64_t n_bytes_taken() const override { return n_taken_; }

  bool seek(std::uint64_t offset) override {
    if (lseek(fd_, static_cast<off_t>(offset), SEEK_SET) < 0)
      throw StreamError("unreadable", std::string("cannot be read: ") + std::strerror(errno));
    return true;
  }

 private:
  int fd_;
  std::uint64_t n_taken_ = 0;
};

}  // namespace

std::unique_ptr<ByteStream> open_plain_stream(const std::string& path) {
  return std::make_unique<PlainStream>(path);
}

CompressedInput::CompressedInput(const std::string& path)
    : file_(open_plain_stream(path)), bytes_(kInputBytes) {}

bool CompressedInput::refill() {
  begin_ = 0;
  end_ = file_->read(bytes_);
  return end_ > 0;
}

}  // namespace tovamill
