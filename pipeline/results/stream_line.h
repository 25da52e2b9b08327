// The text or failure that a line of the file of --stream-jsonl holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tovamill {

struct StreamLine {
  std::string file;  // bytes that were not UTF-8 are U+FFFD
  std::uint64_t offset = 0;
  bool failed = false;  // else the text of:
  std::uint32_t question = 0, sample = 0;
  std::string prompt_hash;
};

// How each line begins (generation_json.h).
inline constexpr std::string_view kStreamLineFront = "{\"id\":\"";

// Parses a line without its \n; nothing where it has another form.
std::optional<StreamLine> parse_stream_line(std::string_view line);

// Throws Error(configuration): `what` stands in the file and is not of this run.
[[noreturn]] void throw_foreign_stream(const std::string& path, const std::string& what);

}  // namespace tovamill
