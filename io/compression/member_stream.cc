#include "io/compression/member_stream.h"

#include <algorithm>

namespace tovamill {

std::size_t MemberStream::read(std::span<char> out) {
  if (!error_.empty()) throw StreamError("unreadable", error_);
  out = out.first(std::min<std::size_t>(out.size(), 1u << 30));
  for (;;) {
    if (input_.empty() && !input_.refill()) {
      if (between_ && n_members_ > 0) return 0;
      // A decoder may hold back decoded bytes of a block that is in.
      if (const std::size_t n = between_ ? 0 : decode_some(out); n > 0) return n;
      throw StreamError("truncated", "the " + format_ + " data end early");
    }
    if (between_ && !find_member()) continue;
    if (const std::size_t n = decode_some(out); n > 0) return n;
  }
}

// Passes over padding; false where only padding was left of the input at hand.
bool MemberStream::find_member() {
  const std::span<char> rest = input_.rest();
  if (n_members_ > 0) {
    const auto begin = std::find_if(rest.begin(), rest.end(), [](char c) { return c != 0; });
    padded_ |= begin != rest.begin();
    input_.consume(static_cast<std::size_t>(begin - rest.begin()));
    if (begin == rest.end()) return false;
    if (padded_ || *begin != first_)
      throw StreamError("unreadable", "bytes after the end of the " + format_ + " data");
  }
  begin_member();
  between_ = false;
  return true;
}

// Throws only when nothing came out, so that all good bytes are delivered first.
std::size_t MemberStream::decode_some(std::span<char> out) {
  const Decoded decoded = decode(input_.rest(), out);
  input_.consume(decoded.n_in);
  if (decoded.is_end) {
    between_ = true;
    ++n_members_;
  } else if (decoded.is_damaged) {
    error_ = "the " + format_ + " data are damaged" +
             (decoded.why.empty() ? "" : " (" + decoded.why + ")");
    if (decoded.n_out == 0) throw StreamError("unreadable", error_);
  }
  return decoded.n_out;
}

}  // namespace tovamill
