// Filters of texts and numbers, and the tests behind "is".
#include <algorithm>
#include <charconv>

#include "engine/prompt/jinja_evaluator.h"
#include "engine/text/python_text.h"
#include "kernels/types/printable.h"

namespace tovamill {
namespace {

constexpr std::size_t kMaxIndent = 1000;

bool is_ascii(const JinjaText& text) {
  return std::all_of(text.begin(), text.end(),
                     [](char32_t c) { return jinja_code_point(c) < 0x80; });
}

bool is_ascii_letter(char32_t c) {
  const char32_t low = jinja_code_point(c) | 0x20u;
  return low >= 'a' && low <= 'z';
}

// str.capitalize() and str.title() of ASCII.
JinjaText capitalized(const JinjaText& text, bool every_word) {
  JinjaText out = jinja_lower(text);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const bool begins = every_word ? i == 0 || !is_ascii_letter(out[i - 1]) : i == 0;
    const char32_t c = jinja_code_point(out[i]);
    if (begins && c >= 'a' && c <= 'z') out[i] -= 0x20;
  }
  return out;
}

}  // namespace

JinjaValue JinjaEvaluator::filter(const std::string& name, const JinjaValue& value,
                                  const JinjaArguments& args, JinjaPlace place) {
  bool known = true;
  if (name == "default" || name == "d") {
    expect_at_most(args, 2, name, place);
    expect_names(args, {"default_value", "boolean"}, name, place);
    const bool replaces =
        value.is_undefined() || (truth_of(args.find(1, "boolean"), false) && !value.is_true());
    const JinjaValue* otherwise = args.find(0, "default_value");
    if (!replaces) return value;
    return otherwise != nullptr ? *otherwise : JinjaValue(JinjaText());
  }
  if (name == "tojson") return to_json(value, args, place);
  JinjaValue result = text_filter(name, value, args, place, known);
  if (known) return result;
  known = true;
  result = number_filter(name, value, args, place, known);
  if (known) return result;
  known = true;
  result = list_filter(name, value, args, place, known);
  if (known) return result;
  if (name == "safe") refuse(place, "the filter 'safe' where nothing is printed at once");
  refuse(place, "the filter " + printable(name) + " is not known here");
}

JinjaValue JinjaEvaluator::text_filter(const std::string& name, const JinjaValue& value,
                                       const JinjaArguments& args, JinjaPlace place, bool& known) {
  if (name == "trim") {
    expect_at_most(args, 1, name, place);
    return stripped(printed(value, place), args.find(0, "chars"), true, true, place);
  }
  if (name == "replace") return replaced(printed(value, place), args, place);
  if (name == "indent") return indented(value, args, place);
  if (name == "join") return join(value, args, place);
  if (name == "format") return percent_formatted(text_of(value, place), args.values, place);
  const bool is_text_filter = name == "upper" || name == "lower" || name == "capitalize" ||
                              name == "title" || name == "string";
  if (!is_text_filter) {
    known = false;
    return {};
  }
  expect_at_most(args, 0, name, place);
  JinjaText text = printed(value, place);
  if (name == "string") return text;
  if (name == "upper") return made_text(jinja_upper(text), place);
  if (name == "lower") return made_text(jinja_lower(text), place);
  if (!is_ascii(text)) refuse(place, "the filter " + printable(name) + " beyond ASCII");
  return made_text(capitalized(text, name == "title"), place);
}

JinjaValue JinjaEvaluator::number_filter(const std::string& name, const JinjaValue& value,
                                         const JinjaArguments& args, JinjaPlace place,
                                         bool& known) {
  if (name == "int") {
    expect_at_most(args, 1, name, place);
    const JinjaValue* given = args.find(0, "default");
    const JinjaValue otherwise = given != nullptr ? *given : JinjaValue(std::int64_t{0});
    if (value.get<bool>() != nullptr || value.get<std::int64_t>() != nullptr)
      return whole_of(value, place);
    if (const auto* real = value.get<double>())
      return whole_of(static_cast<std::int64_t>(std::clamp(*real, -2e12, 2e12)), place);
    if (value.is_undefined()) refuse(place, "the number of " + value.kind());
    if (value.text() == nullptr) return otherwise;
    const std::string digits = to_utf8_of(jinja_stripped(*value.text(), nullptr, true, true));
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error == std::errc() && end == digits.data() + digits.size())
      return whole_of(number, place);
    const bool may_be_number = std::any_of(digits.begin(), digits.end(), [](char c) {
      return (c >= '0' && c <= '9') || (c & 0x80) != 0;
    });
    if (may_be_number) refuse(place, "the number " + printable(digits));
    return otherwise;
  }
  if (name == "abs") {
    expect_at_most(args, 0, name, place);
    if (const auto* real = value.get<double>()) return *real < 0 ? -*real : *real;
    const std::int64_t number = whole_of(value, place);
    return number < 0 ? -number : number;
  }
  known = false;
  return {};
}

JinjaValue JinjaEvaluator::join(const JinjaValue& value, const JinjaArguments& args,
                                JinjaPlace place) {
  expect_at_most(args, 2, "join", place);
  expect_names(args, {"d", "attribute"}, "join", place);
  const JinjaValue* separator = args.find(0, "d");
  const JinjaValue* path = args.find(1, "attribute");
  const JinjaText between = separator != nullptr ? printed(*separator, place) : JinjaText();
  JinjaText out;
  bool first = true;
  const auto all = items_of(value, place);
  for (const JinjaValue& item : all->items) {
    if (!first) out += between;
    first = false;
    out += printed(path != nullptr ? path_of(item, *path, place) : item, place);
    budget_.charge(between.size(), place);
  }
  return out;
}

// indent(width=4, first=false, blank=false): lines behind the first by so many spaces, or a text.
JinjaValue JinjaEvaluator::indented(const JinjaValue& value, const JinjaArguments& args,
                                    JinjaPlace place) {
  expect_at_most(args, 3, "indent", place);
  expect_names(args, {"width", "first", "blank"}, "indent", place);
  const JinjaValue* width = args.find(0, "width");
  JinjaText by(4, U' ');
  if (width != nullptr && width->text() != nullptr) {
    by = *width->text();
  } else if (width != nullptr) {
    by.assign(static_cast<std::size_t>(std::max<std::int64_t>(0, whole_of(*width, place))) %
                  (kMaxIndent + 1),
              U' ');
    if (whole_of(*width, place) > static_cast<std::int64_t>(kMaxIndent))
      refuse(place, "a text is moved in by too much");
  }
  const bool first = truth_of(args.find(1, "first"), false);
  const bool blank = truth_of(args.find(2, "blank"), false);
  const JinjaText text = text_of(value, place);
  JinjaText out = text.empty() && first ? by : JinjaText();
  bool begins_line = true, is_first = true;
  for (const char32_t c : text) {
    const bool newline = jinja_code_point(c) == '\n';
    const char32_t code = jinja_code_point(c);
    if (code == '\r' || code == '\v' || code == '\f' || (code >= 0x1c && code <= 0x1e) ||
        code == 0x85 || code == 0x2028 || code == 0x2029) {
      refuse(place, "a text with unusual ends of lines is moved in");
    }
    if (begins_line && (is_first ? first : !newline || blank)) {
      budget_.charge(by.size(), place);
      out += by;
    }
    begins_line = newline;
    is_first = is_first && !newline;
    out += c;
  }
  if (begins_line && !is_first && blank) out += by;
  return made_text(std::move(out), place);
}

bool JinjaEvaluator::test(const std::string& name, const JinjaValue& value,
                          const JinjaArguments& args, JinjaPlace place) {
  const bool whole = value.get<std::int64_t>() != nullptr, real = value.get<double>() != nullptr;
  const auto* truth = value.get<bool>();
  if (args.size() == 0) {
    if (name == "defined") return !value.is_undefined();
    if (name == "undefined") return value.is_undefined();
    if (name == "none") return value.is_none();
    if (name == "string") return value.text() != nullptr;
    if (name == "mapping") return value.object() != nullptr;
    if (name == "sequence" || name == "iterable") {
      return value.text() != nullptr || value.list() != nullptr || value.object() != nullptr ||
             value.is_undefined() || (value.loop() != nullptr && name == "iterable");
    }
    if (name == "number") return whole || real || truth != nullptr;
    if (name == "integer") return whole;
    if (name == "float") return real;
    if (name == "boolean") return truth != nullptr;
    if (name == "true" || name == "false") return truth != nullptr && *truth == (name == "true");
    if (name == "callable")
      return value.macro() != nullptr || value.get<JinjaFunction>() != nullptr;
    if (name == "odd") return whole_of(value, place) % 2 != 0;
    if (name == "even") return whole_of(value, place) % 2 == 0;
  }
  if (args.values.size() == 1 && args.named.empty()) {
    const JinjaValue& other = args.values.front();
    if (name == "equalto" || name == "eq") return compare("==", value, other, place);
    if (name == "ne") return compare("!=", value, other, place);
    if (name == "in") return is_in(value, other, place);
    if (name == "lt" || name == "lessthan") return compare("<", value, other, place);
    if (name == "gt" || name == "greaterthan") return compare(">", value, other, place);
    if (name == "le") return compare("<=", value, other, place);
    if (name == "ge") return compare(">=", value, other, place);
    if (name == "==" || name == "!=" || name == "<" || name == ">" || name == "<=" || name == ">=")
      return compare(name, value, other, place);
    if (name == "divisibleby") {
      const JinjaValue rest =
          calculated("%", whole_of(value, place), whole_of(other, place), place);
      return whole_of(rest, place) == 0;
    }
    if (name == "sameas" && (other.is_none() || other.get<bool>() != nullptr))
      return other.is_none() == value.is_none() &&
             (other.is_none() || (truth != nullptr && *truth == *other.get<bool>()));
  }
  refuse(place, "the test " + printable(name) + " is not known");
}

}  // namespace tovamill
