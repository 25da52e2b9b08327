// A Jinja template as a tree of statements and expressions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/prompt/jinja_tokens.h"
#include "engine/prompt/jinja_value.h"

namespace tovamill {

struct JinjaExpression;
using JinjaExpressionPointer = std::unique_ptr<JinjaExpression>;

struct JinjaExpression {
  enum class Kind : std::uint8_t {
    constant,    // value
    variable,    // name
    list,        // parts
    object,      // parts: names and values in turn
    attribute,   // parts[0].name
    item,        // parts[0][parts[1]]
    slice,       // parts[0][parts[1]:parts[2]:parts[3]], null where left out
    call,        // parts[0](the other parts, named)
    filter,      // parts[0] | name(the other parts, named)
    test,        // parts[0] is name(the other parts), or is not
    negative,    // -parts[0]
    positive,    // +parts[0]
    opposite,    // not parts[0]
    all,         // parts with "and"
    any,         // parts with "or"
    comparison,  // parts with signs between them
    arithmetic,  // the same, from the left
    joined,      // parts with "~"
    condition,   // parts[0] if parts[1] else parts[2]; null where left out
  };
  Kind kind = Kind::constant;
  JinjaPlace place;
  std::string name;
  JinjaValue value;
  std::vector<JinjaExpressionPointer> parts;
  std::vector<std::pair<std::string, JinjaExpressionPointer>> named;
  std::vector<std::string> signs;
  bool negated = false;
  int depth = 1;  // of expressions inside each other
};

struct JinjaNode;
using JinjaBody = std::vector<JinjaNode>;

struct JinjaNode {
  enum class Kind : std::uint8_t {
    data,        // text
    print,       // expression
    branches,    // bodies[i] where branches[i] holds, which is null for "else"
    loop,        // for names in expression if filter: bodies[0]; nothing to loop over: bodies[1]
    set,         // names = expression, or names[0].field = expression
    set_block,   // names[0] = what bodies[0] prints, through `expression` (a filter of `text`)
    macro,       // name, names with defaults (null where there is none), bodies[0]
    filtered,    // what bodies[0] prints, through `expression`
    scope,       // names = branches, in bodies[0] only
    group,       // bodies[0]: a "generation" block
    leave_loop,  // break
    next_round,  // continue
    unknown,     // name: refused where it runs
  };
  Kind kind = Kind::data;
  JinjaPlace place;
  JinjaText text;
  std::string name, field;
  std::vector<std::string> names;
  JinjaExpressionPointer expression, filter;
  std::vector<JinjaExpressionPointer> branches;
  std::vector<JinjaBody> bodies;
};

// The variable that stands for what a block prints in a filter behind "set x |" and "filter".
inline constexpr char kJinjaBlockText[] = " block";

// Reads the expressions of one tag, from its first token on.
class JinjaExpressionReader {
 public:
  JinjaExpressionReader(const std::vector<JinjaToken>& tokens, JinjaPlace place)
      : tokens_(tokens), place_(place) {}

  bool accept_sign(std::string_view sign);
  bool accept_name(std::string_view name);
  bool next_is(JinjaToken::Kind kind, std::string_view text, std::size_t ahead = 0) const;
  void expect_sign(std::string_view sign);
  std::string take_name();
  void expect_end() const;
  [[noreturn]] void refuse(const std::string& problem) const;

  JinjaExpressionPointer read();
  JinjaExpressionPointer read_without_condition();  // of a loop: no "a if b else c"
  JinjaExpressionPointer read_maybe_list();         // "a, b" without brackets is a list
  // Filters alone, of `value`: the first one, whose "|" is not there, and those behind it.
  JinjaExpressionPointer read_filters_of(JinjaExpressionPointer value);

 private:
  class Nesting;  // counts how deep the reading goes
  using Parts = std::vector<JinjaExpressionPointer>;

  const JinjaToken& peek(std::size_t ahead = 0) const;
  JinjaPlace place() const { return peek().place; }
  JinjaExpressionPointer made(JinjaExpression::Kind kind, JinjaPlace place, Parts parts) const;
  void add_part(JinjaExpression& whole, JinjaExpressionPointer part) const;

  JinjaExpressionPointer read_or();
  JinjaExpressionPointer read_and();
  JinjaExpressionPointer read_not();
  JinjaExpressionPointer read_comparison();
  std::string read_comparison_sign();
  JinjaExpressionPointer read_sum();
  JinjaExpressionPointer read_join();
  JinjaExpressionPointer read_product();
  JinjaExpressionPointer read_power();
  JinjaExpressionPointer read_unary(bool with_filters);
  JinjaExpressionPointer read_primary();
  JinjaExpressionPointer read_literal();
  JinjaExpressionPointer read_list(std::string_view close);
  JinjaExpressionPointer read_object();
  JinjaExpressionPointer read_postfix(JinjaExpressionPointer value);
  JinjaExpressionPointer read_subscript(JinjaExpressionPointer value);
  JinjaExpressionPointer read_filter_name(JinjaExpressionPointer value);
  JinjaExpressionPointer read_filters(JinjaExpressionPointer value);
  JinjaExpressionPointer read_test(JinjaExpressionPointer value);
  void read_arguments(JinjaExpression& call);

  const std::vector<JinjaToken>& tokens_;
  JinjaPlace place_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

// The statements of a template. Throws JinjaError for what is no Jinja.
JinjaBody read_jinja(std::string_view source);

}  // namespace tovamill
