// Fields of JSON that this program wrote, but that anybody may have changed.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace tovamill {

// The text at `key`; empty where `object` is no object or has no text there.
inline std::string text_at(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace tovamill
