#include "io/files/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "io/files/durable.h"
#include "kernels/types/error.h"

namespace tovamill {

namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    throw Error(code_of_failure(errno, ExitCode::no_input),
                path + ": cannot open: " + why_io_failed(errno));
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    throw Error(ExitCode::io, path + ": cannot read its size: " + std::strerror(errno));
  }
  if (S_ISDIR(status.st_mode)) {
    throw Error(ExitCode::no_input, path + ": is a directory where a file is needed");
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error(ExitCode::no_input, path + ": is not a regular file, so it cannot be mapped");
  }
  n_bytes_ = static_cast<std::size_t>(status.st_size);
  if (n_bytes_ == 0) return;
  void* memory = ::mmap(nullptr, n_bytes_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (memory == MAP_FAILED) {
    if (errno == ENOMEM)
      throw OutOfMemory(path + ": cannot be mapped into memory: raise the limit of memory " +
                        "(ulimit -v)");
    throw Error(ExitCode::io, path + ": cannot map into memory: " + std::strerror(errno));
  }
  data_ = static_cast<const std::byte*>(memory);
}

MappedFile::~MappedFile() { unmap(); }

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      n_bytes_(std::exchange(other.n_bytes_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this == &other) return *this;
  unmap();
  path_ = std::move(other.path_);
  data_ = std::exchange(other.data_, nullptr);
  n_bytes_ = std::exchange(other.n_bytes_, 0);
  return *this;
}

void MappedFile::unmap() noexcept {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), n_bytes_);
}

}  // namespace tovamill
