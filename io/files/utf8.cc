#include "io/files/utf8.h"

#include <simdjson.h>
#include <utf8proc.h>

#include <algorithm>

namespace tovamill {

std::size_t valid_utf8_prefix(std::string_view bytes) {
  if (simdjson::validate_utf8(bytes.data(), bytes.size())) return bytes.size();
  std::size_t i = 0;
  while (i < bytes.size()) {
    // At most four bytes are looked at, so that any length fits utf8proc's signed count.
    const auto n = static_cast<utf8proc_ssize_t>(std::min<std::size_t>(bytes.size() - i, 4));
    utf8proc_int32_t code_point = 0;
    const auto used = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(bytes.data()) + i,
                                       n, &code_point);
    if (used <= 0) break;
    i += static_cast<std::size_t>(used);
  }
  return i;
}

}  // namespace tovamill
