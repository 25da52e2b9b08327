// Validation of UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing beyond
// U+10FFFF.
#pragma once

#include <cstddef>
#include <string_view>

namespace tovamill {

// Bytes of the longest valid prefix: bytes.size() if all is valid, else the offset of the first bad
// sequence.
std::size_t valid_utf8_prefix(std::string_view bytes);

// A byte order mark may precede the text of a file. It is not part of the text.
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace tovamill
