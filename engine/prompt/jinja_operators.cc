// Expressions: operators, variables, attributes, items.
#include <algorithm>

#include "engine/prompt/jinja_evaluator.h"
#include "engine/prompt/jinja_nesting.h"
#include "kernels/types/printable.h"

namespace tovamill {
namespace {

constexpr int kMaxValueDepth = 32;  // of lists and objects inside each other

// What every template has.
constexpr std::string_view kFunctions[] = {"namespace",    "dict",   "range",  "raise_exception",
                                           "strftime_now", "cycler", "joiner", "lipsum"};

// Of Python's dict: they come before members of these names.
constexpr std::string_view kObjectMethods[] = {"clear",      "copy",   "fromkeys", "get",
                                               "items",      "keys",   "pop",      "popitem",
                                               "setdefault", "update", "values"};

// Of Python's str.
bool is_text_method(std::string_view name) {
  constexpr std::string_view kMethods[] = {
      "capitalize",   "casefold",     "center",       "count",       "encode",     "endswith",
      "expandtabs",   "find",         "format",       "format_map",  "index",      "isalnum",
      "isalpha",      "isascii",      "isdecimal",    "isdigit",     "islower",    "isnumeric",
      "isspace",      "istitle",      "isupper",      "join",        "ljust",      "lower",
      "lstrip",       "partition",    "replace",      "rfind",       "rindex",     "rjust",
      "rpartition",   "rsplit",       "rstrip",       "split",       "splitlines", "startswith",
      "strip",        "swapcase",     "title",        "translate",   "upper",      "zfill",
      "removeprefix", "removesuffix", "isidentifier", "isprintable", "maketrans"};
  return std::find(std::begin(kMethods), std::end(kMethods), name) != std::end(kMethods);
}

}  // namespace

using ExpressionKind = JinjaExpression::Kind;

const JinjaText& JinjaEvaluator::text_of(const JinjaValue& value, JinjaPlace place) const {
  if (value.text() == nullptr) refuse(place, value.kind() + " is used as a text");
  return *value.text();
}

std::int64_t JinjaEvaluator::whole_of(const JinjaValue& value, JinjaPlace place) const {
  if (const auto* truth = value.get<bool>()) return *truth ? 1 : 0;
  const auto* whole = value.get<std::int64_t>();
  if (whole == nullptr) refuse(place, value.kind() + " is used as a whole number");
  if (*whole > kMaxJinjaNumber || *whole < -kMaxJinjaNumber) refuse(place, "a number is too large");
  return *whole;
}

JinjaValue JinjaEvaluator::made_list(JinjaItems items, JinjaPlace place) {
  budget_.charge(items.size() + 1, place);
  JinjaValue list = JinjaValue::list(std::move(items));
  if (list.depth() > kMaxValueDepth) refuse(place, "a value nests too deeply");
  return list;
}

JinjaValue JinjaEvaluator::made_text(JinjaText text, JinjaPlace place) {
  budget_.charge(text.size() + 1, place);
  return text;
}

JinjaText JinjaEvaluator::printed(const JinjaValue& value, JinjaPlace place) {
  JinjaText text = jinja_printed(value, place);
  budget_.charge(text.size(), place);
  return text;
}

// What a loop over the value sees.
std::shared_ptr<const JinjaList> JinjaEvaluator::items_of(const JinjaValue& value,
                                                          JinjaPlace place) {
  if (value.list() != nullptr) return value.shared_list();
  JinjaItems items;
  if (const JinjaText* text = value.text()) {
    budget_.charge(text->size() * 4, place);
    for (const char32_t c : *text) items.emplace_back(JinjaText(1, c));
  } else if (const JinjaObject* object = value.object()) {
    for (const auto& [name, member] : object->members) items.push_back(jinja_member_value(name));
  } else if (!value.is_undefined()) {
    refuse(place, value.kind() + " is gone through as a list");
  }
  return made_list(std::move(items), place).shared_list();
}

JinjaValue JinjaEvaluator::variable(const std::string& name) {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (const auto it = scope->names.find(name); it != scope->names.end()) return it->second;
  }
  if (const auto it = variables_.find(name); it != variables_.end()) return it->second;
  if (std::find(std::begin(kFunctions), std::end(kFunctions), name) != std::end(kFunctions))
    return JinjaFunction{name};
  missing_.insert(name);
  return JinjaUndefined{printable(name)};
}

JinjaValue JinjaEvaluator::evaluate(const JinjaExpression& e) {
  const Nesting nesting(*this, e.place);
  budget_.charge(1, e.place);
  switch (e.kind) {
    case ExpressionKind::constant:
      return e.value;
    case ExpressionKind::variable:
      if (e.name == "varargs" || e.name == "kwargs") refuse(e.place, "arguments of any number");
      return variable(e.name);
    case ExpressionKind::list: {
      JinjaItems items;
      for (const auto& part : e.parts) items.push_back(evaluate(*part));
      return made_list(std::move(items), e.place);
    }
    case ExpressionKind::object:
      return evaluate_object(e);
    case ExpressionKind::attribute:
      return attribute(evaluate(*e.parts[0]), e.name, e.place);
    case ExpressionKind::item: {
      const JinjaValue value = evaluate(*e.parts[0]);
      return item(value, evaluate(*e.parts[1]), e.place);
    }
    case ExpressionKind::slice:
      return evaluate_slice(e);
    case ExpressionKind::call:
      return evaluate_call(e);
    case ExpressionKind::filter: {
      const JinjaValue value = evaluate(*e.parts[0]);
      return filter(e.name, value, arguments_of(e), e.place);
    }
    case ExpressionKind::test:
      return evaluate_test(e);
    case ExpressionKind::negative:
    case ExpressionKind::positive: {
      const JinjaValue value = evaluate(*e.parts[0]);
      const bool flips = e.kind == ExpressionKind::negative;
      if (const auto* real = value.get<double>()) return flips ? -*real : *real;
      return flips ? -whole_of(value, e.place) : whole_of(value, e.place);
    }
    case ExpressionKind::opposite:
      return !evaluate(*e.parts[0]).is_true();
    case ExpressionKind::all:
    case ExpressionKind::any:
      return evaluate_chain(e);
    case ExpressionKind::comparison:
      return evaluate_comparison(e);
    case ExpressionKind::arithmetic:
      return evaluate_arithmetic(e);
    case ExpressionKind::joined:
      return evaluate_joined(e);
    case ExpressionKind::condition:
      if (evaluate(*e.parts[1]).is_true()) return evaluate(*e.parts[0]);
      if (e.parts[2] != nullptr) return evaluate(*e.parts[2]);
      return JinjaUndefined{"what has no 'else'"};
  }
  refuse(e.place, "an expression of an unknown kind");
}

// The first part that decides, as in Python.
JinjaValue JinjaEvaluator::evaluate_chain(const JinjaExpression& e) {
  const bool decides = e.kind == ExpressionKind::any;
  JinjaValue value;
  for (const auto& part : e.parts) {
    value = evaluate(*part);
    if (value.is_true() == decides) break;
  }
  return value;
}

JinjaValue JinjaEvaluator::evaluate_comparison(const JinjaExpression& e) {
  JinjaValue left = evaluate(*e.parts[0]);
  for (std::size_t i = 0; i < e.signs.size(); ++i) {
    JinjaValue right = evaluate(*e.parts[i + 1]);
    if (!compare(e.signs[i], left, right, e.place)) return false;
    left = std::move(right);
  }
  return true;
}

JinjaValue JinjaEvaluator::evaluate_arithmetic(const JinjaExpression& e) {
  JinjaValue value = evaluate(*e.parts[0]);
  for (std::size_t i = 0; i < e.signs.size(); ++i)
    value = calculated(e.signs[i], value, evaluate(*e.parts[i + 1]), e.place);
  return value;
}

JinjaValue JinjaEvaluator::evaluate_joined(const JinjaExpression& e) {
  JinjaText text;
  for (const auto& part : e.parts) text += printed(evaluate(*part), e.place);
  return made_text(std::move(text), e.place);
}

JinjaValue JinjaEvaluator::evaluate_object(const JinjaExpression& e) {
  std::vector<std::pair<JinjaText, JinjaValue>> members;
  for (std::size_t i = 0; i < e.parts.size(); i += 2) {
    const JinjaValue name = evaluate(*e.parts[i]);
    JinjaValue value = evaluate(*e.parts[i + 1]);
    JinjaText key;
    if (!jinja_member_name(name, key)) refuse(e.place, name.kind() + " is the name of a member");
    budget_.charge(key.size() + members.size() + 1, e.place);
    const auto same = std::find_if(members.begin(), members.end(), [&](const auto& member) {
      return jinja_equal(member.first, key);
    });
    if (same != members.end()) {
      same->second = std::move(value);
    } else {
      members.emplace_back(key, std::move(value));
    }
  }
  JinjaValue object = JinjaValue::object(std::move(members));
  if (object.depth() > kMaxValueDepth) refuse(e.place, "a value nests too deeply");
  return object;
}

// Bounds as Python's slice.indices() has them.
JinjaValue JinjaEvaluator::evaluate_slice(const JinjaExpression& e) {
  const JinjaValue value = evaluate(*e.parts[0]);
  if (value.text() == nullptr && value.list() == nullptr)
    refuse(e.place, "a slice of " + value.kind());
  const auto size = static_cast<std::int64_t>(value.text() != nullptr ? value.text()->size()
                                                                      : value.list()->items.size());
  const auto bound = [&](std::size_t part) -> JinjaValue {
    return e.parts[part] != nullptr ? evaluate(*e.parts[part]) : JinjaValue(nullptr);
  };
  const JinjaValue from = bound(1), to = bound(2), by = bound(3);
  const std::int64_t step = by.is_none() ? 1 : whole_of(by, e.place);
  if (step == 0) refuse(e.place, "a slice with steps of 0");
  const std::int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
  const auto clipped = [&](const JinjaValue& given, std::int64_t otherwise) {
    if (given.is_none()) return otherwise;
    const std::int64_t index = whole_of(given, e.place);
    return std::clamp(index < 0 ? index + size : index, low, high);
  };
  const std::int64_t begin = clipped(from, step > 0 ? low : high);
  const std::int64_t end = clipped(to, step > 0 ? high : low);
  JinjaText text;
  JinjaItems items;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end; i += step) {
    const auto at = static_cast<std::size_t>(i);
    if (value.text() != nullptr) {
      text += (*value.text())[at];
    } else {
      items.push_back(value.list()->items[at]);
    }
  }
  return value.text() != nullptr ? made_text(std::move(text), e.place)
                                 : made_list(std::move(items), e.place);
}

JinjaArguments JinjaEvaluator::arguments_of(const JinjaExpression& e) {
  JinjaArguments out;
  for (std::size_t i = 1; i < e.parts.size(); ++i) out.values.push_back(evaluate(*e.parts[i]));
  for (const auto& [name, value] : e.named) {
    if (name.starts_with('*')) refuse(e.place, "arguments out of a list");
    if (out.find(out.values.size(), name) != nullptr)
      refuse(e.place, "the argument " + printable(name) + " is given twice");
    out.named.emplace_back(name, evaluate(*value));
  }
  return out;
}

JinjaValue JinjaEvaluator::evaluate_call(const JinjaExpression& e) {
  const JinjaExpression& callee = *e.parts.front();
  if (callee.kind == ExpressionKind::attribute) {
    const JinjaValue value = evaluate(*callee.parts.front());
    if (value.space() == nullptr) return call_method(value, callee.name, arguments_of(e), e.place);
  }
  const JinjaValue function = evaluate(callee);
  const JinjaArguments arguments = arguments_of(e);
  if (const JinjaMacro* macro = function.macro()) return call_macro(*macro, arguments, e.place);
  if (const auto* known = function.get<JinjaFunction>())
    return call_function(known->name, arguments, e.place);
  if (callee.kind == ExpressionKind::variable && function.is_undefined())
    refuse(callee.place, "the function " + printable(callee.name) + " is not known");
  refuse(e.place, "a call of " + function.kind());
}

JinjaValue JinjaEvaluator::evaluate_test(const JinjaExpression& e) {
  const JinjaValue value = evaluate(*e.parts.front());
  return test(e.name, value, arguments_of(e), e.place) != e.negated;
}

JinjaValue JinjaEvaluator::loop_attribute(const JinjaLoop& loop, const std::string& name,
                                          JinjaPlace place) {
  const JinjaItems& items = loop.list->items;
  const std::size_t at = loop.at;
  if (at >= items.size()) refuse(place, "a loop that is over");
  if (name == "previtem") return at > 0 ? items[at - 1] : JinjaUndefined{"loop.previtem"};
  if (name == "nextitem")
    return at + 1 < items.size() ? items[at + 1] : JinjaUndefined{"loop.nextitem"};
  if (name == "first") return at == 0;
  if (name == "last") return at + 1 == items.size();
  const auto index = static_cast<std::int64_t>(at), size = static_cast<std::int64_t>(items.size());
  if (name == "index") return index + 1;
  if (name == "index0") return index;
  if (name == "revindex") return size - index;
  if (name == "revindex0") return size - index - 1;
  if (name == "length") return size;
  if (name == "depth" || name == "depth0") return std::int64_t{name == "depth"};
  refuse(place, "loop." + printable(name) + " is not known");
}

JinjaValue JinjaEvaluator::attribute(const JinjaValue& value, const std::string& name,
                                     JinjaPlace place) {
  if (value.is_undefined())
    refuse(place, "the attribute " + printable(name) + " of " + value.kind());
  if (name.starts_with("__")) refuse(place, "the attribute " + printable(name));
  const bool is_method = value.object() != nullptr
                             ? std::find(std::begin(kObjectMethods), std::end(kObjectMethods),
                                         name) != std::end(kObjectMethods)
                             : value.text() != nullptr && is_text_method(name);
  if (is_method) refuse(place, "the method " + printable(name) + " without a call");
  if (const JinjaObject* object = value.object()) {
    budget_.charge(object->members.size(), place);
    const JinjaValue* member = object->find(jinja_text(name));
    return member != nullptr ? *member : JinjaUndefined{"the attribute " + printable(name)};
  }
  if (const JinjaNamespace* space = value.space()) {
    const auto it = space->fields.find(name);
    return it != space->fields.end() ? it->second : JinjaUndefined{"the field " + printable(name)};
  }
  if (value.loop() != nullptr) return loop_attribute(*value.loop(), name, place);
  if (value.macro() != nullptr || value.get<JinjaFunction>() != nullptr)
    refuse(place, "the attribute " + printable(name) + " of a function");
  return JinjaUndefined{"the attribute " + printable(name)};
}

JinjaValue JinjaEvaluator::item(const JinjaValue& value, const JinjaValue& key, JinjaPlace place) {
  if (value.is_undefined()) refuse(place, "an item of " + value.kind());
  if (key.text() != nullptr && value.loop() == nullptr && value.space() == nullptr) {
    if (value.object() == nullptr) return JinjaUndefined{"an item"};
    return attribute(value, to_utf8_of(*key.text()), place);
  }
  const bool is_text = value.text() != nullptr;
  if (!is_text && value.list() == nullptr) {
    JinjaText name;
    if (value.object() != nullptr && jinja_member_name(key, name)) {
      budget_.charge(value.object()->members.size(), place);
      const JinjaValue* member = value.object()->find(name);
      if (member != nullptr) return *member;
    }
    if (value.object() != nullptr || value.is_none() || value.is_number())
      return JinjaUndefined{"an item"};
    refuse(place, "an item of " + value.kind());
  }
  const auto size =
      static_cast<std::int64_t>(is_text ? value.text()->size() : value.list()->items.size());
  std::int64_t index = whole_of(key, place);
  if (index < 0) index += size;
  if (index < 0 || index >= size) return JinjaUndefined{"an item"};
  const auto at = static_cast<std::size_t>(index);
  if (is_text) return JinjaText(1, (*value.text())[at]);
  return value.list()->items[at];
}

const JinjaValue* JinjaArguments::find(std::size_t at, std::string_view name) const {
  if (at < values.size()) return &values[at];
  const auto it = std::find_if(named.begin(), named.end(),
                               [name](const auto& entry) { return entry.first == name; });
  return it != named.end() ? &it->second : nullptr;
}

void JinjaEvaluator::expect_at_most(const JinjaArguments& args, std::size_t n,
                                    const std::string& what, JinjaPlace place) const {
  if (args.size() > n) refuse(place, "arguments of " + printable(what) + " that are not known");
}

void JinjaEvaluator::expect_names(const JinjaArguments& args,
                                  std::initializer_list<std::string_view> names,
                                  const std::string& what, JinjaPlace place) const {
  for (const auto& [name, value] : args.named) {
    if (std::find(names.begin(), names.end(), name) == names.end())
      refuse(place, "the argument " + printable(name) + " of " + printable(what));
  }
}

}  // namespace tovamill
