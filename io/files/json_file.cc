#include "io/files/json_file.h"

#include "io/files/mapped_file.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"

namespace tovamill {

bool nests_deeper(std::string_view json, int max_depth) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > max_depth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

nlohmann::json read_json_object(const std::string& path, std::size_t max_bytes) {
  const MappedFile file(path);
  const std::string_view text = file.text();
  if (text.size() > max_bytes) {
    throw BadData(path + ": has " + with_thousands(text.size()) + " bytes, more than the " +
                  with_thousands(max_bytes) + " that such a file may have");
  }
  if (nests_deeper(text, kMaxJsonDepth)) {
    throw BadData(path + ": nests arrays and objects more than " + std::to_string(kMaxJsonDepth) +
                  " deep");
  }
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(text.begin(), text.end());
  } catch (const nlohmann::json::parse_error& e) {
    throw BadData(path + ": is not valid JSON (UTF-8) at byte " + std::to_string(e.byte));
  } catch (const nlohmann::json::exception&) {
    throw BadData(path + ": holds a number that is out of range");
  }
  if (!json.is_object()) throw BadData(path + ": is not a JSON object");
  return json;
}

}  // namespace tovamill
