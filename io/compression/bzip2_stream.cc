// .bz2: members of sorted blocks, each with its checksum. A decompressor takes 4 MB at most.
#include <bzlib.h>

#include <memory>

#include "io/compression/member_stream.h"

namespace tovamill {
namespace {

class Bzip2Stream : public MemberStream {
 public:
  explicit Bzip2Stream(const std::string& path) : MemberStream(path, "bzip2", 'B') {}
  ~Bzip2Stream() override { end(); }
  Bzip2Stream(const Bzip2Stream&) = delete;
  Bzip2Stream& operator=(const Bzip2Stream&) = delete;

 private:
  void end() {
    if (is_open_) BZ2_bzDecompressEnd(&z_);
    is_open_ = false;
  }

  void begin_member() override {
    end();
    z_ = {};
    is_open_ = BZ2_bzDecompressInit(&z_, 0, 0) == BZ_OK;
    if (!is_open_) throw StreamError("unreadable", "bzip2 cannot be started");
  }

  Decoded decode(std::span<char> in, std::span<char> out) override {
    z_.next_in = in.data();
    z_.avail_in = static_cast<unsigned>(in.size());
    z_.next_out = out.data();
    z_.avail_out = static_cast<unsigned>(out.size());
    const int rc = BZ2_bzDecompress(&z_);
    return {.n_in = in.size() - z_.avail_in,
            .n_out = out.size() - z_.avail_out,
            .is_end = rc == BZ_STREAM_END,
            .is_damaged = rc != BZ_STREAM_END && rc != BZ_OK,
            .why = rc == BZ_DATA_ERROR_MAGIC ? "no bzip2 header"
                   : rc == BZ_MEM_ERROR      ? "no memory is left"
                                             : "corrupt"};
  }

  bz_stream z_{};
  bool is_open_ = false;
};

}  // namespace

std::unique_ptr<ByteStream> open_bzip2_stream(const std::string& path) {
  return std::make_unique<Bzip2Stream>(path);
}

}  // namespace tovamill
