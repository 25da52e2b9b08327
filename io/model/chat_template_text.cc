#include "io/model/chat_template_text.h"

#include "io/files/utf8.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"

namespace tovamill {

namespace {

constexpr std::size_t kMaxBytes = 1 << 20;

[[noreturn]] void refuse(const std::string& where, const std::string& problem) {
  throw BadData(where + ": its chat template " + problem);
}

}  // namespace

std::string checked_chat_template(std::string text, const std::string& where) {
  if (text.size() > kMaxBytes) {
    refuse(where, "has " + with_thousands(text.size()) + " bytes, more than the " +
                      with_thousands(kMaxBytes) + " that one may have");
  }
  if (const std::size_t valid = valid_utf8_prefix(text); valid < text.size()) {
    refuse(where, "is not UTF-8 at its byte " + std::to_string(valid));
  }
  return text;
}

std::string chat_template_of(const nlohmann::json& value, const std::string& where) {
  if (value.is_null()) return {};
  if (value.is_string()) return checked_chat_template(value.get<std::string>(), where);
  if (!value.is_array()) refuse(where, "is neither a text nor a list of named ones");
  for (const nlohmann::json& entry : value) {
    const bool named = entry.is_object() && entry.contains("name") && entry.contains("template") &&
                       entry["template"].is_string();
    if (!named) refuse(where, "is a list with something else than a name and a text");
    if (entry["name"] == "default") {
      return checked_chat_template(entry["template"].get<std::string>(), where);
    }
  }
  return {};
}

}  // namespace tovamill
