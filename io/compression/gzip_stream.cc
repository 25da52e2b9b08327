// .gz: members of deflated data (RFC 1952), each with its checksum.
#include <zlib.h>

#include <memory>

#include "io/compression/member_stream.h"

namespace tovamill {
namespace {

class GzipStream : public MemberStream {
 public:
  explicit GzipStream(const std::string& path) : MemberStream(path, "gzip", '\x1f') {
    if (inflateInit2(&z_, kGzipOnly) != Z_OK)
      throw StreamError("unreadable", "zlib cannot be started");
  }
  ~GzipStream() override { inflateEnd(&z_); }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

 private:
  static constexpr int kGzipOnly = 15 + 16;  // windowBits of zlib: largest window, gzip wrapper

  void begin_member() override { inflateReset(&z_); }

  Decoded decode(std::span<char> in, std::span<char> out) override {
    z_.next_in = reinterpret_cast<Bytef*>(in.data());
    z_.avail_in = static_cast<uInt>(in.size());
    z_.next_out = reinterpret_cast<Bytef*>(out.data());
    z_.avail_out = static_cast<uInt>(out.size());
    const int rc = inflate(&z_, Z_NO_FLUSH);
    return {.n_in = in.size() - z_.avail_in,
            .n_out = out.size() - z_.avail_out,
            .is_end = rc == Z_STREAM_END,
            .is_damaged = rc != Z_STREAM_END && rc != Z_OK && rc != Z_BUF_ERROR,
            .why = z_.msg != nullptr ? z_.msg : ""};
  }

  z_stream z_{};
};

}  // namespace

std::unique_ptr<ByteStream> open_gzip_stream(const std::string& path) {
  return std::make_unique<GzipStream>(path);
}

}  // namespace tovamill
