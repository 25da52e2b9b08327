#include "io/results/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "io/files/durable.h"
#include "io/files/little_endian.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

constexpr std::uint32_t kMagic = 0x314a5654;  // "TVJ1"
constexpr std::size_t kCheckedBytes = 16;     // magic, kind, length
constexpr std::size_t kHeadBytes = kCheckedBytes + 4;
using Head = std::array<std::byte, kHeadBytes>;

Head make_head(JournalEntry kind, std::span<const std::byte> payload) {
  Head head;
  const auto kind_number = static_cast<std::uint32_t>(kind);
  const std::uint64_t length = payload.size();
  std::memcpy(head.data(), &kMagic, 4);
  std::memcpy(head.data() + 4, &kind_number, 4);
  std::memcpy(head.data() + 8, &length, 8);
  const std::uint32_t crc = crc32c(payload, crc32c(std::span(head).first(kCheckedBytes)));
  std::memcpy(head.data() + kCheckedBytes, &crc, 4);
  return head;
}

}  // namespace

// ---- writing ----

struct JournalWriter::Impl {
  std::string path;
  FileDescriptor file;
  std::uint64_t n_bytes = 0;
  bool broken = false;

  [[noreturn]] void fail(const char* what) {
    broken = true;
    throw Error(ExitCode::io,
                std::string(what) + " the journal '" + path + "' failed: " + why_io_failed(errno));
  }
};

JournalWriter::JournalWriter(const std::string& path) : impl_(std::make_unique<Impl>()) {
  impl_->path = path;
  impl_->file =
      FileDescriptor(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666));
  if (impl_->file.get() < 0)
    throw Error(code_of_failure(errno, ExitCode::cannot_create),
                "cannot create the journal '" + path + "': " + why_io_failed(errno));
  sync_directory(std::filesystem::absolute(path).parent_path().string());
}

JournalWriter::~JournalWriter() = default;

void JournalWriter::append(JournalEntry kind, std::span<const std::byte> payload) {
  if (impl_->broken)
    throw Error(ExitCode::io,
                "the journal '" + impl_->path + "' takes no more records after a failed write");
  Head head = make_head(kind, payload);
  const std::array<iovec, 2> parts{
      {{head.data(), head.size()}, {const_cast<std::byte*>(payload.data()), payload.size()}}};
  ssize_t n = 0;
  do {
    n = writev(impl_->file.get(), parts.data(), 2);
  } while (n < 0 && errno == EINTR);
  if (n < 0) impl_->fail("writing");
  // The bytes that a short write left over.
  const auto done = static_cast<std::size_t>(n);
  const std::size_t head_done = std::min(done, head.size());
  const std::size_t payload_done = done - head_done;
  if (!write_all(impl_->file.get(), head.data() + head_done, head.size() - head_done) ||
      !write_all(impl_->file.get(), payload.data() + payload_done, payload.size() - payload_done))
    impl_->fail("writing");
  impl_->n_bytes += head.size() + payload.size();
}

void JournalWriter::sync() {
  if (impl_->broken)
    throw Error(ExitCode::io,
                "the journal '" + impl_->path + "' cannot be made durable after a failed write");
  while (fdatasync(impl_->file.get()) != 0) {
    if (errno != EINTR) impl_->fail("fdatasync of");
  }
}

std::uint64_t JournalWriter::n_bytes() const { return impl_->n_bytes; }

std::vector<std::byte> JournalWriter::frame(JournalEntry kind, std::span<const std::byte> payload) {
  const Head head = make_head(kind, payload);
  std::vector<std::byte> bytes(head.size() + payload.size());
  std::copy(payload.begin(), payload.end(), std::copy(head.begin(), head.end(), bytes.begin()));
  return bytes;
}

int JournalWriter::descriptor() const { return impl_->file.get(); }

// ---- reading ----

JournalReader::JournalReader(const std::string& path)
    : path_(path), file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  struct stat info {};
  if (file_.get() < 0 || fstat(file_.get(), &info) != 0)
    throw Error(code_of_failure(errno, ExitCode::no_input),
                "cannot open the journal '" + path + "': " + why_io_failed(errno));
  n_bytes_ = static_cast<std::uint64_t>(info.st_size);
}

bool JournalReader::read_intact(std::uint64_t position) {
  const auto fetch = [&](void* to, std::size_t n, std::uint64_t at) {
    const ssize_t got = read_at(file_.get(), to, n, at);
    if (got < 0)
      throw Error(ExitCode::io,
                  "reading the journal '" + path_ + "' failed: " + why_io_failed(errno));
    return static_cast<std::size_t>(got) == n;
  };
  Head head;
  if (position > n_bytes_ || n_bytes_ - position < kHeadBytes ||
      !fetch(head.data(), kHeadBytes, position))
    return false;
  const auto length = load_little<std::uint64_t>(head.data() + 8);
  if (load_little<std::uint32_t>(head.data()) != kMagic ||
      length > n_bytes_ - position - kHeadBytes)
    return false;
  payload_.resize(static_cast<std::size_t>(length));
  if (!fetch(payload_.data(), payload_.size(), position + kHeadBytes)) return false;
  kind_ = static_cast<JournalEntry>(load_little<std::uint32_t>(head.data() + 4));
  position_ = position;
  return crc32c(payload_, crc32c(std::span(head).first(kCheckedBytes))) ==
         load_little<std::uint32_t>(head.data() + kCheckedBytes);
}

bool JournalReader::next() {
  if (!read_intact(end_)) return false;
  end_ += kHeadBytes + payload_.size();
  return true;
}

void JournalReader::read(std::uint64_t position) {
  if (!read_intact(position))
    throw BadData("the journal '" + path_ + "' has no intact record at byte " +
                  std::to_string(position) + " any more: the file was changed while it was read");
}

std::uint64_t read_journal(
    const std::string& path,
    const std::function<void(JournalEntry, std::span<const std::byte>)>& visit) {
  JournalReader reader(path);
  while (reader.next()) visit(reader.kind(), reader.payload());
  return reader.n_ignored();
}

}  // namespace tovamill
