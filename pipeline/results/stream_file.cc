#include "pipeline/results/stream_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "io/corpus/corpus_format.h"
#include "io/files/durable.h"
#include "kernels/types/error.h"
#include "pipeline/results/generation_json.h"
#include "pipeline/results/stream_line.h"
#include "pipeline/run_directory/indexed_documents.h"

namespace tovamill {
namespace {

constexpr std::uint64_t kFirstLineBytes = 1u << 20;

// A write lock of the whole file; the constructor waits for it. Under the lock NFS asks the server
// for the current size. The lock belongs to the open file description if the system has such locks:
// the lock of a process is lost as soon as any other descriptor of the file is closed.
class FileLock {
 public:
  FileLock(int fd, const std::string& path) : fd_(fd) {
    if (set(F_OFD_SETLKW, F_WRLCK)) return;
    command_ = F_SETLKW;
    if (errno == EINVAL && set(command_, F_WRLCK)) return;
    throw Error(ExitCode::io, "locking '" + path + "' failed: " + why_io_failed(errno) +
                                  ": give --stream-jsonl a file on a file system with locks");
  }
  ~FileLock() { set(command_, F_UNLCK); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  bool set(int command, short type) const {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    int result = 0;
    do {
      result = fcntl(fd_, command, &lock);
    } while (result != 0 && errno == EINTR);
    return result == 0;
  }

  int fd_;
  int command_ = F_OFD_SETLKW;
};

[[noreturn]] void fail(const char* what, const std::string& path) {
  throw Error(ExitCode::io, std::string(what) + " '" + path + "' failed: " + why_io_failed(errno));
}

std::uint64_t size_of(int fd, const std::string& path) {
  struct stat info {};
  if (fstat(fd, &info) != 0) fail("asking for the size of", path);
  return static_cast<std::uint64_t>(info.st_size);
}

// The end of the last whole line in the first `size` bytes.
std::uint64_t end_of_lines(int fd, const std::string& path, std::uint64_t size) {
  std::array<char, 65536> block;
  for (std::uint64_t end = size; end > 0;) {
    const std::uint64_t n = std::min<std::uint64_t>(block.size(), end), begin = end - n;
    if (read_at(fd, block.data(), n, begin) != static_cast<ssize_t>(n)) fail("reading", path);
    const std::size_t at = std::string_view(block.data(), n).rfind('\n');
    if (at != std::string_view::npos) return begin + at + 1;
    end = begin;
  }
  return 0;
}

std::string read_text(int fd, const std::string& path, std::uint64_t begin, std::uint64_t n) {
  std::string text(n, '\0');
  if (read_at(fd, text.data(), n, begin) != static_cast<ssize_t>(n)) fail("reading", path);
  return text;
}

// Whether this program may have written what stands behind the last line end, at `end`: it begins
// as our lines do, so does the file, and it is no whole object of others that lacks its line end.
bool is_torn_line_of_ours(int fd, const std::string& path, std::uint64_t end, std::uint64_t size) {
  const std::size_t n_front = kStreamLineFront.size();
  const auto is_front = [&](std::uint64_t begin) {
    return kStreamLineFront.starts_with(
        read_text(fd, path, begin, std::min<std::uint64_t>(n_front, size - begin)));
  };
  if (!is_front(0) || !is_front(end)) return false;
  const auto last = static_cast<char>(read_text(fd, path, size - 1, 1).front());
  const std::string line = last == '}' ? read_text(fd, path, end, size - end) : std::string();
  if (nlohmann::json::accept(line) && !parse_stream_line(line)) return false;
  if (end == 0) return true;
  std::string first = read_text(fd, path, 0, std::min<std::uint64_t>(end, kFirstLineBytes));
  const std::size_t at = first.find('\n');
  return at == std::string::npos || parse_stream_line(first.substr(0, at)).has_value();
}

// Cuts off a torn last line if this program wrote it; returns the size then. Call under the lock.
std::uint64_t cut_torn_line(int fd, const std::string& path) {
  const std::uint64_t size = size_of(fd, path), end = end_of_lines(fd, path, size);
  if (end == size) return size;
  if (!is_torn_line_of_ours(fd, path, end, size)) throw_foreign_stream(path, "its last line");
  if (ftruncate(fd, static_cast<off_t>(end)) != 0) fail("cutting off a torn line of", path);
  return end;
}

TextPlace place_of(const DocumentRecord& r) {
  TextPlace place{.id = r.id.empty() ? default_id(r.file, r.line, r.offset) : r.id,
                  .file = r.file,
                  .line = std::nullopt,
                  .offset = r.offset};
  const std::optional<CorpusFormat> format = format_of(r.file);
  if (r.line > 0 || (format && !format->has_lines())) place.line = r.line;
  return place;
}

}  // namespace

StreamFile::StreamFile(const std::string& path)
    : path_(path), file_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666)) {
  struct stat info {};
  if (file_.get() < 0 || fstat(file_.get(), &info) != 0)
    throw Error(code_of_failure(errno, ExitCode::cannot_create),
                "cannot open '" + path + "' for --stream-jsonl: " + why_io_failed(errno));
  if (!S_ISREG(info.st_mode))
    throw Error(ExitCode::cannot_create, "'" + path +
                                             "' is not a regular file: give --stream-jsonl the "
                                             "name of one, it is read again when a run continues");
  sync_directory(std::filesystem::absolute(path).parent_path().string());
  const FileLock lock(file_.get(), path_);
  cut_torn_line(file_.get(), path_);
}

void StreamFile::clear() {
  const FileLock lock(file_.get(), path_);
  if (ftruncate(file_.get(), 0) != 0) fail("emptying", path_);
}

void StreamFile::append(std::span<const DocumentRecord> records) {
  std::string lines;
  for (const DocumentRecord& record : records) lines += stream_lines(record);
  append_lines(lines);
}

void StreamFile::append_lines(const std::string& lines) {
  if (lines.empty()) return;
  {
    const FileLock lock(file_.get(), path_);
    const std::uint64_t end = cut_torn_line(file_.get(), path_);
    if (lseek(file_.get(), static_cast<off_t>(end), SEEK_SET) < 0) fail("seeking in", path_);
    if (!write_all(file_.get(), lines.data(), lines.size())) {
      const int why = errno;
      // If this fails, too, the next process that appends or opens cuts off the torn line.
      static_cast<void>(!ftruncate(file_.get(), static_cast<off_t>(end)));
      errno = why;
      fail("writing", path_);
    }
  }
  while (fdatasync(file_.get()) != 0) {
    if (errno != EINTR) fail("fdatasync of", path_);
  }
}

std::string stream_lines(const DocumentRecord& r) {
  const TextPlace place = place_of(r);
  if (r.status == DocumentRecord::Status::failed)
    return json_line(failure_object(place, r.failure_reason, r.failure_text)) + "\n";
  std::string lines;
  for (const Generation& g : r.generations) lines += json_line(generation_object(place, g)) + "\n";
  return lines;
}

}  // namespace tovamill
