#include "workers/load/model_copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "io/files/durable.h"
#include "io/files/file_descriptor.h"
#include "io/files/little_endian.h"
#include "io/model/model_files.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "kernels/types/printable.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kChunk = std::size_t{8} << 20;     // bytes of a message
constexpr std::size_t kMostList = std::size_t{1} << 20;  // of the list of files
constexpr std::size_t kMostText = 4096;                  // of an error

// Before each payload, in a broadcast of its own.
struct Frame {
  static constexpr std::uint32_t kMagic = 0x7970636d;  // "mcpy"
  std::uint32_t magic = kMagic;
  std::int32_t failure = 0;   // an exit code: the payload is the error's text and the last
  std::uint64_t n_bytes = 0;  // of the payload
};

// The files by name, and whether they are to be opened as a directory.
struct FileList {
  struct Entry {
    std::string name;
    std::uint64_t n_bytes;
  };
  bool is_directory = false;
  std::vector<Entry> files = {};

  std::uint64_t n_bytes() const {
    std::uint64_t sum = 0;
    for (const Entry& f : files) sum += f.n_bytes;
    return sum;
  }
  std::vector<std::byte> encoded() const {
    ByteWriter w;
    w.fixed(static_cast<std::uint8_t>(is_directory));
    w.varint(files.size());
    for (const Entry& f : files) {
      w.text(f.name);
      w.fixed(f.n_bytes);
    }
    return w.take();
  }
  // The sizes fit a file, and so does their sum. Names are not looked at.
  static FileList decoded(std::span<const std::byte> bytes) {
    constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 60;
    ByteReader r(bytes, "the list of model files from rank 0");
    FileList list;
    list.is_directory = r.fixed<std::uint8_t>() != 0;
    for (std::size_t n = r.count(1 + sizeof(std::uint64_t)); n > 0; --n) {
      std::string name = r.text();
      const auto n_bytes = r.fixed<std::uint64_t>();
      if (n_bytes > kMostBytes - list.n_bytes()) r.fail("a size is not possible");
      list.files.push_back({std::move(name), n_bytes});
    }
    r.expect_end();
    if (list.files.empty()) r.fail("it is empty");
    return list;
  }
};

class Sender {
 public:
  explicit Sender(const Broadcast& broadcast) : broadcast_(broadcast) {}

  void send(std::span<std::byte> payload, int failure = 0) {
    Frame frame{.failure = failure, .n_bytes = payload.size()};
    is_broken_ = true;  // where a broadcast throws, no other can follow
    broadcast_(std::as_writable_bytes(std::span(&frame, 1)));
    if (!payload.empty()) broadcast_(payload);
    is_broken_ = false;
  }
  void send_failure(ExitCode code, std::string text) {
    if (is_broken_) return;
    if (text.size() > kMostText) text.resize(kMostText);
    send(std::as_writable_bytes(std::span(text)), static_cast<int>(code));
  }

 private:
  const Broadcast& broadcast_;
  bool is_broken_ = false;
};

struct OpenFile {
  std::string path;
  FileDescriptor fd;
  std::uint64_t n_bytes;
};

OpenFile open_to_send(const std::string& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (fd.get() < 0 || ::fstat(fd.get(), &status) != 0)
    throw Error(ExitCode::no_input, path + ": cannot be read: " + std::strerror(errno));
  return {path, std::move(fd), static_cast<std::uint64_t>(status.st_size)};
}

void send_files(const std::string& path, Sender& sender) {
  // Opened as a model first: what is broken is told before gigabytes have travelled.
  const auto model = ModelFiles::open(path, ModelFiles::Parts::weights_only);
  std::vector<OpenFile> files;
  FileList list{.is_directory = model->format() == ModelFiles::Format::hugging_face};
  for (const std::string& file : model->file_paths()) {
    files.push_back(open_to_send(file));
    list.files.push_back({fs::path(file).filename().string(), files.back().n_bytes});
  }
  std::vector<std::byte> encoded = list.encoded();
  sender.send(encoded);
  std::vector<std::byte> chunk(kChunk);
  for (const OpenFile& file : files) {
    for (std::uint64_t at = 0; at < file.n_bytes;) {
      const std::size_t n = std::min<std::uint64_t>(kChunk, file.n_bytes - at);
      const ssize_t got = read_at(file.fd.get(), chunk.data(), n, at);
      if (got < 0)
        throw Error(ExitCode::io, file.path + ": reading failed: " + std::strerror(errno));
      if (static_cast<std::size_t>(got) != n)
        throw Error(ExitCode::io, file.path + ": became shorter while it was read");
      sender.send(std::span(chunk).first(n));
      at += n;
    }
  }
}

}  // namespace

void send_model(const std::string& path, const Broadcast& broadcast) {
  Sender sender(broadcast);
  try {
    send_files(path, sender);
  } catch (const Error& e) {
    sender.send_failure(e.code(), e.what());
    throw;
  } catch (const std::exception& e) {
    sender.send_failure(ExitCode::internal, e.what());
    throw;
  }
}

ModelCopy::~ModelCopy() {
  std::error_code ignored;
  if (!directory_.empty()) fs::remove_all(directory_, ignored);
}

class ModelReceiver {
 public:
  ModelReceiver(const Broadcast& broadcast, const std::string& parent)
      : broadcast_(broadcast), parent_(parent) {}

  ModelCopy run() {
    const FileList list = FileList::decoded(next_payload(kMostList, std::nullopt));
    attempt([&] { prepare(list); });
    for (const FileList::Entry& entry : list.files) {
      FileDescriptor file;
      attempt([&] { file = create(entry.name); });
      for (std::uint64_t left = entry.n_bytes; left > 0;) {
        const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(kChunk, left));
        const auto bytes = next_payload(kChunk, n);
        attempt([&] { write(entry.name, file, bytes); });
        left -= n;
      }
    }
    if (problem_) std::rethrow_exception(problem_);
    copy_.path_ = list.is_directory ? copy_.directory_ : path_of(list.files.front().name);
    return std::move(copy_);
  }

 private:
  // The next message's bytes, valid until the one after it.
  std::span<const std::byte> next_payload(std::size_t most, std::optional<std::size_t> expected) {
    Frame frame;
    broadcast_(std::as_writable_bytes(std::span(&frame, 1)));
    const bool is_failure = frame.failure != 0;
    const bool fits =
        is_failure ? frame.n_bytes <= kMostText && frame.failure > 0 && frame.failure < 128
                   : frame.n_bytes <= most && frame.n_bytes == expected.value_or(frame.n_bytes);
    if (frame.magic != Frame::kMagic || !fits)
      throw Error(ExitCode::internal,
                  "copying the model: an unexpected message from rank 0: start all ranks with the "
                  "same build");
    payload_.resize(frame.n_bytes);
    if (!payload_.empty()) broadcast_(payload_);
    if (is_failure && problem_) std::rethrow_exception(problem_);
    if (is_failure)
      throw Error(static_cast<ExitCode>(frame.failure),
                  "rank 0 could not send the model: " +
                      std::string(reinterpret_cast<const char*>(payload_.data()), payload_.size()));
    return payload_;
  }

  // What fails here must not keep this rank from the broadcasts that follow.
  template <class Step>
  void attempt(Step&& step) {
    if (problem_) return;
    try {
      step();
    } catch (...) {
      problem_ = std::current_exception();
    }
  }

  void prepare(const FileList& list) {
    std::set<std::string> names;
    for (const FileList::Entry& f : list.files) {
      const bool is_plain = !f.name.empty() && f.name != "." &&
                            f.name.find_first_of(std::string("/\0", 2)) == std::string::npos &&
                            f.name.find("..") == std::string::npos;
      if (!is_plain || !names.insert(f.name).second)
        throw BadData("the list of model files from rank 0: " + printable(f.name) +
                      " is not a plain file name, or stands there twice");
    }
    std::string name = (fs::path(parent_) / "tovamill-model-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      throw Error(ExitCode::cannot_create,
                  parent_ + ": a directory for the model cannot be made (" + std::strerror(errno) +
                      "): set TMPDIR to one that can be written to");
    copy_.directory_ = name;
    struct statvfs space {};
    if (::statvfs(name.c_str(), &space) != 0) return;  // then writing will tell
    const auto free = static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
    if (free < list.n_bytes())
      throw Error(ExitCode::cannot_create,
                  parent_ + ": the model takes " + with_thousands(list.n_bytes()) +
                      " bytes, but only " + with_thousands(free) +
                      " are free: set TMPDIR to a larger file system, or copy the model to every "
                      "host");
  }

  std::string path_of(const std::string& name) const {
    return (fs::path(copy_.directory_) / name).string();
  }

  FileDescriptor create(const std::string& name) const {
    FileDescriptor file(
        ::open(path_of(name).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (file.get() < 0)
      throw Error(ExitCode::cannot_create,
                  path_of(name) + ": cannot be created: " + why_io_failed(errno));
    return file;
  }

  void write(const std::string& name, const FileDescriptor& file,
             std::span<const std::byte> bytes) const {
    if (!write_all(file.get(), bytes.data(), bytes.size()))
      throw Error(ExitCode::io, path_of(name) + ": writing failed: " + why_io_failed(errno));
  }

  const Broadcast& broadcast_;
  const std::string& parent_;
  ModelCopy copy_;
  std::vector<std::byte> payload_;
  std::exception_ptr problem_;
};

ModelCopy receive_model(const Broadcast& broadcast, const std::string& parent) {
  return ModelReceiver(broadcast, parent).run();
}

}  // namespace tovamill
