// The file of --config: a line `key = value` per option. Blank lines and lines that begin with # or
// ; are passed over; a value goes to the end of its line, without the blanks around it, or stands
// in double quotes. There are no sections.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tovamill {

struct IniEntry {
  std::string key;
  std::string value;
  std::uint64_t line = 0;  // 1-based
};

// Throws Error(no_input) where the file cannot be read, Error(configuration) naming file and line
// where it is broken.
std::vector<IniEntry> read_ini(const std::string& path);

}  // namespace tovamill
