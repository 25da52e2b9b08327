#include "io/corpus/byte_stream.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace tovamill {
namespace {

constexpr std::size_t kInputBytes = 1u << 18;

class PlainStream : public ByteStream {
 public:
  explicit PlainStream(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
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

// What both decompressors share: a window of compressed bytes.
class Input {
 public:
  explicit Input(const std::string& path) : file_(path), bytes_(kInputBytes) {}

  // False at the end of the file.
  bool refill() {
    begin_ = 0;
    end_ = file_.read(bytes_);
    return end_ > 0;
  }
  std::span<char> rest() { return std::span(bytes_).subspan(begin_, end_ - begin_); }
  void consume(std::size_t n) { begin_ += n; }
  bool empty() const { return begin_ == end_; }
  std::uint64_t n_bytes_taken() const { return file_.n_bytes_taken() - (end_ - begin_); }

 private:
  PlainStream file_;
  std::vector<char> bytes_;
  std::size_t begin_ = 0, end_ = 0;
};

class GzipStream : public ByteStream {
 public:
  explicit GzipStream(const std::string& path) : input_(path) {
    if (inflateInit2(&z_, kGzipOnly) != Z_OK)
      throw StreamError("unreadable", "zlib cannot be started");
  }
  ~GzipStream() override { inflateEnd(&z_); }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  std::size_t read(std::span<char> out) override {
    if (!error_.empty()) throw StreamError("unreadable", error_);
    out = out.first(std::min<std::size_t>(out.size(), 1u << 30));
    for (;;) {
      if (input_.empty() && !input_.refill()) {
        if (between_ && n_members_ > 0) return 0;
        throw StreamError("truncated", "the gzip data end early");
      }
      if (between_ && !start_member()) continue;
      if (const std::size_t n = inflate_some(out); n > 0) return n;
    }
  }
  std::uint64_t n_bytes_taken() const override { return input_.n_bytes_taken(); }

 private:
  static constexpr int kGzipOnly = 15 + 16;  // windowBits of zlib: largest window, gzip wrapper

  // Between two members: skips zero padding; anything else must be another member.
  bool start_member() {
    std::span<char> rest = input_.rest();
    if (n_members_ > 0) {
      const auto first = std::find_if(rest.begin(), rest.end(), [](char c) { return c != 0; });
      padded_ |= first != rest.begin();
      input_.consume(static_cast<std::size_t>(first - rest.begin()));
      if (first == rest.end()) return false;
      if (padded_ || *first != '\x1f')
        throw StreamError("unreadable", "bytes after the end of the gzip data");
    }
    inflateReset(&z_);
    between_ = false;
    return true;
  }

  // Decompresses what it can; throws only when nothing came out, so that all good bytes are
  // delivered first.
  std::size_t inflate_some(std::span<char> out) {
    const std::span<char> rest = input_.rest();
    z_.next_in = reinterpret_cast<Bytef*>(rest.data());
    z_.avail_in = static_cast<uInt>(rest.size());
    z_.next_out = reinterpret_cast<Bytef*>(out.data());
    z_.avail_out = static_cast<uInt>(out.size());
    const int rc = inflate(&z_, Z_NO_FLUSH);
    input_.consume(rest.size() - z_.avail_in);
    const std::size_t n = out.size() - z_.avail_out;
    if (rc == Z_STREAM_END) {
      between_ = true;
      ++n_members_;
    } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
      error_ = std::string("the gzip data are damaged") +
               (z_.msg ? std::string(" (") + z_.msg + ")" : "");
      if (n == 0) throw StreamError("unreadable", error_);
    }
    return n;
  }

  Input input_;
  z_stream z_{};
  bool between_ = true;  // before the first member or after one
  bool padded_ = false;  // zeros were seen after a member
  std::size_t n_members_ = 0;
  std::string error_;
};

class ZstdStream : public ByteStream {
 public:
  explicit ZstdStream(const std::string& path) : input_(path), context_(ZSTD_createDCtx()) {
    if (!context_) throw StreamError("unreadable", "zstd cannot be started");
  }

  std::size_t read(std::span<char> out) override {
    if (!error_.empty()) throw StreamError("unreadable", error_);
    for (;;) {
      if (input_.empty() && !flushing_ && !input_.refill()) {
        if (at_frame_end_) return 0;
        throw StreamError("truncated", "the zstd data end early");
      }
      const std::span<char> rest = input_.rest();
      ZSTD_inBuffer in{rest.data(), rest.size(), 0};
      ZSTD_outBuffer to{out.data(), out.size(), 0};
      const std::size_t rc = ZSTD_decompressStream(context_.get(), &to, &in);
      input_.consume(in.pos);
      if (ZSTD_isError(rc)) {
        error_ = std::string("the zstd data are damaged (") + ZSTD_getErrorName(rc) + ")";
        if (to.pos == 0) throw StreamError("unreadable", error_);
        return to.pos;
      }
      at_frame_end_ = rc == 0;
      flushing_ = rc != 0 && to.pos == to.size;  // output may still wait inside
      if (to.pos > 0) return to.pos;
    }
  }
  std::uint64_t n_bytes_taken() const override { return input_.n_bytes_taken(); }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* c) const { ZSTD_freeDCtx(c); }
  };
  Input input_;
  std::unique_ptr<ZSTD_DCtx, Free> context_;
  bool at_frame_end_ = false;  // an empty file is not a frame
  bool flushing_ = false;
  std::string error_;
};

}  // namespace

std::unique_ptr<ByteStream> open_stream(const std::string& path,
                                        CorpusFile::Compression compression) {
  switch (compression) {
    case CorpusFile::Compression::gzip:
      return std::make_unique<GzipStream>(path);
    case CorpusFile::Compression::zstd:
      return std::make_unique<ZstdStream>(path);
    case CorpusFile::Compression::none:
      break;
  }
  return std::make_unique<PlainStream>(path);
}

}  // namespace tovamill
