#include "io/corpus/line_probe.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "io/files/utf8.h"

namespace tovamill {
namespace {

constexpr std::size_t kProbeBytes = 1u << 16;

}  // namespace

LineProbe::LineProbe(const std::string& path)
    : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), buffer_(kProbeBytes) {
  if (ok()) rewind();
}

void LineProbe::rewind() {
  position_ = 0;
  begin_ = end_ = 0;
  refill();
  if (std::string_view(buffer_.data(), end_).starts_with(kByteOrderMark))
    begin_ = kByteOrderMark.size();
}

bool LineProbe::refill() {
  position_ += end_;
  begin_ = end_ = 0;
  const ssize_t n = read_at(file_.get(), buffer_.data(), buffer_.size(), position_);
  if (n > 0) end_ = static_cast<std::size_t>(n);
  return n > 0;
}

bool LineProbe::seek_behind_line(std::uint64_t offset) {
  if (offset == 0) {
    rewind();
    return true;
  }
  position_ = offset;
  begin_ = end_ = 0;
  for (std::size_t n = 0; n < kLongestLine; n += end_) {
    if (!refill()) return false;
    if (const void* found = std::memchr(buffer_.data(), '\n', end_)) {
      begin_ = static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.data()) + 1;
      return true;
    }
  }
  return false;
}

bool LineProbe::seek_line_around(std::uint64_t offset) {
  for (std::uint64_t end = offset; end > 0 && offset - end < kLongestLine;) {
    const std::uint64_t n = std::min<std::uint64_t>(end, buffer_.size());
    const ssize_t got = read_at(file_.get(), buffer_.data(), n, end - n);
    if (got != static_cast<ssize_t>(n)) return false;
    end -= n;
    const std::string_view block(buffer_.data(), n);
    if (const std::size_t found = block.rfind('\n'); found != std::string_view::npos) {
      position_ = end + found + 1;
      begin_ = end_ = 0;
      return true;
    }
    if (end == 0) break;
    if (offset - end >= kLongestLine) return false;
  }
  rewind();
  return true;
}

bool LineProbe::next(std::string& line) {
  line.clear();
  n_line_bytes_ = 0;
  is_cut_ = false;
  for (;;) {
    if (begin_ == end_ && !refill()) return n_line_bytes_ > 0;
    const char* from = buffer_.data() + begin_;
    const void* found = std::memchr(from, '\n', end_ - begin_);
    const std::size_t n =
        found ? static_cast<std::size_t>(static_cast<const char*>(found) - from) : end_ - begin_;
    line.append(from, n);
    begin_ += n + (found ? 1 : 0);
    n_line_bytes_ += n + (found ? 1 : 0);
    if (found) return true;
    is_cut_ = line.size() >= kLongestLine;
    if (is_cut_) return true;
  }
}

std::optional<std::string> read_range(const std::string& path, std::uint64_t offset,
                                      std::uint64_t n) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return std::nullopt;
  std::string bytes(static_cast<std::size_t>(n), '\0');
  const ssize_t got = read_at(file.get(), bytes.data(), bytes.size(), offset);
  if (got < 0) return std::nullopt;
  bytes.resize(static_cast<std::size_t>(got));
  return bytes;
}

}  // namespace tovamill
