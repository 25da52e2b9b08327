// Jinja against what jinja2 prints (tests/support/generators/make_chat_goldens.py), and templates
// made to do harm.
#include "engine/prompt/jinja.h"

#include <gtest/gtest.h>

#include "tests/support/error_of.h"
#include "tests/support/models/real_tokenizers.h"

namespace tovamill {
namespace {

using testing::contains;

std::string refusal(const std::string& source, const nlohmann::json& variables = {}) {
  try {
    render_jinja(source, variables.is_null() ? nlohmann::json::object() : variables);
  } catch (const JinjaError& e) {
    return e.what();
  }
  ADD_FAILURE() << "was not refused: " << source.substr(0, 80);
  return {};
}

std::string repeated(const std::string& unit, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += unit;
  return out;
}

TEST(Jinja, PrintsWhatJinja2Does) {
  const nlohmann::json golden = testing::golden_json("chat_templates/templates.json");
  ASSERT_GT(golden["snippets"].size(), 10u);
  for (const auto& snippet : golden["snippets"]) {
    const auto source = snippet["template"].get<std::string>();
    EXPECT_EQ(render_jinja(source, golden["variables"]), snippet["rendered"].get<std::string>())
        << source;
  }
}

TEST(Jinja, RefusesWhatItDoesNotKnow) {
  const std::pair<std::string, std::string> cases[] = {
      {"a\n{{ x", "line 2: a tag does not end"},
      {"{# x", "a comment does not end"},
      {"{{ 'x }}", "a string does not end"},
      {"{{ $ }}", "the character '$' is not known"},
      {"{{ x) }}", "a bracket closes"},
      {"{% if x %}", "a block does not end"},
      {"{% endif %}", "'endif' stands where it cannot"},
      {"{% for x in y %}{% elif %}{% endfor %}", "'elif' stands where it cannot"},
      {"{% if true %}{% endfor %}", "'endfor' stands where it cannot"},
      {"{% include 'x' %}", "the statement 'include' is not known"},
      {"{% raw %}", "the statement 'raw' is not known"},
      {"{% 5 %}", "the statement '' is not known"},
      {"{% macro m() %}x{% endmacro %}{{ m() }}", "the function 'm' is not known"},
      {"{{ cycler(1) }}", "the function 'cycler' is not known"},
      {"{{ 'x'|tojson }}", "the filter 'tojson' is not known"},
      {"{{ 'x'.format(1) }}", "the method 'format' is not known"},
      {"{{ ''.__class__ }}", "the attribute '__class__' of what is no object"},
      {"{{ x.y }}", "the attribute 'y' of what is no object"},
      {"{{ 'x' is odd }}", "the test 'odd' is not known"},
      {"{{ 1 + 'x' }}", "used as a text that is none"},
      {"{{ 9999999999 }}", "a number is too large"},
      {"{{ 999999999 * 999999999 }}", "a number is too large"},
      {"{{ 1 % 0 }}", "the remainder"},
      {"{{ 1 / 2 }}", "a tag goes on"},
      {"{{ [1] }}", "a list or an object is printed"},
      {"{{ {'a': 1} }}", "a value is missing or unknown"},
      {"{{ }}", "a value is missing"},
      {"{{ 1 2 }}", "a tag goes on"},
      {"{{ [1,2,3][::2] }}", "a slice with steps"},
      {"{{ 'abc'[1:] }}", "a slice of what is no list"},
      {"{{ 'a'.split('') }}", "split() by nothing"},
      {"{{ raise_exception('no') }}", "it refuses one user message: 'no'"},
      {"{% for a, b in [1] %}{% endfor %}", "a loop of an unknown kind"},
      {"{% for a in 'xy' %}{% endfor %}", "a loop over what is no list"},
      {"{% for a in [1] %}{{ loop.cycle }}{% endfor %}", "loop.cycle is not known"},
      {"{% set x.y = 1 %}", "what is no namespace"},
      {"{% set x %}y{% endset %}", "'=' is missing"},
      {"{{ '\\777' }}", "the escape of a string"},
      {"{{ '\\ud800' }}", "the escape of a string"},
  };
  for (const auto& [source, expected] : cases) {
    const std::string message = refusal(source);
    EXPECT_TRUE(contains(message, expected)) << source << ": " << message;
  }
}

TEST(Jinja, WhatDoesNotRunNeedNotBeKnown) {
  EXPECT_EQ(render_jinja("{% if x %}{{ y | tojson(indent=4) }}{% include 'z' %}{% endif %}a"
                         "{% macro m(k, v=1) %}{{ k }}{% endmacro %}{{ x and x.y.z() }}"
                         "{{ 'b' if true else f(x) | strange }}",
                         nlohmann::json::object()),
            "ab");
}

// None of these may take long, much memory or the stack.
TEST(Jinja, SurvivesTemplatesMadeToDoHarm) {
  const std::string loops = repeated("{% for i in [1,2,3,4,5,6,7,8,9] %}", 40);
  const std::string ends = repeated("{% endfor %}", 40);
  const std::string doubling = repeated("{% set a = a + a %}", 64);
  const std::string lists = repeated("{% set a = [a, a] %}", 64);
  const std::string sources[] = {
      std::string(2 << 20, 'x'),
      repeated("{", 1 << 20) + "x",
      "{{ " + repeated("(", 100'000) + repeated(")", 100'000) + " }}",
      "{{ " + repeated("[", 100'000) + repeated("]", 100'000) + " }}",
      "{{ " + repeated("not ", 100'000) + "x }}",
      "{{ 1" + repeated(" if 1", 100'000) + " }}",
      "{{ 1" + repeated(" if 1 else 1", 50'000) + " }}",
      "{{ " + repeated("(1 if ", 60) + "1" + repeated(" else 1)", 60) + " + }}",
      repeated("{% if 1 %}", 100'000) + repeated("{% endif %}", 90'000),
      loops + "x" + ends,
      "{% set a = 'aaaaaaaa' %}" + doubling + "{{ a }}",
      "{% set a = 1 %}" + lists,
      "{% set n = namespace(a=1) %}{% for i in [1,2,3,4,5,6,7,8,9] %}{% for j in "
      "[1,2,3,4,5,6,7,8,9] "
      "%}{% set n.a = [n.a] %}{% endfor %}{% endfor %}",
      "{% set n = namespace(a=1) %}" + repeated("{% set n.a = n %}", 100),
      "{{ x" + repeated("[", 50'000),
      "{{ '" + repeated("\\", 99'999),
  };
  for (const std::string& source : sources) {
    const std::string message = refusal(source);
    EXPECT_LT(message.size(), 200u) << source.substr(0, 60);
  }
}

// Every prefix of a template, and every one with a byte changed, is rendered or refused.
TEST(Jinja, SurvivesBrokenTemplates) {
  const nlohmann::json golden = testing::golden_json("chat_templates/templates.json");
  const nlohmann::json variables = {
      {"messages", nlohmann::json::array({{{"role", "user"}, {"content", "x"}}})},
      {"add_generation_prompt", true}};
  int n_refused = 0, n_rendered = 0;
  for (const auto& known : golden["known"]) {
    const auto source = known["template"].get<std::string>();
    for (std::size_t at = 0; at < source.size(); at += 7) {
      std::string changed = source;
      changed[at] = "{}%'\"(|\xff"[at % 8];
      for (const std::string& broken : {source.substr(0, at), changed}) {
        try {
          render_jinja(broken, variables);
          ++n_rendered;
        } catch (const JinjaError&) {
          ++n_refused;
        }
      }
    }
  }
  EXPECT_GT(n_refused, 1000);
  EXPECT_GT(n_rendered, 100);
}

}  // namespace
}  // namespace tovamill
