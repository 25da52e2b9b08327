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

TEST(Jinja, RefusesWhatJinja2Refuses) {
  const nlohmann::json golden = testing::golden_json("chat_templates/templates.json");
  ASSERT_GT(golden["refused_snippets"].size(), 25u);
  for (const auto& snippet : golden["refused_snippets"]) {
    const std::string message = refusal(snippet.get<std::string>(), golden["variables"]);
    EXPECT_TRUE(message.starts_with("line ")) << snippet << ": " << message;
  }
}

TEST(Jinja, RefusesWhatItDoesNotKnowWithLineAndColumn) {
  const std::pair<std::string, std::string> cases[] = {
      {"a\n  {{ x", "line 2, column 3: a tag does not end"},
      {"{# x", "line 1, column 1: a comment does not end"},
      {"{{ 'x }}", "line 1, column 4: a string does not end"},
      {"\u00e9\u00e9{{ $ }}", "line 1, column 6: the character '$' is not known"},
      {"{{ x) }}", "line 1, column 5: a bracket closes"},
      {"a\r\n{% if x %}", "line 2, column 1: a block does not end"},
      {"{% raw %}", "line 1, column 1: a raw block does not end"},
      {"{% endif %}", "'endif' stands where it cannot"},
      {"{% for x in y %}{% elif %}{% endfor %}", "line 1, column 17: 'elif' stands where"},
      {"{% if true %}{% endfor %}", "'endfor' stands where it cannot"},
      {"x{% include 'x' %}", "line 1, column 2: the statement 'include' is not known"},
      {"{% call m() %}{% endcall %}", "the statement 'call' is not known"},
      {"{% 5 %}", "the statement '' is not known"},
      {"{% for x in [1] recursive %}{% endfor %}", "a recursive loop"},
      {"{{ m() }}", "line 1, column 4: the function 'm' is not known"},
      {"{% macro m() %}{{ varargs }}{% endmacro %}{{ m() }}", "arguments of any number"},
      {"{% macro m() %}x{% endmacro %}{{ m(*[1]) }}", "arguments out of a list"},
      {"{{ cycler(1) }}", "the function 'cycler' is not known"},
      {"{{ 'x'|xmlattr }}", "line 1, column 8: the filter 'xmlattr' is not known"},
      {"{{ 'x'|safe ~ 'y' }}", "the filter 'safe' where nothing is printed"},
      {"{{ [1]|tojson(ensure_ascii=true) }}", "tojson with ensure_ascii"},
      {"{{ '\u00e9'|title }}", "the filter 'title' beyond ASCII"},
      {"{{ 'x'.casefold() }}", "the method 'casefold' is not known"},
      {"{{ 'x'.upper ~ 1 }}", "the method 'upper' without a call"},
      {"{{ {'items': 1}.items }}", "the method 'items' without a call"},
      {"{{ ''.__class__ }}", "the attribute '__class__'"},
      {"{{ x.y }}", "line 1, column 5: the attribute 'y' of 'x', which is undefined"},
      {"{{ 'x' is nameless }}", "the test 'nameless' is not known"},
      {"{{ 1 + 'x' }}", "'+' of a number and a text"},
      {"{{ 1 + none }}", "'+' of a number and none"},
      {"{{ 9999999999999 }}", "a number is too large"},
      {"{{ 999999999 * 999999999 }}", "a number is too large"},
      {"{{ 9 ** 40 }}", "a number is too large"},
      {"{{ 1 % 0 }}", "a division by 0"},
      {"{{ 0x10 }}", "a number of an unknown kind"},
      {"{{ [1] }}", "a list is printed"},
      {"{{ 1, 2 }}", "a list is printed"},
      {"{{ {'a': 1} }}", "an object is printed"},
      {"{{ range }}", "a function is printed"},
      {"{{ }}", "line 1, column 4: a value is missing"},
      {"{{ 1 2 }}", "line 1, column 6: a tag goes on"},
      {"{{ [1,2,3][::0] }}", "a slice with steps of 0"},
      {"{{ 5[1:] }}", "a slice of a number"},
      {"{{ 'a'.split('') }}", "split() by nothing"},
      {"{{ raise_exception('no') }}", "it refuses the messages: 'no'"},
      {"{% for a, b in [1] %}{% endfor %}", "a number is gone through as a list"},
      {"{% for a in 5 %}{% endfor %}", "a number is gone through as a list"},
      {"{% for a in [1] %}{{ loop.changed(1) }}{% endfor %}", "the method 'changed' of a loop"},
      {"{% for a in [1] %}{{ loop.nothing }}{% endfor %}", "loop.'nothing' is not known"},
      {"{% break %}", "a loop is left where there is none"},
      {"{% set x.y = 1 %}", "what is no namespace"},
      {"{% set n = namespace(_a=1) %}", "a field that begins with '_'"},
      {"{% set x %}y", "a block does not end"},
      {"{{ '\\777' }}", "the escape of a string"},
      {"{{ '\\ud800' }}", "the escape of a string"},
      {"{{ strftime_now('%c') }}", "a date in the format '%c'"},
      {"\xff", "it is not UTF-8"},
      {"{{ '\xff' }}", "a text is not UTF-8"},
  };
  for (const auto& [source, expected] : cases) {
    const std::string message = refusal(source);
    EXPECT_TRUE(contains(message, expected)) << source << ": " << message;
  }
}

TEST(Jinja, WhatDoesNotRunNeedNotBeKnown) {
  EXPECT_EQ(
      render_jinja("{% if x %}{{ y | tojson(ensure_ascii=true) }}{% include 'z' %}{% endif %}a"
                   "{% macro m(k, v=1) %}{{ k | xmlattr }}{% endmacro %}{{ x and x.y.z() }}"
                   "{{ 'b' if true else f(x) | strange }}{% if x %}{% call m(*x) %}{% endcall %}"
                   "{% endif %}",
                   nlohmann::json::object()),
      "ab");
}

// A character keeps its origin through all that a template does to it.
TEST(Jinja, TellsWhatComesFromWhere) {
  const JinjaTemplate source(
      "<{{ (x | trim | upper ~ '!').replace('B', 'bb') }}|{{ x.split('b')[-1] }}|{{ x | tojson }}>"
      "{{ [x, 'y'] | join('+') }}{{ x[::-1] }}{{ 'a' in x }}");
  const JinjaText rendering = source.render({{"x", jinja_text(" a\"bc ", JinjaOrigin::message)}});
  std::string text, origins;
  for (const char32_t c : rendering) {
    text += static_cast<char>(jinja_code_point(c));
    origins += (c & JinjaOrigin::message) != 0 ? 'm' : '.';
  }
  EXPECT_EQ(text, "<A\"bbC!|c |\" a\\\"bc \"> a\"bc +y cb\"a True");
  EXPECT_EQ(origins, ".mm..m..mm..mmmmmmm..mmmmmm..mmmmmm....");
}

TEST(Jinja, SaysWhichVariablesWereMissing) {
  std::set<std::string> missing;
  JinjaTemplate("{{ a }}{% if b is defined %}{{ c }}{% endif %}{% set d = 1 %}{{ d }}{{ e }}")
      .render({{"e", JinjaValue(true)}}, 0, kJinjaDate, &missing);
  EXPECT_EQ(missing, (std::set<std::string>{"a", "b"}));
  EXPECT_THROW(JinjaTemplate("{{ z }}{{ raise_exception('x') }}").render({}, 0, 0, &missing),
               JinjaError);
  EXPECT_TRUE(missing.contains("z"));
}

// None of these may take long, much memory or the stack.
TEST(Jinja, SurvivesTemplatesMadeToDoHarm) {
  const std::string loops = repeated("{% for i in [1,2,3,4,5,6,7,8,9] %}", 40);
  const std::string ends = repeated("{% endfor %}", 40);
  const std::string doubling = repeated("{% set a = a + a %}", 64);
  const std::string lists = repeated("{% set a = [a, a] %}", 64);
  const std::string big = "{% set a = 'a' * 100000 %}";
  const std::string sources[] = {
      std::string(2 << 20, 'x'),
      repeated("{", 1 << 20) + "x",
      "{{ " + repeated("(", 100'000) + repeated(")", 100'000) + " }}",
      "{{ " + repeated("[", 100'000) + repeated("]", 100'000) + " }}",
      "{{ " + repeated("{1:", 100'000) + repeated("}", 100'000) + " }}",
      "{{ " + repeated("not ", 100'000) + "x }}",
      "{{ " + repeated("-", 100'000) + "1 }}",
      "{{ 1" + repeated(" if 1", 100'000) + " }}",
      "{{ 1" + repeated(" if 1 else 1", 50'000) + " }}",
      "{{ " + repeated("(1 if ", 60) + "1" + repeated(" else 1)", 60) + " + }}",
      "{{ x" + repeated(".x", 100'000) + " }}",
      "{{ x" + repeated("|trim", 100'000) + " }}",
      "{{ x" + repeated(" is defined", 100'000) + " }}",
      "{{ x" + repeated("()", 100'000) + " }}",
      repeated("{% if 1 %}", 100'000) + repeated("{% endif %}", 90'000),
      repeated("{% macro m() %}", 100'000) + repeated("{% endmacro %}", 100'000),
      repeated("{% set x %}", 100'000),
      loops + "x" + ends,
      "{% set a = 'aaaaaaaa' %}" + doubling + "{{ a }}",
      "{% set a = 1 %}" + lists,
      "{% set a = {'b': 1} %}" + repeated("{% set a = {'a': a, 'b': a} %}", 64),
      "{% set n = namespace(a=1) %}{% for i in [1,2,3,4,5,6,7,8,9] %}{% for j in "
      "[1,2,3,4,5,6,7,8,9] "
      "%}{% set n.a = [n.a] %}{% endfor %}{% endfor %}",
      "{% set n = namespace(a=1) %}{% set n.a = n %}{% set n.b = [n] %}{{ n.b | tojson }}",
      "{{ x" + repeated("[", 50'000),
      "{{ '" + repeated("\\", 99'999),
      "{% for i in range(999999999999) %}{% endfor %}",
      "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
      "{% for i in range(1000) %}{% for j in range(1000) %}x{% endfor %}{% endfor %}"
      "{% for i in range(1000) %}{% for j in range(1000) %}x{% endfor %}{% endfor %}",
      "{{ 'x' * 999999999999 }}",
      "{{ '' | indent(999) }}{{ ('\n' * 100000) | indent(999, true, true) }}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m(x=m()) %}{% endmacro %}{{ m() }}",
      "{% macro m(n) %}{% if n > 0 %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
      "{{ m(40) }}",
      "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
      big + "{% for i in range(10000) %}{{ a.replace('a', 'aa') | length }}{% endfor %}",
      big + "{% for i in range(10000) %}{% if a ~ 'b' in a %}{% endif %}{% endfor %}",
      big + "{% for i in range(10000) %}{% if a ~ i == a %}{% endif %}{% endfor %}",
      big + "{% for c in a %}{% for d in a %}{% endfor %}{% endfor %}",
      big +
          "{{ (a | list) | unique | list | length }}{% for i in range(100) %}"
          "{{ a | list | sort | join | upper | lower | reverse | tojson }}{% endfor %}",
      big + "{% set b = a.split('a') %}{% for i in range(1000) %}{{ b | join(a) }}{% endfor %}",
      big + "{{ a.strip(a) }}",
      "{% set n = namespace(s='ab') %}{% for i in range(64) %}{% set n.s = n.s ~ n.s %}{% endfor "
      "%}",
      "{% set n = namespace(s='ab') %}{% for i in range(64) %}{% set n.s = [n.s, n.s] | join %}"
      "{% endfor %}",
      "{% set n = namespace(s='{}{}') %}{% for i in range(64) %}"
      "{% set n.s = n.s.replace('{}', '{}{}') %}{% endfor %}",
  };
  for (const std::string& source : sources) {
    const std::string message = refusal(source);
    EXPECT_LT(message.size(), 250u) << source.substr(0, 60);
  }
}

TEST(Jinja, LongTextsTakeTimeInProportion) {
  const JinjaTemplate source(
      "{% for i in range(3) %}{% set t = messages | trim | replace('aab', 'c') %}{% endfor %}"
      "{{ messages.split('</think>')[-1].strip() }}{{ 'aaaaaaaab' in messages }}");
  const JinjaText text = jinja_text(std::string(2'000'000, 'a'), JinjaOrigin::message);
  const JinjaText rendering = source.render({{"messages", text}}, text.size());
  EXPECT_EQ(rendering.size(), text.size() + 5);
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
