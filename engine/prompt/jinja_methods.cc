// Methods of texts, lists and objects.
#include <algorithm>

#include "engine/prompt/jinja_evaluator.h"
#include "engine/text/python_text.h"
#include "kernels/types/printable.h"

namespace tovamill {
namespace {

constexpr std::size_t kMaxStripSet = 256;

bool all_characters(const JinjaText& text, bool (*holds)(char32_t)) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [holds](char32_t c) { return holds(jinja_code_point(c)); });
}

bool is_ascii_digit(char32_t c) { return c >= '0' && c <= '9'; }

}  // namespace

JinjaValue JinjaEvaluator::call_method(const JinjaValue& value, const std::string& name,
                                       const JinjaArguments& args, JinjaPlace place) {
  if (value.is_undefined()) refuse(place, "the method " + printable(name) + " of " + value.kind());
  if (value.text() != nullptr) return call_text_method(*value.text(), name, args, place);
  if (value.object() != nullptr) return call_object_method(*value.object(), name, args, place);
  if (value.list() != nullptr) return call_list_method(*value.list(), name, args, place);
  if (value.loop() != nullptr && name == "cycle" && args.named.empty() && !args.values.empty())
    return args.values[value.loop()->at % args.values.size()];
  refuse(place, "the method " + printable(name) + " of " + value.kind() + " is not known");
}

JinjaValue JinjaEvaluator::call_object_method(const JinjaObject& object, const std::string& name,
                                              const JinjaArguments& args, JinjaPlace place) {
  budget_.charge(object.members.size() + 1, place);
  if (name == "get" && args.named.empty() && !args.values.empty() && args.values.size() <= 2) {
    JinjaText key;
    const JinjaValue* found = jinja_member_name(args.values[0], key) ? object.find(key) : nullptr;
    if (found != nullptr) return *found;
    return args.values.size() == 2 ? args.values[1] : JinjaValue(nullptr);
  }
  if (args.size() == 0 && (name == "keys" || name == "values" || name == "items")) {
    JinjaItems out;
    for (const auto& [key, member] : object.members) {
      if (name == "items") {
        out.push_back(made_list({jinja_member_value(key), member}, place));
      } else {
        out.push_back(name == "keys" ? jinja_member_value(key) : member);
      }
    }
    return made_list(std::move(out), place);
  }
  refuse(place, "the method " + printable(name) + " of an object is not known");
}

JinjaValue JinjaEvaluator::call_list_method(const JinjaList& list, const std::string& name,
                                            const JinjaArguments& args, JinjaPlace place) {
  const bool known =
      (name == "index" || name == "count") && args.values.size() == 1 && args.named.empty();
  if (!known) refuse(place, "the method " + printable(name) + " of a list is not known");
  std::int64_t count = 0;
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    if (!jinja_equal(list.items[i], args.values[0], budget_, place)) continue;
    if (name == "index") return static_cast<std::int64_t>(i);
    ++count;
  }
  if (name == "index") refuse(place, "index() of what a list does not have");
  return count;
}

JinjaValue JinjaEvaluator::stripped(const JinjaText& text, const JinjaValue* set, bool left,
                                    bool right, JinjaPlace place) {
  const bool has_set = set != nullptr && !set->is_none();
  if (has_set && text_of(*set, place).size() > kMaxStripSet)
    refuse(place, "very many characters are stripped");
  budget_.charge(text.size(), place);
  return made_text(jinja_stripped(text, has_set ? set->text() : nullptr, left, right), place);
}

// split(sep=none, maxsplit=-1), rsplit().
JinjaValue JinjaEvaluator::split(const JinjaText& text, const JinjaArguments& args, bool from_right,
                                 JinjaPlace place) {
  expect_at_most(args, 2, "split", place);
  expect_names(args, {"sep", "maxsplit"}, "split", place);
  const JinjaValue* separator = args.find(0, "sep");
  const JinjaValue* limit = args.find(1, "maxsplit");
  const std::int64_t cuts = limit != nullptr ? whole_of(*limit, place) : -1;
  const auto most = cuts < 0 ? static_cast<std::size_t>(-1) : static_cast<std::size_t>(cuts);
  budget_.charge(2 * text.size() + 1, place);
  JinjaItems out;
  if (separator == nullptr || separator->is_none()) {
    if (from_right && cuts >= 0) refuse(place, "rsplit() at white space");
    for (JinjaText& word : jinja_words(text, most)) out.emplace_back(std::move(word));
    budget_.charge(4 * out.size(), place);
    return made_list(std::move(out), place);
  }
  const JinjaText& between = text_of(*separator, place);
  if (between.empty()) refuse(place, "split() by nothing");
  budget_.charge(between.size(), place);
  std::vector<std::size_t> at;
  if (from_right) {  // overlaps are told from the right
    const JinjaText turned_text(text.rbegin(), text.rend());
    const JinjaText turned(between.rbegin(), between.rend());
    for (const std::size_t i : jinja_occurrences(turned_text, turned, most))
      at.push_back(text.size() - i - between.size());
    std::reverse(at.begin(), at.end());
  } else {
    at = jinja_occurrences(text, between, most);
  }
  std::size_t begin = 0;
  for (const std::size_t i : at) {
    out.emplace_back(text.substr(begin, i - begin));
    begin = i + between.size();
  }
  out.emplace_back(text.substr(begin));
  budget_.charge(4 * out.size(), place);
  return made_list(std::move(out), place);
}

// replace(old, new, count=-1).
JinjaValue JinjaEvaluator::replaced(const JinjaText& text, const JinjaArguments& args,
                                    JinjaPlace place) {
  expect_at_most(args, 3, "replace", place);
  const JinjaValue *old = args.find(0, "old"), *by = args.find(1, "new");
  const JinjaValue* limit = args.find(2, "count");
  if (old == nullptr || by == nullptr) refuse(place, "replace without two texts");
  const JinjaText sought = printed(*old, place), instead = printed(*by, place);
  const bool limited = limit != nullptr && !limit->is_none() && whole_of(*limit, place) >= 0;
  const auto most =
      limited ? static_cast<std::size_t>(whole_of(*limit, place)) : static_cast<std::size_t>(-1);
  budget_.charge(text.size() + 1, place);
  if (sought.empty()) refuse(place, "nothing is replaced by something");
  JinjaText out;
  std::size_t begin = 0;
  for (const std::size_t at : jinja_occurrences(text, sought, most)) {
    budget_.charge(instead.size() + 1, place);
    out.append(text, begin, at - begin).append(instead);
    begin = at + sought.size();
  }
  return made_text(out.append(text, begin), place);
}

bool JinjaEvaluator::has_affix(const JinjaText& text, const JinjaValue& affix, bool at_end,
                               JinjaPlace place) {
  if (affix.list() != nullptr) {
    const JinjaItems& all = affix.list()->items;
    return std::any_of(all.begin(), all.end(), [&](const JinjaValue& one) {
      return has_affix(text, JinjaValue(text_of(one, place)), at_end, place);
    });
  }
  const JinjaText& part = text_of(affix, place);
  budget_.charge(part.size() + 1, place);
  return at_end ? jinja_ends_with(text, part) : jinja_starts_with(text, part);
}

// str.format() with {}, {0} and {name}.
JinjaValue JinjaEvaluator::formatted(const JinjaText& text, const JinjaArguments& args,
                                     JinjaPlace place) {
  JinjaText out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char32_t c = jinja_code_point(text[i]);
    const bool twice = i + 1 < text.size() && jinja_code_point(text[i + 1]) == c;
    if (c != '{' && c != '}') {
      out += text[i];
    } else if (twice) {
      out += text[i++];
    } else {
      const auto close = jinja_occurrences(JinjaTextView(text).substr(i), U"}", 1);
      if (c == '}' || close.empty()) refuse(place, "format() of a single brace");
      const std::string field = to_utf8_of(JinjaTextView(text).substr(i + 1, close.front() - 1));
      const bool numbered =
          field.size() < 6 && field.find_first_not_of("0123456789") == std::string::npos;
      const std::size_t at = field.empty() ? next++ : numbered ? std::stoul(field) : 0;
      const JinjaValue* value = numbered ? (at < args.values.size() ? &args.values[at] : nullptr)
                                         : args.find(args.values.size(), field);
      if (value == nullptr) refuse(place, "format() with the field " + printable(field));
      out += printed(*value, place);
      i += close.front();
    }
  }
  return made_text(std::move(out), place);
}

// "text" % values with %s, %d and %%.
JinjaValue JinjaEvaluator::percent_formatted(const JinjaText& text, const JinjaItems& values,
                                             JinjaPlace place) {
  JinjaText out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (jinja_code_point(text[i]) != '%') {
      out += text[i];
      continue;
    }
    const char32_t kind = ++i < text.size() ? jinja_code_point(text[i]) : U' ';
    if (kind == '%') {
      out += text[i];
    } else if ((kind == 's' || kind == 'd') && next < values.size()) {
      if (kind == 'd') whole_of(values[next], place);
      out += printed(values[next++], place);
    } else {
      refuse(place, "a format of an unknown kind");
    }
  }
  if (next != values.size()) refuse(place, "a format with too many values");
  return made_text(std::move(out), place);
}

JinjaValue JinjaEvaluator::call_text_method(const JinjaText& text, const std::string& name,
                                            const JinjaArguments& args, JinjaPlace place) {
  const auto& values = args.values;
  const bool bare = args.size() == 0, single = values.size() == 1 && args.named.empty();
  if ((name == "strip" || name == "lstrip" || name == "rstrip") && (bare || single)) {
    return stripped(text, args.find(0, "chars"), name != "rstrip", name != "lstrip", place);
  }
  if ((name == "startswith" || name == "endswith") && single)
    return has_affix(text, values[0], name == "endswith", place);
  if (name == "split" || name == "rsplit") return split(text, args, name == "rsplit", place);
  if (name == "replace") {
    if (values.size() >= 2) text_of(values[0], place), text_of(values[1], place);
    return replaced(text, args, place);
  }
  if (name == "format") return formatted(text, args, place);
  if (name == "join" && single) {
    const auto all = items_of(values[0], place);
    for (const JinjaValue& item : all->items) text_of(item, place);
    return join(values[0], {{text}, {}}, place);
  }
  if (bare && (name == "upper" || name == "lower" || name == "title" || name == "capitalize")) {
    bool known = true;
    return text_filter(name, text, args, place, known);
  }
  if ((name == "removeprefix" || name == "removesuffix") && single) {
    const bool at_end = name == "removesuffix";
    const std::size_t n = text_of(values[0], place).size();
    if (n == 0 || !has_affix(text, values[0], at_end, place)) return made_text(text, place);
    return made_text(text.substr(at_end ? 0 : n, text.size() - n), place);
  }
  if ((name == "find" || name == "count") && single) {
    const JinjaText& sought = text_of(values[0], place);
    budget_.charge(text.size() + sought.size(), place);
    if (sought.empty()) refuse(place, printable(name) + " of nothing");
    const auto found = jinja_occurrences(text, sought, name == "find" ? 1 : text.size());
    if (name == "count") return static_cast<std::int64_t>(found.size());
    return found.empty() ? std::int64_t{-1} : static_cast<std::int64_t>(found.front());
  }
  if (name == "isspace" && bare) return all_characters(text, is_python_space);
  if ((name == "isdigit" || name == "isdecimal" || name == "isnumeric") && bare) {
    const bool ascii = std::all_of(text.begin(), text.end(),
                                   [](char32_t c) { return jinja_code_point(c) < 0x80; });
    if (!ascii) refuse(place, printable(name) + " beyond ASCII");
    return all_characters(text, is_ascii_digit);
  }
  refuse(place, "the method " + printable(name) + " is not known");
}

}  // namespace tovamill
