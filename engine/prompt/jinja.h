// The template language Jinja as chat templates of models are written in it: what
// `apply_chat_template` of Hugging Face knows, without what reads other templates (include, import,
// extends, block) and without calls of blocks. Time and memory are bounded: templates come with
// models from anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/prompt/jinja_value.h"

namespace tovamill {

using JinjaVariables = std::map<std::string, JinjaValue, std::less<>>;

// 2024-07-26, the day that Llama 3.1's own template takes for today's: what strftime_now says where
// nothing else is given, so that runs repeat. Seconds since 1970, UTC.
constexpr std::int64_t kJinjaDate = 1'721'952'000;

class JinjaTemplate {
 public:
  // Throws JinjaError for what is no Jinja.
  explicit JinjaTemplate(std::string_view source);

  // What the template prints, each character with its origin. Throws JinjaError where it does what
  // is not known here, of which only what runs counts, or refuses the variables itself.
  // `n_characters`: of the variables' texts, which may be long; time and memory are in proportion
  // to it and a constant. `missing` gets the variables that were looked for and are none, also
  // where it throws.
  JinjaText render(const JinjaVariables& variables, std::size_t n_characters = 0,
                   std::int64_t date = kJinjaDate, std::set<std::string>* missing = nullptr) const;

 private:
  std::shared_ptr<const std::vector<JinjaNode>> body_;
};

JinjaValue jinja_value(const nlohmann::json& value);

// What `source` prints with the members of the object `variables`.
std::string render_jinja(std::string_view source, const nlohmann::json& variables);

}  // namespace tovamill
