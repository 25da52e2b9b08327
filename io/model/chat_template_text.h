// The text of a model's chat template, from its files.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace tovamill {

// `text` as it is. Throws BadData naming `where` where it is not UTF-8 or has more than 1 MiB (the
// longest known have some 20 KB).
std::string checked_chat_template(std::string text, const std::string& where);

// The template in a value of tokenizer_config.json: a text, or a list of {"name", "template"} or an
// object of names and texts, of which the one named "default" is taken. Empty for null. Throws
// BadData for anything else: an empty text, several without a default.
std::string chat_template_of(const nlohmann::json& value, const std::string& where);

}  // namespace tovamill
