// .xz: any number of streams one behind another, and padding between them. Checksums of the blocks
// are verified; what a block's checksum refuses was delivered before it, as by every decompressor.
//
// A block's header says how large its dictionary is, up to 4 GiB, and a decompressor allocates it
// whole: kMostMemoryBytes bounds that. The presets of xz need 65 MiB at most (-9).
#include <lzma.h>

#include <memory>
#include <optional>

#include "io/compression/byte_stream.h"
#include "io/compression/compressed_input.h"
#include "kernels/types/format.h"

namespace tovamill {
namespace {

constexpr std::uint64_t kMostMemoryBytes = 256u << 20;

class XzStream : public ByteStream {
 public:
  explicit XzStream(const std::string& path) : input_(path) {
    if (lzma_stream_decoder(&z_, kMostMemoryBytes, LZMA_CONCATENATED) != LZMA_OK)
      throw StreamError("unreadable", "xz cannot be started");
  }
  ~XzStream() override { lzma_end(&z_); }
  XzStream(const XzStream&) = delete;
  XzStream& operator=(const XzStream&) = delete;

  std::size_t read(std::span<char> out) override {
    z_.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    z_.avail_out = out.size();
    while (!is_done_ && !broken_ && z_.avail_out == out.size()) step();
    const std::size_t n = out.size() - z_.avail_out;
    if (n == 0 && broken_) throw *broken_;
    return n;
  }
  std::uint64_t n_bytes_taken() const override { return input_.n_bytes_taken(); }

 private:
  void step() {
    if (input_.empty() && !is_last_) is_last_ = !input_.refill();
    const std::span<char> rest = input_.rest();
    z_.next_in = reinterpret_cast<const std::uint8_t*>(rest.data());
    z_.avail_in = rest.size();
    const lzma_ret rc = lzma_code(&z_, is_last_ ? LZMA_FINISH : LZMA_RUN);
    input_.consume(rest.size() - z_.avail_in);
    is_done_ = rc == LZMA_STREAM_END;
    if (rc != LZMA_OK && rc != LZMA_STREAM_END) broken_ = why(rc);
  }

  StreamError why(lzma_ret rc) const {
    if (rc == LZMA_BUF_ERROR) return {"truncated", "the xz data end early"};
    if (rc == LZMA_MEMLIMIT_ERROR)
      return {"unsupported", "the xz data need " + human_bytes(lzma_memusage(&z_)) +
                                 " of memory to be decompressed, more than " +
                                 human_bytes(kMostMemoryBytes) +
                                 ": compress them again with xz -9 or less"};
    if (rc == LZMA_MEM_ERROR) return {"unreadable", "no memory is left to decompress the xz data"};
    const char* what = rc == LZMA_FORMAT_ERROR    ? "no xz header"
                       : rc == LZMA_OPTIONS_ERROR ? "with options that liblzma does not know"
                                                  : "corrupt";
    return {"unreadable", std::string("the xz data are damaged (") + what + ")"};
  }

  CompressedInput input_;
  lzma_stream z_ = LZMA_STREAM_INIT;
  bool is_last_ = false;  // the input at hand is the file's last
  bool is_done_ = false;
  std::optional<StreamError> broken_;  // told once all bytes before it are delivered
};

}  // namespace

std::unique_ptr<ByteStream> open_xz_stream(const std::string& path) {
  return std::make_unique<XzStream>(path);
}

}  // namespace tovamill
