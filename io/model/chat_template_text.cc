#include "io/model/chat_template_text.h"

#include <optional>

#include "io/files/utf8.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

constexpr std::size_t kMaxBytes = 1 << 20;

[[noreturn]] void refuse(const std::string& where, const std::string& problem) {
  throw BadData(where + ": its chat template " + problem);
}

std::string not_empty(std::string text, const std::string& where) {
  if (text.empty()) refuse(where, "is empty: remove it, or choose one with --chat-template");
  return text;
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
  if (value.is_string())
    return not_empty(checked_chat_template(value.get<std::string>(), where), where);
  if (!value.is_structured()) refuse(where, "is neither a text nor a list of named ones");
  std::string names;
  std::optional<std::string> chosen;
  for (const auto& [key, entry] : value.items()) {
    const bool named =
        value.is_object() || (entry.is_object() && entry.contains("name") &&
                              entry["name"].is_string() && entry.contains("template"));
    const nlohmann::json& text = value.is_object() || !named ? entry : entry["template"];
    if (!named || !text.is_string())
      refuse(where, "is a list with something else than a name and a text");
    const std::string name = value.is_object() ? key : entry["name"].get<std::string>();
    if (name == "default") chosen = text.get<std::string>();  // the last of that name
    names += (names.empty() ? "" : ", ") + printable(name);
  }
  if (!chosen) {
    refuse(where, "is one of several (" + names +
                      "), none of which is called 'default': choose "
                      "one with --chat-template");
  }
  return not_empty(checked_chat_template(*chosen, where), where);
}

}  // namespace tovamill
