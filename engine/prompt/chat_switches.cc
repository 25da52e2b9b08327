// The variables by which chat templates let reasoning be switched off.
#include <algorithm>

#include "engine/prompt/chat_template.h"
#include "engine/prompt/jinja_tokens.h"

namespace tovamill {
namespace {

struct Switch {
  const char* name;
  // The first that the template itself names in a tag beside the variable, else the last; empty:
  // false.
  std::vector<const char*> values;
  bool is_number = false;
};

const std::vector<Switch>& switches() {
  static const std::vector<Switch> all{
      {"enable_thinking", {}},  // Qwen3, SmolLM3, GLM-4.5, Exaone 4, HunYuan, Ernie 4.5, ...
      {"thinking", {}},         // Granite 3.2 and 3.3, DeepSeek V3.1
      {"reasoning", {}},        // Command A Reasoning
      {"thinking_budget", {"0"}, true},                              // Seed-OSS
      {"thinking_mode", {"disabled", "off", "disabled"}},            // MiniMax M3
      {"reasoning_effort", {"none", "no_think", "minimal", "low"}},  // gpt-oss, Mistral Small 4
      {"thinking_effort", {"none", "minimal", "low"}},
  };
  return all;
}

// Whether a tag of the template has both the variable and the text.
bool names_value(const std::vector<JinjaPart>& parts, std::string_view variable,
                 std::string_view value) {
  return std::any_of(parts.begin(), parts.end(), [&](const JinjaPart& part) {
    bool has_variable = false, has_value = false;
    for (const JinjaToken& token : part.tokens) {
      has_variable |= token.kind == JinjaToken::Kind::name && token.text == variable;
      has_value |= token.kind == JinjaToken::Kind::text && token.text == value;
    }
    return has_variable && has_value;
  });
}

}  // namespace

std::string switch_reasoning_off(std::string_view jinja, const std::set<std::string>& missing,
                                 JinjaVariables& variables) {
  const std::vector<JinjaPart> parts = split_jinja(jinja);
  std::string said;
  for (const Switch& entry : switches()) {
    if (!missing.contains(entry.name)) continue;
    std::string text = "false";
    JinjaValue value = false;
    if (entry.is_number) {
      text = "0";
      value = std::int64_t{0};
    } else if (!entry.values.empty()) {
      const auto found = std::find_if(
          entry.values.begin(), entry.values.end(),
          [&](const char* candidate) { return names_value(parts, entry.name, candidate); });
      text = found != entry.values.end() ? *found : entry.values.back();
      value = jinja_text(text);
    }
    variables.insert_or_assign(entry.name, std::move(value));
    said += (said.empty() ? "" : ", ") + std::string(entry.name) + "=" + text;
  }
  return said;
}

}  // namespace tovamill
