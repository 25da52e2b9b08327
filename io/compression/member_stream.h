// Compressed files that are any number of members one behind another (.gz, .bz2), each complete in
// itself: their data are those of the members in order. Trailing zeros are padding; anything else
// behind a member must be another one.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "io/compression/byte_stream.h"
#include "io/compression/compressed_input.h"

namespace tovamill {

class MemberStream : public ByteStream {
 public:
  std::size_t read(std::span<char> out) override;
  std::uint64_t n_bytes_taken() const override { return input_.n_bytes_taken(); }

 protected:
  // `format` for messages: "gzip". A member begins with the byte `first`.
  MemberStream(const std::string& path, std::string format, char first)
      : input_(path), format_(std::move(format)), first_(first) {}

  struct Decoded {
    std::size_t n_in = 0, n_out = 0;
    bool is_end = false;      // of the member
    bool is_damaged = false;  // nothing more can be decoded
    std::string why = {};     // it is damaged, in the library's words; may be empty
  };
  virtual void begin_member() = 0;
  // Decompresses what it can of `in` into `out`; neither is over 1 GiB.
  virtual Decoded decode(std::span<char> in, std::span<char> out) = 0;

 private:
  bool find_member();
  std::size_t decode_some(std::span<char> out);

  CompressedInput input_;
  std::string format_;
  char first_;
  bool between_ = true;  // before the first member or after one
  bool padded_ = false;  // zeros were seen after a member
  std::size_t n_members_ = 0;
  std::string error_;  // told once all bytes before it are delivered
};

}  // namespace tovamill
