// .zst: any number of frames (RFC 8878). The library refuses windows over 128 MiB by itself.
#include <zstd.h>

#include <memory>

#include "io/compression/byte_stream.h"
#include "io/compression/compressed_input.h"

namespace tovamill {
namespace {

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
  CompressedInput input_;
  std::unique_ptr<ZSTD_DCtx, Free> context_;
  bool at_frame_end_ = false;  // an empty file is not a frame
  bool flushing_ = false;
  std::string error_;
};

}  // namespace

std::unique_ptr<ByteStream> open_zstd_stream(const std::string& path) {
  return std::make_unique<ZstdStream>(path);
}

}  // namespace tovamill
