#include "jobs/command_line/ini_file.h"

#include <cerrno>
#include <fstream>
#include <string_view>

#include "io/files/durable.h"
#include "kernels/types/error.h"
#include "workers/options/option_values.h"

namespace tovamill {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

}  // namespace

std::vector<IniEntry> read_ini(const std::string& path) {
  std::ifstream file(path);
  std::vector<IniEntry> entries;
  std::string line;
  for (std::uint64_t number = 1; std::getline(file, line); ++number) {
    const std::string_view content = trimmed(line);
    if (content.empty() || content.front() == '#' || content.front() == ';') continue;
    const std::string where = path + ":" + std::to_string(number) + ": ";
    if (content.front() == '[') {
      throw Error(ExitCode::configuration,
                  where + "sections are not used: give `option = value` lines only");
    }
    const std::size_t equals = content.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      throw Error(ExitCode::configuration, where + "not an `option = value` line");
    }
    const std::string key(trimmed(content.substr(0, equals)));
    try {
      entries.push_back({key, unquoted(key, trimmed(content.substr(equals + 1))), number});
    } catch (const Error& error) {
      throw Error(ExitCode::configuration, where + error.what());
    }
  }
  // Opening a directory succeeds and reading it fails, so both are looked at here.
  if (!file.eof())
    throw Error(ExitCode::no_input,
                "--config " + path + " cannot be read: " + why_io_failed(errno));
  return entries;
}

}  // namespace tovamill
