// Fields of JSON that this program wrote, or somebody else in its place.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace tovamill {

// The text at `key`; empty where `object` is none, or has no text there.
inline std::string text_at(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace tovamill
