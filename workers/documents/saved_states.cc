#include "workers/documents/saved_states.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <random>

#include "engine/text/sha256.h"
#include "io/files/durable.h"
#include "io/files/file_descriptor.h"
#include "io/files/little_endian.h"
#include "io/results/journal.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kMagic = 0x54535654;  // "TVST"
constexpr std::uint32_t kStatesVersion = 1;

template <class T>
std::span<const std::byte> raw_bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

bool read_exactly(int fd, std::span<std::byte> to, std::size_t offset) {
  return read_at(fd, to.data(), to.size(), offset) == static_cast<ssize_t>(to.size());
}

void make_directory(const std::string& run_directory) {
  std::error_code error;
  const bool is_new = fs::create_directory(states_directory(run_directory), error);
  if (error) {
    throw Error(
        code_of_failure(error.value(), ExitCode::cannot_create),
        "cannot create '" + states_directory(run_directory) + "': " + why_io_failed(error.value()));
  }
  if (is_new) sync_directory(run_directory);
}

}  // namespace

std::string states_directory(const std::string& run_directory) {
  return (fs::path(run_directory) / "states").string();
}

SavedStates::SavedStates(const std::string& run_directory, std::string fingerprint)
    : run_directory_(run_directory), fingerprint_(std::move(fingerprint)) {
  std::random_device random;
  temporary_ending_ = "." + std::to_string(getpid()) + "-" + std::to_string(random()) + "-" +
                      std::to_string(random()) + ".tmp";
}

std::string SavedStates::path_of(std::string_view file, std::uint64_t offset) const {
  const std::string name =
      sha256_hex(std::to_string(offset) + " " + std::string(file)).substr(0, 32) + ".state";
  return (fs::path(states_directory(run_directory_)) / name).string();
}

// All that stands before the payload's length.
std::vector<std::byte> SavedStates::head_of(std::string_view file, std::uint64_t offset) const {
  ByteWriter out;
  out.fixed(kMagic);
  out.fixed(kStatesVersion);
  out.text(fingerprint_);
  out.text(file);
  out.fixed(offset);
  return out.take();
}

void SavedStates::save(std::string_view file, std::uint64_t offset,
                       std::span<const std::byte> bytes) const {
  make_directory(run_directory_);
  const std::vector<std::byte> head = head_of(file, offset);
  const std::uint64_t n_bytes = bytes.size();
  const std::uint32_t crc = crc32c(bytes, crc32c(raw_bytes_of(n_bytes), crc32c(head)));
  const std::array<std::span<const std::byte>, 4> parts{head, raw_bytes_of(n_bytes), bytes,
                                                        raw_bytes_of(crc)};
  const std::string path = path_of(file, offset);
  write_file_durably(path, path + temporary_ending_, parts);
}

std::optional<std::vector<std::byte>> SavedStates::find(std::string_view file,
                                                        std::uint64_t offset) const {
  const FileDescriptor fd(
      open(path_of(file, offset).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  struct stat status {};
  if (fd.get() < 0 || fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  const std::vector<std::byte> expected = head_of(file, offset);
  const auto on_disk = static_cast<std::uint64_t>(status.st_size);
  std::uint64_t n_bytes = 0;
  std::uint32_t crc = 0;
  const std::uint64_t around = expected.size() + sizeof n_bytes + sizeof crc;
  if (on_disk < around) return {};
  std::vector<std::byte> head(expected.size());
  if (!read_exactly(fd.get(), head, 0) || head != expected) return {};
  if (!read_exactly(fd.get(), std::as_writable_bytes(std::span(&n_bytes, 1)), head.size()) ||
      n_bytes != on_disk - around)
    return {};
  std::vector<std::byte> bytes(static_cast<std::size_t>(n_bytes));
  const std::size_t begin = head.size() + sizeof n_bytes;
  if (!read_exactly(fd.get(), bytes, begin) ||
      !read_exactly(fd.get(), std::as_writable_bytes(std::span(&crc, 1)), begin + bytes.size()) ||
      crc != crc32c(bytes, crc32c(raw_bytes_of(n_bytes), crc32c(head))))
    return {};
  return bytes;
}

void SavedStates::remove(std::string_view file, std::uint64_t offset) const {
  unlink(path_of(file, offset).c_str());
}

void SavedStates::remove_all(const std::string& run_directory) {
  std::error_code ignored;
  fs::remove_all(states_directory(run_directory), ignored);
}

}  // namespace tovamill
