#include "engine/prompt/jinja.h"

#include "engine/prompt/jinja_evaluator.h"

namespace tovamill {
namespace {

// Characters and values that a rendering may touch: the templates of known models take some
// thousands beside the message, which they touch some ten times.
constexpr std::size_t kUnits = 4'000'000, kUnitsPerCharacter = 40;

}  // namespace

JinjaTemplate::JinjaTemplate(std::string_view source)
    : body_(std::make_shared<const JinjaBody>(read_jinja(source))) {}

JinjaText JinjaTemplate::render(const JinjaVariables& variables, std::size_t n_characters,
                                std::int64_t date, std::set<std::string>* missing) const {
  std::set<std::string> none;
  JinjaEvaluator evaluator(variables, kUnits + kUnitsPerCharacter * n_characters, date,
                           missing != nullptr ? *missing : none);
  return evaluator.render(*body_);
}

JinjaValue jinja_value(const nlohmann::json& value) {
  if (value.is_string()) return jinja_text(value.get_ref<const std::string&>());
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_number()) return value.get<double>();
  if (value.is_array()) {
    JinjaItems items;
    for (const nlohmann::json& item : value) items.push_back(jinja_value(item));
    return JinjaValue::list(std::move(items));
  }
  if (!value.is_object()) return nullptr;
  std::vector<std::pair<JinjaText, JinjaValue>> members;
  for (const auto& [name, member] : value.items())
    members.emplace_back(jinja_text(name), jinja_value(member));
  return JinjaValue::object(std::move(members));
}

std::string render_jinja(std::string_view source, const nlohmann::json& variables) {
  JinjaVariables values;
  for (const auto& [name, value] : variables.items()) values.emplace(name, jinja_value(value));
  return to_utf8_of(JinjaTemplate(source).render(values));
}

}  // namespace tovamill
