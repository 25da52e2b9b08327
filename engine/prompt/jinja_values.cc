// What Jinja's operators, filters, methods and functions do with values, as far as chat templates
// use them. The rules are Python's.
#include <algorithm>
#include <cstdlib>

#include "engine/prompt/jinja_expression.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

constexpr int kMaxValueDepth = 16;
constexpr std::int64_t kMaxNumber = 1'000'000'000'000;
constexpr std::string_view kPythonSpace = " \t\n\r\f\v\x1c\x1d\x1e\x1f";

// Without the characters of `set` at either end. They are ASCII, as is what is cut here: the
// templates' own texts and a stand-in for the message.
std::string stripped(const std::string& text, std::string_view set, bool left, bool right) {
  std::size_t begin = 0, end = text.size();
  while (left && begin < end && set.find(text[begin]) != std::string_view::npos) ++begin;
  while (right && end > begin && set.find(text[end - 1]) != std::string_view::npos) --end;
  return text.substr(begin, end - begin);
}

// Changes ASCII letters only.
std::string changed_case(std::string text, bool upper) {
  for (char& c : text) {
    const bool changes = upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z';
    if (changes) c = static_cast<char>(c ^ 0x20);
  }
  return text;
}

bool equal(const JinjaValue& left, const JinjaValue& right) {
  if (left.is_discarded() || right.is_discarded()) {
    return left.is_discarded() && right.is_discarded();
  }
  if (left.is_boolean() && right.is_number()) return JinjaValue(left.get<bool>() ? 1 : 0) == right;
  if (right.is_boolean() && left.is_number()) return equal(right, left);
  return left == right;
}

}  // namespace

bool jinja_is_true(const JinjaValue& value) {
  if (value.is_discarded() || value.is_null()) return false;
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value != 0;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.empty();
}

std::string jinja_printed(const JinjaValue& value, std::size_t line) {
  if (value.is_discarded()) return {};
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_number_integer()) return std::to_string(value.get<std::int64_t>());
  throw JinjaError(line, "a list or an object is printed");
}

void JinjaBudget::charge(std::size_t units, std::size_t line) {
  if (units >= left_) throw JinjaError(line, "it takes too long or grows too large");
  left_ -= units;
}

void JinjaBudget::charge(const JinjaValue& value, std::size_t line, int depth) {
  if (depth > kMaxValueDepth) throw JinjaError(line, "a value nests too deeply");
  charge(value.is_string() ? 1 + value.get_ref<const std::string&>().size() : 1, line);
  if (!value.is_structured()) return;
  for (const JinjaValue& inner : value) charge(inner, line, depth + 1);
}

JinjaValue JinjaExpression::charged(JinjaValue value) const {
  budget_.charge(value, part_.line);
  return value;
}

std::int64_t JinjaExpression::number(const JinjaValue& value) const {
  if (!value.is_number_integer()) refuse("something is counted that is no whole number");
  const auto number = value.get<std::int64_t>();
  if (number > kMaxNumber || number < -kMaxNumber) refuse("a number is too large");
  return number;
}

const std::string& JinjaExpression::text(const JinjaValue& value) const {
  if (!value.is_string()) refuse("something is used as a text that is none");
  return value.get_ref<const std::string&>();
}

JinjaValue JinjaExpression::variable(const std::string& name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (const auto it = scope->find(name); it != scope->end()) return it->second;
  }
  return jinja_undefined();
}

JinjaValue JinjaExpression::attribute(const JinjaValue& value, const std::string& name) const {
  if (!value.is_object()) refuse("the attribute " + printable(name) + " of what is no object");
  if (const auto it = value.find(name); it != value.end()) return *it;
  if (value.contains("index0")) refuse("loop." + name + " is not known");
  return jinja_undefined();
}

JinjaValue JinjaExpression::item(const JinjaValue& value, const JinjaValue& key) const {
  if (key.is_string()) return attribute(value, key.get<std::string>());
  if (!value.is_array()) refuse("an item of what is no list");
  const auto size = static_cast<std::int64_t>(value.size());
  std::int64_t index = number(key);
  if (index < 0) index += size;
  if (index < 0 || index >= size) return jinja_undefined();
  return value[static_cast<std::size_t>(index)];
}

JinjaValue JinjaExpression::slice(const JinjaValue& value, const JinjaValue bounds[3]) const {
  if (!value.is_array()) refuse("a slice of what is no list");
  const auto size = static_cast<std::int64_t>(value.size());
  const auto bound = [&](const JinjaValue& given, std::int64_t otherwise) {
    if (given.is_null()) return otherwise;
    const std::int64_t index = number(given);
    return std::clamp(index < 0 ? index + size : index, std::int64_t{0}, size);
  };
  JinjaValue out = JinjaValue::array();
  const std::int64_t step = bounds[2].is_null() ? 1 : number(bounds[2]);
  const bool whole = bounds[0].is_null() && bounds[1].is_null();
  if (step != 1 && !(step == -1 && whole)) refuse("a slice with steps");
  const std::int64_t end = bound(bounds[1], size);
  for (std::int64_t i = bound(bounds[0], 0); i < end; ++i) {
    out.push_back(value[static_cast<std::size_t>(step == 1 ? i : size - 1 - i)]);
  }
  return out;
}

JinjaValue JinjaExpression::call_function(const std::string& name,
                                          const Arguments& arguments) const {
  if (name == "namespace" && arguments.values.empty()) {
    JinjaValue out = JinjaValue::object();
    for (const auto& [key, value] : arguments.named) out[key] = value;
    return out;
  }
  if (name == "raise_exception") {
    const bool said = !arguments.values.empty() && arguments.values[0].is_string();
    refuse("it refuses one user message" +
           (said ? ": " + printable(text(arguments.values[0])) : ""));
  }
  refuse("the function " + printable(name) + " is not known");
}

JinjaValue JinjaExpression::split(const std::string& whole, const Arguments& arguments) const {
  if (arguments.values.size() != 1) refuse("split() without one separator");
  const std::string& separator = text(arguments.values[0]);
  if (separator.empty()) refuse("split() by nothing");
  JinjaValue out = JinjaValue::array();
  std::size_t begin = 0;
  for (auto at = whole.find(separator); at != std::string::npos;
       at = whole.find(separator, begin)) {
    out.push_back(whole.substr(begin, at - begin));
    begin = at + separator.size();
  }
  out.push_back(whole.substr(begin));
  return out;
}

JinjaValue JinjaExpression::call_method(const JinjaValue& value, const std::string& name,
                                        const Arguments& arguments) const {
  const auto& values = arguments.values;
  if (!arguments.named.empty() || values.size() > 2) refuse("arguments of " + printable(name));
  if (value.is_object() && name == "get" && !values.empty()) {
    const auto it = value.find(text(values[0]));
    if (it != value.end()) return *it;
    return values.size() == 2 ? values[1] : JinjaValue();
  }
  if (!value.is_string() || values.size() > 1) {
    refuse("the method " + printable(name) + " is not known for this value");
  }
  const std::string& whole = text(value);
  const bool left = name == "strip" || name == "lstrip",
             right = name == "strip" || name == "rstrip";
  if (left || right) {
    return stripped(whole, values.empty() ? kPythonSpace : std::string_view(text(values[0])), left,
                    right);
  }
  if (name == "startswith" && !values.empty()) return whole.starts_with(text(values[0]));
  if (name == "endswith" && !values.empty()) return whole.ends_with(text(values[0]));
  if (name == "split") return split(whole, arguments);
  if ((name == "upper" || name == "lower") && values.empty()) {
    return changed_case(whole, name == "upper");
  }
  refuse("the method " + printable(name) + " is not known");
}

JinjaValue JinjaExpression::filter(const JinjaValue& value, const std::string& name,
                                   const Arguments& arguments) const {
  const std::size_t n_arguments = arguments.values.size() + arguments.named.size();
  if (name == "selectattr" || name == "rejectattr") {
    return select(value, arguments, name == "selectattr");
  }
  if (name == "default" && n_arguments == 1 && arguments.values.size() == 1) {
    return value.is_discarded() ? arguments.values[0] : value;
  }
  if (n_arguments > 0) refuse("arguments of the filter " + printable(name));
  if (name == "trim") return stripped(text(value), kPythonSpace, true, true);
  if (name == "upper" || name == "lower") return changed_case(text(value), name == "upper");
  if (name == "string") return jinja_printed(value, part_.line);
  if (name == "length" || name == "count") {
    if (value.is_array() || value.is_object()) return static_cast<std::int64_t>(value.size());
    const std::string& whole = text(value);  // in characters
    return static_cast<std::int64_t>(
        std::count_if(whole.begin(), whole.end(), [](char c) { return (c & 0xc0) != 0x80; }));
  }
  if (name == "list" && value.is_array()) return value;
  if ((name == "first" || name == "last") && value.is_array()) {
    if (value.empty()) return jinja_undefined();
    return name == "first" ? value.front() : value.back();
  }
  refuse("the filter " + printable(name) + " is not known here");
}

JinjaValue JinjaExpression::select(const JinjaValue& list, const Arguments& arguments,
                                   bool selects) const {
  const auto& values = arguments.values;
  const bool known = values.size() == 3 && values[1].is_string() &&
                     (values[1] == "equalto" || values[1] == "==" || values[1] == "eq");
  if (!known || !list.is_array()) refuse("a choice by attribute of an unknown kind");
  JinjaValue out = JinjaValue::array();
  for (const JinjaValue& entry : list) {
    if (equal(attribute(entry, text(values[0])), values[2]) == selects) out.push_back(entry);
  }
  return out;
}

bool JinjaExpression::is_in(const JinjaValue& value, const JinjaValue& list) const {
  if (list.is_string()) return text(list).find(text(value)) != std::string::npos;
  if (list.is_object()) return list.contains(text(value));
  if (list.is_discarded()) return false;
  if (!list.is_array()) refuse("something is sought in what is no list");
  return std::any_of(list.begin(), list.end(),
                     [&](const JinjaValue& entry) { return equal(value, entry); });
}

bool JinjaExpression::compare(const std::string& sign, const JinjaValue& left,
                              const JinjaValue& right) const {
  if (sign == "==" || sign == "!=") return equal(left, right) == (sign == "==");
  if (sign == "in" || sign == "not in") return is_in(left, right) == (sign == "in");
  const std::int64_t a = number(left), b = number(right);
  if (sign == "<") return a < b;
  if (sign == ">") return a > b;
  return sign == "<=" ? a <= b : a >= b;
}

JinjaValue JinjaExpression::add(const JinjaValue& left, const JinjaValue& right) const {
  if (left.is_string() || right.is_string()) return text(left) + text(right);
  if (!left.is_array() || !right.is_array()) return number(left) + number(right);
  JinjaValue out = left;
  for (const JinjaValue& entry : right) out.push_back(entry);
  return out;
}

JinjaValue JinjaExpression::joined(const JinjaValue& left, const JinjaValue& right) const {
  return jinja_printed(left, part_.line) + jinja_printed(right, part_.line);
}

}  // namespace tovamill
