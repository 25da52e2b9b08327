// The part of the template language Jinja that chat templates of models are written in: if, for,
// set, expressions. No includes, no macros, no calls out of it, and a bound on time and memory:
// templates come with models from anywhere.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/prompt/jinja_tokens.h"

namespace tovamill {

// What `source` prints with the variables of the object `variables`; the same text that Hugging
// Face's `apply_chat_template` gives. Throws JinjaError where the template does anything that is
// not known here, of which only what runs counts, or refuses the variables itself.
std::string render_jinja(std::string_view source, const nlohmann::json& variables);

}  // namespace tovamill
