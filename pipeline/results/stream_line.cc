#include "pipeline/results/stream_line.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "io/files/json_file.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

using nlohmann::json;

bool get_text(const json& object, const char* key, std::string& value) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return false;
  value = found->get<std::string>();
  return true;
}

template <class Number>
bool get_number(const json& object, const char* key, Number& value) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned() ||
      found->get<std::uint64_t>() > std::numeric_limits<Number>::max())
    return false;
  value = found->get<Number>();
  return true;
}

}  // namespace

std::optional<StreamLine> parse_stream_line(std::string_view line) {
  if (!line.starts_with(kStreamLineFront) || nests_deeper(line, kMaxJsonDepth)) return std::nullopt;
  const json object = json::parse(line, nullptr, false);
  StreamLine s;
  std::string text;
  if (!object.is_object() || !get_text(object, "file", s.file) ||
      !get_number(object, "offset", s.offset))
    return std::nullopt;
  if (get_text(object, "status", text)) {
    s.failed = true;
    return text == "failed" ? std::optional(s) : std::nullopt;
  }
  if (!get_number(object, "question_index", s.question) ||
      !get_number(object, "sample", s.sample) || !get_text(object, "text", text) ||
      !get_text(object, "prompt_hash", s.prompt_hash))
    return std::nullopt;
  return s;
}

void throw_foreign_stream(const std::string& path, const std::string& what) {
  throw Error(ExitCode::configuration, "--stream-jsonl '" + path + "': " + what +
                                           " is not of this run: remove the file (what the run "
                                           "has done is written again) or give another");
}

}  // namespace tovamill
