// .zst: any number of frames (RFC 8878), with windows up to the 2 GiB of `zstd --long=31`. A window
// takes memory as it fills: at most what the frame holds.
#include <zstd.h>
#include <zstd_errors.h>

#include <memory>
#include <optional>

#include "io/compression/byte_stream.h"
#include "io/compression/compressed_input.h"

namespace tovamill {
namespace {

class ZstdStream : public ByteStream {
 public:
  explicit ZstdStream(const std::string& path) : input_(path), context_(ZSTD_createDCtx()) {
    if (!context_) throw StreamError("unreadable", "zstd cannot be started");
    const ZSTD_bounds windows = ZSTD_dParam_getBounds(ZSTD_d_windowLogMax);
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, windows.upperBound);
  }

  std::size_t read(std::span<char> out) override {
    if (error_) throw *error_;
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
        error_ = why(rc);
        if (to.pos == 0) throw *error_;
        return to.pos;
      }
      at_frame_end_ = rc == 0;
      flushing_ = rc != 0 && to.pos == to.size;  // output may still wait inside
      if (to.pos > 0) return to.pos;
    }
  }
  std::uint64_t n_bytes_taken() const override { return input_.n_bytes_taken(); }

 private:
  static StreamError why(std::size_t rc) {
    switch (ZSTD_getErrorCode(rc)) {
      case ZSTD_error_frameParameter_windowTooLarge:
        return {"unsupported",
                "the zstd data need a window of more than 2 GiB: compress them again with "
                "--long=31 or less"};
      case ZSTD_error_dictionary_wrong:
        return {"unsupported",
                "the zstd data need the dictionary that they were compressed with: decompress them "
                "with zstd -D, and compress them without"};
      case ZSTD_error_version_unsupported:
        return {"unsupported", "the zstd data are of a version before 0.8: compress them again"};
      case ZSTD_error_memory_allocation:
        return {"unreadable", "no memory is left for the window of the zstd data"};
      default:
        return {"unreadable",
                std::string("the zstd data are damaged (") + ZSTD_getErrorName(rc) + ")"};
    }
  }

  struct Free {
    void operator()(ZSTD_DCtx* c) const { ZSTD_freeDCtx(c); }
  };
  CompressedInput input_;
  std::unique_ptr<ZSTD_DCtx, Free> context_;
  bool at_frame_end_ = false;  // an empty file is not a frame
  bool flushing_ = false;
  std::optional<StreamError> error_;
};

}  // namespace

std::unique_ptr<ByteStream> open_zstd_stream(const std::string& path) {
  return std::make_unique<ZstdStream>(path);
}

}  // namespace tovamill
