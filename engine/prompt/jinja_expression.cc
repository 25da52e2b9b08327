// Reading of expressions, as jinja2.parser does.
#include <algorithm>

#include "engine/prompt/jinja_syntax.h"
#include "engine/text/utf8.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

constexpr int kMaxDepth = 200;
constexpr std::size_t kMaxDigits = 12;

using Kind = JinjaExpression::Kind;
using TokenKind = JinjaToken::Kind;

}  // namespace

class JinjaExpressionReader::Nesting {
 public:
  explicit Nesting(JinjaExpressionReader& reader) : reader_(reader) {
    if (++reader_.depth_ > kMaxDepth) reader_.refuse("an expression nests too deeply");
  }
  ~Nesting() { --reader_.depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  JinjaExpressionReader& reader_;
};

void JinjaExpressionReader::refuse(const std::string& problem) const {
  throw JinjaError(place(), problem);
}

const JinjaToken& JinjaExpressionReader::peek(std::size_t ahead) const {
  return at_ + ahead < tokens_.size() ? tokens_[at_ + ahead] : tokens_.back();
}

bool JinjaExpressionReader::next_is(TokenKind kind, std::string_view text,
                                    std::size_t ahead) const {
  return peek(ahead).kind == kind && peek(ahead).text == text;
}

bool JinjaExpressionReader::accept_sign(std::string_view sign) {
  if (!next_is(TokenKind::sign, sign)) return false;
  ++at_;
  return true;
}

bool JinjaExpressionReader::accept_name(std::string_view name) {
  if (!next_is(TokenKind::name, name)) return false;
  ++at_;
  return true;
}

void JinjaExpressionReader::expect_sign(std::string_view sign) {
  if (!accept_sign(sign)) refuse("'" + std::string(sign) + "' is missing");
}

std::string JinjaExpressionReader::take_name() {
  if (peek().kind != TokenKind::name) refuse("a name is missing");
  return tokens_[at_++].text;
}

void JinjaExpressionReader::expect_end() const {
  if (peek().kind != TokenKind::end) refuse("a tag goes on where it should end");
}

void JinjaExpressionReader::add_part(JinjaExpression& whole, JinjaExpressionPointer part) const {
  if (part != nullptr) {
    whole.depth = std::max(whole.depth, part->depth + 1);
    if (whole.depth > kMaxDepth) refuse("an expression nests too deeply");
  }
  whole.parts.push_back(std::move(part));
}

JinjaExpressionPointer JinjaExpressionReader::made(Kind kind, JinjaPlace place, Parts parts) const {
  auto out = std::make_unique<JinjaExpression>();
  out->kind = kind;
  out->place = place;
  for (JinjaExpressionPointer& part : parts) add_part(*out, std::move(part));
  return out;
}

namespace {

std::vector<JinjaExpressionPointer> parts_of(JinjaExpressionPointer a,
                                             JinjaExpressionPointer b = nullptr) {
  std::vector<JinjaExpressionPointer> out;
  out.push_back(std::move(a));
  if (b != nullptr) out.push_back(std::move(b));
  return out;
}

}  // namespace

JinjaExpressionPointer JinjaExpressionReader::read() {
  const Nesting nesting(*this);
  JinjaExpressionPointer value = read_or();
  while (next_is(TokenKind::name, "if")) {
    const JinjaPlace begin = place();
    ++at_;
    JinjaExpressionPointer condition = read_or(), otherwise;
    if (accept_name("else")) otherwise = read();
    value = made(Kind::condition, begin, parts_of(std::move(value), std::move(condition)));
    add_part(*value, std::move(otherwise));
  }
  return value;
}

JinjaExpressionPointer JinjaExpressionReader::read_without_condition() { return read_or(); }

JinjaExpressionPointer JinjaExpressionReader::read_maybe_list() {
  const JinjaPlace begin = place();
  JinjaExpressionPointer value = read();
  if (!next_is(TokenKind::sign, ",")) return value;
  JinjaExpressionPointer list = made(Kind::list, begin, parts_of(std::move(value)));
  while (accept_sign(",") && peek().kind != TokenKind::end) add_part(*list, read());
  return list;
}

JinjaExpressionPointer JinjaExpressionReader::read_or() {
  JinjaExpressionPointer value = read_and();
  if (!next_is(TokenKind::name, "or")) return value;
  value = made(Kind::any, place(), parts_of(std::move(value)));
  while (accept_name("or")) add_part(*value, read_and());
  return value;
}

JinjaExpressionPointer JinjaExpressionReader::read_and() {
  JinjaExpressionPointer value = read_not();
  if (!next_is(TokenKind::name, "and")) return value;
  value = made(Kind::all, place(), parts_of(std::move(value)));
  while (accept_name("and")) add_part(*value, read_not());
  return value;
}

JinjaExpressionPointer JinjaExpressionReader::read_not() {
  const JinjaPlace begin = place();
  if (!accept_name("not")) return read_comparison();
  const Nesting nesting(*this);
  return made(Kind::opposite, begin, parts_of(read_not()));
}

// Empty where there is none.
std::string JinjaExpressionReader::read_comparison_sign() {
  for (const char* sign : {"==", "!=", "<=", ">=", "<", ">"}) {
    if (accept_sign(sign)) return sign;
  }
  if (accept_name("in")) return "in";
  if (next_is(TokenKind::name, "not") && next_is(TokenKind::name, "in", 1)) {
    at_ += 2;
    return "not in";
  }
  return {};
}

JinjaExpressionPointer JinjaExpressionReader::read_comparison() {
  JinjaExpressionPointer value = read_sum();
  JinjaPlace begin = place();
  std::string sign = read_comparison_sign();
  if (sign.empty()) return value;
  value = made(Kind::comparison, begin, parts_of(std::move(value)));
  for (; !sign.empty(); sign = read_comparison_sign()) {
    value->signs.push_back(std::move(sign));
    add_part(*value, read_sum());
  }
  return value;
}

JinjaExpressionPointer JinjaExpressionReader::read_sum() {
  JinjaExpressionPointer value = read_join();
  if (!next_is(TokenKind::sign, "+") && !next_is(TokenKind::sign, "-")) return value;
  value = made(Kind::arithmetic, place(), parts_of(std::move(value)));
  while (next_is(TokenKind::sign, "+") || next_is(TokenKind::sign, "-")) {
    value->signs.push_back(tokens_[at_++].text);
    add_part(*value, read_join());
  }
  return value;
}

JinjaExpressionPointer JinjaExpressionReader::read_join() {
  JinjaExpressionPointer value = read_product();
  if (!next_is(TokenKind::sign, "~")) return value;
  value = made(Kind::joined, place(), parts_of(std::move(value)));
  while (accept_sign("~")) add_part(*value, read_product());
  return value;
}

JinjaExpressionPointer JinjaExpressionReader::read_product() {
  const auto is_product = [&] {
    return next_is(TokenKind::sign, "*") || next_is(TokenKind::sign, "/") ||
           next_is(TokenKind::sign, "//") || next_is(TokenKind::sign, "%");
  };
  JinjaExpressionPointer value = read_power();
  if (!is_product()) return value;
  value = made(Kind::arithmetic, place(), parts_of(std::move(value)));
  while (is_product()) {
    value->signs.push_back(tokens_[at_++].text);
    add_part(*value, read_power());
  }
  return value;
}

JinjaExpressionPointer JinjaExpressionReader::read_power() {
  JinjaExpressionPointer value = read_unary(true);
  if (!next_is(TokenKind::sign, "**")) return value;
  value = made(Kind::arithmetic, place(), parts_of(std::move(value)));
  while (accept_sign("**")) {
    value->signs.emplace_back("**");
    add_part(*value, read_unary(true));
  }
  return value;
}

JinjaExpressionPointer JinjaExpressionReader::read_unary(bool with_filters) {
  const Nesting nesting(*this);
  const JinjaPlace begin = place();
  JinjaExpressionPointer value;
  if (accept_sign("-")) {
    value = made(Kind::negative, begin, parts_of(read_unary(false)));
  } else if (accept_sign("+")) {
    value = made(Kind::positive, begin, parts_of(read_unary(false)));
  } else {
    value = read_primary();
  }
  value = read_postfix(std::move(value));
  return with_filters ? read_filters(std::move(value)) : std::move(value);
}

JinjaExpressionPointer JinjaExpressionReader::read_literal() {
  JinjaExpressionPointer value = made(Kind::constant, place(), {});
  const JinjaToken& token = peek();
  if (token.kind == TokenKind::integer) {
    if (token.text.size() > kMaxDigits) refuse("a number is too large");
    value->value = static_cast<std::int64_t>(std::stoll(token.text));
  } else if (token.kind == TokenKind::real) {
    if (token.text.size() > kMaxDigits) refuse("a number is too long");
    value->value = std::stod(token.text);
  } else {
    std::string text;  // neighbours are one text
    while (peek().kind == TokenKind::text) text += tokens_[at_++].text;
    if (find_invalid_utf8(text)) refuse("a text is not UTF-8");
    value->value = jinja_text(text);
    return value;
  }
  ++at_;
  return value;
}

JinjaExpressionPointer JinjaExpressionReader::read_primary() {
  const JinjaPlace begin = place();
  const JinjaToken& token = peek();
  if (accept_sign("(")) return read_list(")");
  if (accept_sign("[")) return read_list("]");
  if (accept_sign("{")) return read_object();
  if (token.kind == TokenKind::sign || token.kind == TokenKind::end)
    refuse("a value is missing or unknown");
  if (token.kind != TokenKind::name) return read_literal();
  const std::string name = take_name();
  JinjaExpressionPointer value = made(Kind::constant, begin, {});
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    value->value = name == "true" || name == "True";
  } else if (name == "none" || name == "None") {
    value->value = nullptr;
  } else {
    value->kind = Kind::variable;
    value->name = name;
  }
  return value;
}

// Behind the opening bracket. "(a)" is a, "(a,)" and "()" are lists.
JinjaExpressionPointer JinjaExpressionReader::read_list(std::string_view close) {
  const Nesting nesting(*this);
  JinjaExpressionPointer list = made(Kind::list, place(), {});
  bool has_comma = false;
  while (!accept_sign(close)) {
    add_part(*list, read());
    if (accept_sign(",")) {
      has_comma = true;
      continue;
    }
    expect_sign(close);
    break;
  }
  const bool is_value = close == ")" && list->parts.size() == 1 && !has_comma;
  return is_value ? std::move(list->parts.front()) : std::move(list);
}

JinjaExpressionPointer JinjaExpressionReader::read_object() {
  const Nesting nesting(*this);
  JinjaExpressionPointer object = made(Kind::object, place(), {});
  while (!accept_sign("}")) {
    add_part(*object, read());
    expect_sign(":");
    add_part(*object, read());
    if (!accept_sign(",")) {
      expect_sign("}");
      break;
    }
  }
  return object;
}

JinjaExpressionPointer JinjaExpressionReader::read_postfix(JinjaExpressionPointer value) {
  while (true) {
    const JinjaPlace begin = place();
    if (accept_sign(".")) {
      if (peek().kind == TokenKind::integer) {
        JinjaExpressionPointer number = read_literal();
        value = made(Kind::item, begin, parts_of(std::move(value), std::move(number)));
        continue;
      }
      const std::string name = take_name();
      value = made(Kind::attribute, begin, parts_of(std::move(value)));
      value->name = name;
    } else if (accept_sign("[")) {
      value = read_subscript(std::move(value));
    } else if (accept_sign("(")) {
      value = made(Kind::call, begin, parts_of(std::move(value)));
      read_arguments(*value);
    } else {
      return value;
    }
  }
}

// value[key] or value[from:to:step], behind the "[".
JinjaExpressionPointer JinjaExpressionReader::read_subscript(JinjaExpressionPointer value) {
  const JinjaPlace begin = place();
  Parts bounds(3);
  std::size_t n_colons = 0;
  while (!accept_sign("]")) {
    if (accept_sign(":")) {
      if (++n_colons > 2) refuse("a slice of more than three parts");
    } else {
      if (bounds[n_colons] != nullptr) refuse("']' is missing");
      bounds[n_colons] = read();
    }
  }
  if (n_colons == 0 && bounds[0] == nullptr) refuse("a value is missing or unknown");
  if (n_colons == 0)
    return made(Kind::item, begin, parts_of(std::move(value), std::move(bounds[0])));
  value = made(Kind::slice, begin, parts_of(std::move(value)));
  for (JinjaExpressionPointer& bound : bounds) add_part(*value, std::move(bound));
  return value;
}

// Behind the "|".
JinjaExpressionPointer JinjaExpressionReader::read_filter_name(JinjaExpressionPointer value) {
  const JinjaPlace begin = place();
  const std::string name = take_name();
  value = made(Kind::filter, begin, parts_of(std::move(value)));
  value->name = name;
  if (accept_sign("(")) read_arguments(*value);
  return value;
}

JinjaExpressionPointer JinjaExpressionReader::read_filters_of(JinjaExpressionPointer value) {
  return read_filters(read_filter_name(std::move(value)));
}

JinjaExpressionPointer JinjaExpressionReader::read_filters(JinjaExpressionPointer value) {
  while (true) {
    const JinjaPlace begin = place();
    if (accept_sign("|")) {
      value = read_filter_name(std::move(value));
    } else if (accept_name("is")) {
      value = read_test(std::move(value));
    } else if (accept_sign("(")) {
      value = made(Kind::call, begin, parts_of(std::move(value)));
      read_arguments(*value);
    } else {
      return value;
    }
  }
}

// Behind the "is".
JinjaExpressionPointer JinjaExpressionReader::read_test(JinjaExpressionPointer value) {
  const JinjaPlace begin = place();
  const bool negated = accept_name("not");
  value = made(Kind::test, begin, parts_of(std::move(value)));
  value->negated = negated;
  value->name = take_name();
  const JinjaToken& next = peek();
  const bool is_word = next.kind == TokenKind::name;
  if (is_word && next.text == "is") refuse("a test of a test");
  const bool ends_test =
      next.kind == TokenKind::end ||
      (is_word &&
       (next.text == "else" || next.text == "or" || next.text == "and" || next.text == "if")) ||
      (next.kind == TokenKind::sign && next.text != "[" && next.text != "{" && next.text != "(");
  if (accept_sign("(")) {
    read_arguments(*value);
  } else if (!ends_test && !(is_word && (next.text == "in" || next.text == "not"))) {
    add_part(*value, read_postfix(read_primary()));
  }
  return value;
}

// Behind the "(".
void JinjaExpressionReader::read_arguments(JinjaExpression& call) {
  const Nesting nesting(*this);
  while (!accept_sign(")")) {
    const bool spreads = next_is(TokenKind::sign, "*") || next_is(TokenKind::sign, "**");
    if (spreads || (peek().kind == TokenKind::name && next_is(TokenKind::sign, "=", 1))) {
      const std::string name = spreads ? peek().text : take_name();
      ++at_;
      JinjaExpressionPointer value = read();
      call.depth = std::max(call.depth, value->depth + 1);
      if (call.depth > kMaxDepth) refuse("an expression nests too deeply");
      call.named.emplace_back(name, std::move(value));
    } else {
      if (!call.named.empty()) refuse("an argument without a name behind one with");
      add_part(call, read());
    }
    if (!accept_sign(",")) {
      expect_sign(")");
      break;
    }
  }
}

}  // namespace tovamill
