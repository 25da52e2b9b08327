// Names and values taken from a file, made fit for a one-line message.
#pragma once

#include <string>
#include <string_view>

namespace tovamill {

// `text` in single quotes; control characters, quotes, backslashes and bytes above 0x7E as \xNN;
// cut with "..." after 80 bytes.
std::string printable(std::string_view text);

}  // namespace tovamill
