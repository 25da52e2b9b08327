#include "io/files/json_file.h"

#include <algorithm>
#include <limits>
#include <vector>

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

namespace {

constexpr char kFloatTag[] = "__float__";  // transformers 5 writes {"__float__": "NaN"} for NaN

// A text of JSON with the literals that Python's json module writes beside JSON's as objects of
// kFloatTag; where each began, for the place of an error.
struct PythonJson {
  struct Literal {
    std::size_t begin, growth;  // in `text`, bytes
  };
  std::string text;
  std::vector<Literal> literals;

  explicit PythonJson(std::string_view json) {
    bool in_string = false;
    for (std::size_t i = 0; i < json.size(); ++i) {
      const char c = json[i];
      const bool is_escape = in_string && c == '\\' && i + 1 < json.size();
      if (is_escape) text += json[i++];
      if (!is_escape && c == '"') in_string = !in_string;
      const std::string_view literal = in_string ? "" : literal_at(json.substr(i));
      if (literal.empty()) {
        text += json[i];
        continue;
      }
      const std::string tagged =
          std::string("{\"") + kFloatTag + "\":\"" + std::string(literal) + "\"}";
      literals.push_back({text.size(), tagged.size() - literal.size()});
      text += tagged;
      i += literal.size() - 1;
    }
  }

  static std::string_view literal_at(std::string_view rest) {
    for (const std::string_view literal : {"NaN", "Infinity", "-Infinity"}) {
      if (rest.starts_with(literal)) return literal;
    }
    return "";
  }

  // Where a byte of `text` stood before.
  std::size_t original(std::size_t byte) const {
    std::size_t shift = 0;
    for (const Literal& literal : literals) {
      if (literal.begin < byte) shift += std::min(literal.growth, byte - literal.begin - 1);
    }
    return byte - shift;
  }
};

// Numbers in place of objects of kFloatTag.
void read_float_tags(nlohmann::json& value) {
  if (!value.is_structured()) return;
  const auto tag = value.is_object() && value.size() == 1 ? value.find(kFloatTag) : value.end();
  if (tag != value.end() && tag->is_string()) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const auto& name = tag->get_ref<const std::string&>();
    const bool is_nan = name == "NaN";
    if (!is_nan && name != "Infinity" && name != "-Infinity") return;
    value = is_nan ? std::numeric_limits<double>::quiet_NaN()
                   : (name == "Infinity" ? kInfinity : -kInfinity);
    return;
  }
  for (nlohmann::json& element : value) read_float_tags(element);
}

}  // namespace

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
  const bool may_hold_literals =
      text.find("NaN") != std::string_view::npos || text.find("Infinity") != std::string_view::npos;
  const PythonJson python(may_hold_literals ? text : "");
  const std::string_view plain = may_hold_literals ? python.text : text;
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(plain.begin(), plain.end());
  } catch (const nlohmann::json::parse_error& e) {
    throw BadData(path + ": is not valid JSON (UTF-8) at byte " +
                  std::to_string(python.original(e.byte)));
  } catch (const nlohmann::json::exception&) {
    throw BadData(path + ": holds a number that is out of range");
  }
  if (!json.is_object()) throw BadData(path + ": is not a JSON object");
  read_float_tags(json);
  return json;
}

}  // namespace tovamill
