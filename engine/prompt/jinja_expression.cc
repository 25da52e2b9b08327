// Reading of expressions; what values, filters and methods do is in jinja_values.cc.
#include "engine/prompt/jinja_expression.h"

#include "kernels/types/printable.h"

namespace tovamill {

namespace {

constexpr int kMaxDepth = 200;

}  // namespace

using TokenKind = JinjaToken::Kind;

class JinjaExpression::Nesting {
 public:
  explicit Nesting(JinjaExpression& expression) : expression_(expression) {
    if (++expression_.depth_ > kMaxDepth) expression_.refuse("an expression nests too deeply");
    expression_.budget_.charge(1, expression_.part_.line);
  }
  ~Nesting() { --expression_.depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  JinjaExpression& expression_;
};

void JinjaExpression::refuse(const std::string& problem) const {
  throw JinjaError(part_.line, problem);
}

const JinjaToken& JinjaExpression::peek(std::size_t ahead) const {
  return at_ + ahead < part_.tokens.size() ? part_.tokens[at_ + ahead] : part_.tokens.back();
}

bool JinjaExpression::accept_sign(std::string_view sign) {
  if (peek().kind != TokenKind::sign || peek().text != sign) return false;
  ++at_;
  return true;
}

bool JinjaExpression::accept_name(std::string_view name) {
  if (peek().kind != TokenKind::name || peek().text != name) return false;
  ++at_;
  return true;
}

void JinjaExpression::expect_sign(std::string_view sign) {
  if (!accept_sign(sign)) refuse("'" + std::string(sign) + "' is missing");
}

std::string JinjaExpression::take_name() {
  if (peek().kind != TokenKind::name) refuse("a name is missing");
  return part_.tokens[at_++].text;
}

void JinjaExpression::expect_end() const {
  if (peek().kind != TokenKind::end) refuse("a tag goes on where it should end");
}

// Where the "if" of "a if b else c" stands; nowhere: 0.
std::size_t JinjaExpression::find_condition() const {
  int depth = 0;
  for (std::size_t i = at_; i < part_.tokens.size(); ++i) {
    budget_.charge(1, part_.line);
    const auto& [kind, text] = part_.tokens[i];
    if (kind == TokenKind::sign) {
      if (text == "(" || text == "[" || text == "{") ++depth;
      if (depth == 0 && (text == "," || text == ":")) return 0;
      if ((text == ")" || text == "]" || text == "}") && --depth < 0) return 0;
    } else if (kind == TokenKind::name && depth == 0) {
      if (text == "else") return 0;
      if (text == "if") return i;
    }
  }
  return 0;
}

JinjaValue JinjaExpression::evaluate() {
  const Nesting nesting(*this);
  const std::size_t begin = at_, condition_at = find_condition();
  if (condition_at == 0) return evaluate_or();
  at_ = condition_at + 1;
  const bool holds = jinja_is_true(evaluate_or());
  const std::size_t behind = at_;
  at_ = begin;
  dead_ += holds ? 0 : 1;
  JinjaValue value = evaluate_or();
  dead_ -= holds ? 0 : 1;
  if (at_ != condition_at) refuse("a condition stands where it cannot");
  at_ = behind;
  if (!holds) value = jinja_undefined();
  if (accept_name("else")) {
    dead_ += holds ? 1 : 0;
    JinjaValue otherwise = evaluate();
    dead_ -= holds ? 1 : 0;
    if (!holds) value = std::move(otherwise);
  }
  return value;
}

JinjaValue JinjaExpression::evaluate_without_condition() { return evaluate_or(); }

JinjaValue JinjaExpression::evaluate_or() {
  JinjaValue value = evaluate_and();
  while (accept_name("or")) {
    const bool known = jinja_is_true(value);
    dead_ += known ? 1 : 0;
    JinjaValue next = evaluate_and();
    dead_ -= known ? 1 : 0;
    if (!known) value = std::move(next);
  }
  return value;
}

JinjaValue JinjaExpression::evaluate_and() {
  JinjaValue value = evaluate_not();
  while (accept_name("and")) {
    const bool known = !jinja_is_true(value);
    dead_ += known ? 1 : 0;
    JinjaValue next = evaluate_not();
    dead_ -= known ? 1 : 0;
    if (!known) value = std::move(next);
  }
  return value;
}

JinjaValue JinjaExpression::evaluate_not() {
  if (!accept_name("not")) return evaluate_comparison();
  const Nesting nesting(*this);
  return !jinja_is_true(evaluate_not());
}

JinjaValue JinjaExpression::evaluate_comparison() {
  JinjaValue left = evaluate_sum();
  bool holds = true, any = false;
  while (true) {
    std::string sign;
    for (const char* candidate : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (sign.empty() && accept_sign(candidate)) sign = candidate;
    }
    if (sign.empty() && accept_name("in")) sign = "in";
    if (sign.empty() && peek().kind == TokenKind::name && peek().text == "not" &&
        peek(1).kind == TokenKind::name && peek(1).text == "in") {
      at_ += 2;
      sign = "not in";
    }
    if (sign.empty()) return any ? JinjaValue(holds) : left;
    any = true;
    dead_ += holds ? 0 : 1;
    JinjaValue right = evaluate_sum();
    const bool next = is_live() && compare(sign, left, right);
    dead_ -= holds ? 0 : 1;
    holds = holds && next;
    left = std::move(right);
  }
}

JinjaValue JinjaExpression::evaluate_sum() {
  JinjaValue value = evaluate_join();
  while (true) {
    if (accept_sign("+")) {
      const JinjaValue next = evaluate_join();
      if (is_live()) value = charged(add(value, next));
    } else if (accept_sign("-")) {
      const JinjaValue next = evaluate_join();
      if (is_live()) value = number(value) - number(next);
    } else {
      return value;
    }
  }
}

JinjaValue JinjaExpression::evaluate_join() {
  JinjaValue value = evaluate_product();
  while (accept_sign("~")) {
    const JinjaValue next = evaluate_product();
    if (is_live()) value = charged(joined(value, next));
  }
  return value;
}

JinjaValue JinjaExpression::evaluate_product() {
  JinjaValue value = evaluate_unary();
  while (true) {
    const bool times = accept_sign("*"), modulo = !times && accept_sign("%");
    if (!times && !modulo) return value;
    const JinjaValue next = evaluate_unary();
    if (!is_live()) continue;
    const std::int64_t left = number(value), right = number(next);
    if (modulo && right <= 0) refuse("the remainder of a division by less than 1");
    value = times ? left * right : ((left % right) + right) % right;
    number(value);  // within the limits
  }
}

JinjaValue JinjaExpression::evaluate_unary() {
  if (accept_sign("-")) {
    JinjaValue value = evaluate_postfix(evaluate_primary());
    if (is_live()) value = -number(value);
    return evaluate_filters(std::move(value));
  }
  return evaluate_filters(evaluate_postfix(evaluate_primary()));
}

JinjaValue JinjaExpression::evaluate_primary() {
  const Nesting nesting(*this);
  const JinjaToken token = peek();
  if (accept_sign("(")) {
    JinjaValue value = evaluate();
    expect_sign(")");
    return value;
  }
  if (accept_sign("[")) return evaluate_list();
  if (token.kind == TokenKind::sign || token.kind == TokenKind::end)
    refuse("a value is missing or unknown");
  ++at_;
  if (token.kind == TokenKind::integer) {
    if (token.text.size() > 9) refuse("a number is too large");
    return std::stoll(token.text);
  }
  if (token.kind == TokenKind::text) {
    std::string text = token.text;  // neighbours are one text
    while (peek().kind == TokenKind::text) text += part_.tokens[at_++].text;
    return charged(std::move(text));
  }
  if (token.text == "true" || token.text == "True") return true;
  if (token.text == "false" || token.text == "False") return false;
  if (token.text == "none" || token.text == "None") return nullptr;
  if (!accept_sign("(")) return is_live() ? charged(variable(token.text)) : jinja_undefined();
  const Arguments arguments = read_arguments();
  return is_live() ? charged(call_function(token.text, arguments)) : jinja_undefined();
}

JinjaValue JinjaExpression::evaluate_list() {
  JinjaValue list = JinjaValue::array();
  while (!accept_sign("]")) {
    list.push_back(evaluate());
    if (!accept_sign(",")) {
      expect_sign("]");
      break;
    }
  }
  return charged(std::move(list));
}

JinjaValue JinjaExpression::evaluate_postfix(JinjaValue value) {
  while (true) {
    if (accept_sign(".")) {
      const std::string name = take_name();
      if (accept_sign("(")) {
        const Arguments arguments = read_arguments();
        if (is_live()) value = charged(call_method(value, name, arguments));
      } else if (is_live()) {
        value = charged(attribute(value, name));
      }
    } else if (accept_sign("[")) {
      value = charged(evaluate_subscript(value));
    } else {
      if (peek().kind == TokenKind::sign && peek().text == "(") refuse("a call of a value");
      return value;
    }
  }
}

// value[key] or value[from:to:step], behind the "[".
JinjaValue JinjaExpression::evaluate_subscript(const JinjaValue& value) {
  JinjaValue bounds[3];
  int n_colons = 0;
  while (!accept_sign("]")) {
    if (accept_sign(":")) {
      if (++n_colons > 2) refuse("a slice of more than three parts");
    } else {
      bounds[n_colons] = evaluate();
      if (peek().kind == TokenKind::sign && peek().text == ":") continue;
      expect_sign("]");
      break;
    }
  }
  if (!is_live()) return jinja_undefined();
  return n_colons == 0 ? item(value, bounds[0]) : slice(value, bounds);
}

JinjaValue JinjaExpression::evaluate_filters(JinjaValue value) {
  while (true) {
    if (accept_sign("|")) {
      const std::string name = take_name();
      const Arguments arguments = accept_sign("(") ? read_arguments() : Arguments{};
      if (is_live()) value = charged(filter(value, name, arguments));
    } else if (accept_name("is")) {
      value = evaluate_test(value);
    } else {
      return value;
    }
  }
}

JinjaValue JinjaExpression::evaluate_test(const JinjaValue& value) {
  const bool negated = accept_name("not");
  const std::string name = take_name();
  const bool defined = !value.is_discarded();
  bool holds = false;
  if (name == "defined" || name == "undefined") {
    holds = defined == (name == "defined");
  } else if (name == "none") {
    holds = value.is_null();
  } else if (name == "string") {
    holds = value.is_string();
  } else if (name == "mapping") {
    holds = value.is_object();
  } else if (name == "iterable" || name == "sequence") {
    holds = value.is_string() || value.is_structured() || !defined;
  } else if (name == "number" || name == "integer") {
    holds = value.is_number() || (name == "number" && value.is_boolean());
  } else if (name == "boolean") {
    holds = value.is_boolean();
  } else if (name == "true" || name == "false") {
    holds = value.is_boolean() && value.get<bool>() == (name == "true");
  } else if (is_live()) {
    refuse("the test " + printable(name) + " is not known");
  }
  return holds != negated;
}

// Behind the "(".
JinjaExpression::Arguments JinjaExpression::read_arguments() {
  Arguments arguments;
  while (!accept_sign(")")) {
    if (peek().kind == TokenKind::name && peek(1).kind == TokenKind::sign && peek(1).text == "=") {
      const std::string name = take_name();
      ++at_;
      arguments.named[name] = evaluate();
    } else {
      arguments.values.push_back(evaluate());
    }
    if (!accept_sign(",")) {
      expect_sign(")");
      break;
    }
  }
  return arguments;
}

}  // namespace tovamill
