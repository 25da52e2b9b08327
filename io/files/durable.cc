#include "io/files/durable.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "io/files/file_descriptor.h"
#include "io/files/temporary_file.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

[[noreturn]] void fail(const std::string& what, const std::string& path) {
  throw Error(ExitCode::io, what + " '" + path + "' failed: " + why_io_failed(errno));
}

// Calls fsync, which network file systems may interrupt.
bool sync_descriptor(int descriptor) {
  int result = 0;
  do {
    result = fsync(descriptor);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

void sync_path(const std::string& path, int flags) {
  FileDescriptor fd(open(path.c_str(), flags | O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) fail("opening", path);
  // Some file systems cannot fsync a directory; they have nothing to make durable then.
  if (!sync_descriptor(fd.get()) && !(flags & O_DIRECTORY && (errno == EINVAL || errno == ENOTSUP)))
    fail("fsync of", path);
}

std::string parent_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

// The descriptor that wrote is synced: only it is told of a failed write.
void write_parts(const std::string& path, std::span<const std::span<const std::byte>> parts) {
  FileDescriptor fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (fd.get() < 0) {
    throw Error(code_of_failure(errno, ExitCode::cannot_create),
                "cannot create '" + path + "': " + why_io_failed(errno));
  }
  for (const std::span<const std::byte> part : parts) {
    if (!write_all(fd.get(), part.data(), part.size())) fail("writing", path);
  }
  if (!sync_descriptor(fd.get())) fail("fsync of", path);
}

}  // namespace

ExitCode code_of_failure(int error_number, ExitCode otherwise) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EIO:
      return ExitCode::io;
    default:
      return otherwise;
  }
}

std::string why_io_failed(int error_number) {
  std::string why = std::strerror(error_number);
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      return why + ": free some space and run the same command again, finished work is kept";
    case EFBIG:
      return why + ": raise the limit of file sizes (ulimit -f) and run the same command again, " +
             "finished work is kept";
    case EMFILE:
      return why + ": raise the limit of open files (ulimit -n)";
    case ENFILE:
      return why + ": close other programs, or raise fs.file-max";
    default:
      return why;
  }
}

void sync_directory(const std::string& path) { sync_path(path, O_DIRECTORY); }

void rename_durably(const std::string& temporary, const std::string& path) {
  sync_path(temporary, 0);
  if (std::rename(temporary.c_str(), path.c_str()) != 0) fail("renaming to", path);
  sync_directory(parent_of(path));
}

void write_file_durably(const std::string& path, const std::string& temporary,
                        std::span<const std::span<const std::byte>> parts) {
  try {
    write_parts(temporary, parts);
    rename_durably(temporary, path);
  } catch (const Error&) {
    unlink(temporary.c_str());
    throw;
  }
}

void write_file_durably(const std::string& path, std::string_view content) {
  TemporaryFile temporary(target_of(path));
  if (!write_all(temporary.descriptor(), content.data(), content.size())) fail("writing", path);
  if (!sync_descriptor(temporary.descriptor())) fail("fsync of", path);
  temporary.replace_target();
}

void replace_file(const std::string& path, std::string_view content) {
  TemporaryFile temporary(target_of(path));
  if (!write_all(temporary.descriptor(), content.data(), content.size())) fail("writing", path);
  temporary.replace_target(false);
}

}  // namespace tovamill
