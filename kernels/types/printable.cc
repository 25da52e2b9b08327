#include "kernels/types/printable.h"

namespace tovamill {

namespace {
constexpr std::size_t kMaxShown = 80;  // bytes: longer than any tensor name met so far
}

std::string printable(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string result = "'";
  for (const char c : text.substr(0, kMaxShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte <= 0x7E && c != '\'' && c != '\\') {
      result += c;
    } else {
      result += "\\x";
      result += kHex[byte >> 4];
      result += kHex[byte & 15];
    }
  }
  result += text.size() > kMaxShown ? "...'" : "'";
  return result;
}

}  // namespace tovamill
