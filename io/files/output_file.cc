#include "io/files/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <ostream>
#include <streambuf>
#include <string_view>

#include "io/files/durable.h"
#include "io/files/file_descriptor.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;

// The descriptor that /dev/stdout, /dev/fd/N and the like name; to open such a path again would
// begin at its front.
std::optional<int> named_descriptor(const std::string& path) {
  if (path == "/dev/stdout") return STDOUT_FILENO;
  if (path == "/dev/stderr") return STDERR_FILENO;
  for (const std::string_view front : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!path.starts_with(front)) continue;
    int number = -1;
    const char* end = path.data() + path.size();
    const auto parsed = std::from_chars(path.data() + front.size(), end, number);
    if (parsed.ec == std::errc() && parsed.ptr == end && number >= 0) return number;
  }
  return std::nullopt;
}

[[noreturn]] void cannot_create(const std::string& option, const std::string& path,
                                const std::string& why) {
  throw Error(ExitCode::cannot_create, option + " '" + path + "' " + why);
}

}  // namespace

// ---- inputs ----

void InputFiles::add(const std::string& what, const std::string& path) {
  struct stat info {};
  if (path.empty() || stat(path.c_str(), &info) != 0) return;
  names_.try_emplace({info.st_dev, info.st_ino}, what + " '" + path + "'");
}

std::string InputFiles::name_of(const std::string& path) const {
  if (const auto number = named_descriptor(path)) return name_of(*number);
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return "";
  const auto found = names_.find({info.st_dev, info.st_ino});
  return found == names_.end() ? "" : found->second;
}

std::string InputFiles::name_of(int descriptor) const {
  struct stat info {};
  if (fstat(descriptor, &info) != 0) return "";
  const auto found = names_.find({info.st_dev, info.st_ino});
  return found == names_.end() ? "" : found->second;
}

void InputFiles::refuse(const std::string& option, const std::string& path) const {
  const std::string input = name_of(path);
  if (input.empty()) return;
  throw Error(ExitCode::configuration, option + " '" + path + "' is " + input +
                                           ", which this command reads: give another path");
}

void InputFiles::refuse_standard_streams() const {
  for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) {
    struct stat info {};
    if (fstat(stream, &info) != 0 || !S_ISREG(info.st_mode)) continue;
    const std::string input = name_of(stream);
    if (input.empty()) continue;
    throw Error(ExitCode::configuration,
                std::string(stream == STDOUT_FILENO ? "standard output" : "standard error") +
                    " goes to " + input + ", which this command reads: redirect it elsewhere");
  }
}

// ---- outputs ----

void check_output(const std::string& path, const OutputRules& rules) {
  if (rules.inputs) rules.inputs->refuse(rules.option, path);
  if (named_descriptor(path)) {
    if (rules.must_be_regular) cannot_create(rules.option, path, "must be a regular file");
    return;
  }
  struct stat info {};
  const std::string target = target_of(path);
  if (stat(target.c_str(), &info) != 0) return;
  if (S_ISDIR(info.st_mode)) cannot_create(rules.option, path, "is a directory: name a file");
  if (!S_ISREG(info.st_mode)) {
    if (rules.must_be_regular) cannot_create(rules.option, path, "must be a regular file");
    return;
  }
  if (info.st_size == 0 || !rules.is_ours || rules.is_ours(target)) return;
  throw Error(ExitCode::configuration, rules.option + " '" + path + "' is there and is not " +
                                           rules.kind + ": remove the file, or give another path");
}

// Writes to a descriptor that it does not own; the first error stays in `error_number`.
class OutputFile::Buffer : public std::streambuf {
 public:
  explicit Buffer(int descriptor) : descriptor_(descriptor) {
    setp(bytes_.data(), bytes_.data() + bytes_.size());
  }
  int error_number = 0;

 protected:
  int_type overflow(int_type c) override {
    if (sync() != 0) return traits_type::eof();
    if (!traits_type::eq_int_type(c, traits_type::eof())) {
      *pptr() = traits_type::to_char_type(c);
      pbump(1);
    }
    return traits_type::not_eof(c);
  }

  int sync() override {
    const auto n = static_cast<std::size_t>(pptr() - pbase());
    if (error_number == 0 && !write_all(descriptor_, pbase(), n)) error_number = errno;
    setp(bytes_.data(), bytes_.data() + bytes_.size());
    return error_number == 0 ? 0 : -1;
  }

 private:
  int descriptor_;
  std::array<char, 1u << 16> bytes_;
};

OutputFile::OutputFile(const std::string& path, const OutputRules& rules) : path_(path) {
  check_output(path, rules);
  if (const auto number = named_descriptor(path)) {
    descriptor_ = *number;
    if (fcntl(descriptor_, F_GETFD) < 0)
      cannot_create(rules.option, path, "cannot be opened: " + why_io_failed(errno));
    return;
  }
  const std::string target = target_of(path);
  struct stat info {};
  const bool is_there = stat(target.c_str(), &info) == 0;
  if (!is_there || S_ISREG(info.st_mode)) {
    temporary_.emplace(target);
    descriptor_ = temporary_->descriptor();
    return;
  }
  descriptor_ = open(target.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
  if (descriptor_ < 0)
    throw Error(code_of_failure(errno, ExitCode::cannot_create),
                rules.option + " '" + path + "' cannot be opened: " + why_io_failed(errno));
  owns_descriptor_ = true;
}

OutputFile::~OutputFile() {
  if (owns_descriptor_) close(descriptor_);
}

std::ostream& OutputFile::stream() {
  if (!stream_) {
    buffer_ = std::make_unique<Buffer>(descriptor_);
    stream_ = std::make_unique<std::ostream>(buffer_.get());
  }
  return *stream_;
}

void OutputFile::check_written() const {
  if (buffer_ && buffer_->error_number != 0)
    throw Error(ExitCode::io,
                "writing '" + path_ + "' failed: " + why_io_failed(buffer_->error_number));
}

void OutputFile::commit() {
  if (stream_) stream_->flush();
  check_written();
  if (temporary_) temporary_->replace_target();
}

}  // namespace tovamill
