// Filters of lists and objects.
#include <algorithm>
#include <numeric>

#include "engine/prompt/jinja_evaluator.h"
#include "kernels/types/printable.h"

namespace tovamill {

JinjaValue JinjaEvaluator::end_of(const JinjaValue& value, bool last, JinjaPlace place) {
  const auto list = items_of(value, place);
  if (list->items.empty()) return JinjaUndefined{"an item"};
  return last ? list->items.back() : list->items.front();
}

JinjaValue JinjaEvaluator::list_filter(const std::string& name, const JinjaValue& value,
                                       const JinjaArguments& args, JinjaPlace place, bool& known) {
  if (name == "map") return mapped(value, args, place);
  if (name == "select" || name == "reject" || name == "selectattr" || name == "rejectattr")
    return selected(name, value, args, place);
  if (name == "sort") return sorted(value, args, place);
  if (name == "dictsort") return sorted_members(value, args, place);
  if (name == "unique") return unique(value, args, place);
  if (name == "sum") return sum(value, args, place);
  const bool is_known = name == "length" || name == "count" || name == "list" || name == "first" ||
                        name == "last" || name == "reverse" || name == "items" || name == "min" ||
                        name == "max";
  if (!is_known) {
    known = false;
    return {};
  }
  expect_at_most(args, 0, name, place);
  if (name == "first" || name == "last") return end_of(value, name == "last", place);
  if (name == "reverse") return reversed(value, place);
  if (name == "items") return members(value, place);
  if (name == "min" || name == "max") return extreme(value, name == "max", place);
  if (name == "list") return made_list(items_of(value, place)->items, place);
  if (value.text() != nullptr) return static_cast<std::int64_t>(value.text()->size());
  return static_cast<std::int64_t>(items_of(value, place)->items.size());
}

JinjaValue JinjaEvaluator::reversed(const JinjaValue& value, JinjaPlace place) {
  if (value.text() != nullptr)
    return made_text(JinjaText(value.text()->rbegin(), value.text()->rend()), place);
  JinjaItems items = items_of(value, place)->items;
  std::reverse(items.begin(), items.end());
  return made_list(std::move(items), place);
}

// Pairs of name and value.
JinjaValue JinjaEvaluator::members(const JinjaValue& value, JinjaPlace place) {
  JinjaItems out;
  if (value.object() == nullptr && !value.is_undefined())
    refuse(place, "the members of " + value.kind());
  if (value.object() != nullptr) {
    for (const auto& [name, member] : value.object()->members)
      out.push_back(made_list({jinja_member_value(name), member}, place));
  }
  return made_list(std::move(out), place);
}

// The attribute "a", or "a.b", or item number 0 of an item; `otherwise` where it has none.
JinjaValue JinjaEvaluator::path_of(const JinjaValue& value, const JinjaValue& path,
                                   JinjaPlace place, const JinjaValue* otherwise) {
  if (path.text() == nullptr) {
    JinjaValue found = item(value, path, place);
    return found.is_undefined() && otherwise != nullptr ? *otherwise : found;
  }
  const std::string names = to_utf8_of(*path.text());
  budget_.charge(names.size(), place);
  JinjaValue found = value;
  for (std::size_t begin = 0; begin <= names.size();) {
    const std::size_t end = std::min(names.find('.', begin), names.size());
    const std::string name = names.substr(begin, end - begin);
    const bool numbered = !name.empty() && name.size() < 10 &&
                          name.find_first_not_of("0123456789") == std::string::npos;
    if (found.is_undefined()) refuse(place, "an attribute of " + found.kind());
    found = item(found,
                 numbered ? JinjaValue(static_cast<std::int64_t>(std::stoll(name)))
                          : JinjaValue(jinja_text(name)),
                 place);
    if (found.is_undefined() && otherwise != nullptr) found = *otherwise;
    begin = end + 1;
  }
  return found;
}

JinjaValue JinjaEvaluator::mapped(const JinjaValue& value, const JinjaArguments& args,
                                  JinjaPlace place) {
  JinjaItems out;
  if (!value.is_true()) return made_list({}, place);  // none, too, as Jinja does
  const auto list = items_of(value, place);
  if (args.values.empty()) {
    expect_names(args, {"attribute", "default"}, "map", place);
    const JinjaValue* path = args.find(0, "attribute");
    const JinjaValue* otherwise = args.find(1, "default");
    if (path == nullptr) refuse(place, "'map' without an attribute or a filter");
    for (const JinjaValue& entry : list->items)
      out.push_back(path_of(entry, *path, place, otherwise));
    return made_list(std::move(out), place);
  }
  JinjaArguments rest = args;
  rest.values.erase(rest.values.begin());
  const std::string name = to_utf8_of(text_of(args.values.front(), place));
  for (const JinjaValue& entry : list->items) {
    budget_.charge(1, place);
    out.push_back(filter(name, entry, rest, place));
  }
  return made_list(std::move(out), place);
}

// select, reject: items for which a test holds, or not; selectattr, rejectattr: for an attribute
// of which.
JinjaValue JinjaEvaluator::selected(const std::string& name, const JinjaValue& value,
                                    const JinjaArguments& args, JinjaPlace place) {
  if (!value.is_true()) return made_list({}, place);  // none, too, as Jinja does
  const bool of_attribute = name.ends_with("attr"), keeps = name.starts_with("select");
  JinjaArguments rest = args;
  JinjaValue path;
  std::string test_name;
  if (of_attribute) {
    if (rest.values.empty()) refuse(place, printable(name) + " without an attribute");
    path = rest.values.front();
    rest.values.erase(rest.values.begin());
  }
  if (!rest.values.empty()) {
    test_name = to_utf8_of(text_of(rest.values.front(), place));
    rest.values.erase(rest.values.begin());
  }
  JinjaItems out;
  const auto all = items_of(value, place);
  for (const JinjaValue& entry : all->items) {
    budget_.charge(1, place);
    const JinjaValue looked_at = of_attribute ? path_of(entry, path, place) : entry;
    const bool holds =
        test_name.empty() ? looked_at.is_true() : test(test_name, looked_at, rest, place);
    if (holds == keeps) out.push_back(entry);
  }
  return made_list(std::move(out), place);
}

// Stable, by keys that are all numbers or all texts.
void JinjaEvaluator::sort_items(JinjaItems& items, const std::vector<JinjaValue>& keys,
                                bool reverse, JinjaPlace place) {
  std::vector<std::size_t> order(items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    budget_.charge(1, place);
    return reverse ? is_less(keys[b], keys[a], place) : is_less(keys[a], keys[b], place);
  });
  JinjaItems out;
  for (const std::size_t i : order) out.push_back(items[i]);
  items = std::move(out);
}

JinjaValue JinjaEvaluator::sorted(const JinjaValue& value, const JinjaArguments& args,
                                  JinjaPlace place) {
  expect_at_most(args, 3, "sort", place);
  expect_names(args, {"reverse", "case_sensitive", "attribute"}, "sort", place);
  const JinjaValue* path = args.find(2, "attribute");
  const bool keeps_case = truth_of(args.find(1, "case_sensitive"), false);
  JinjaItems items = items_of(value, place)->items;
  std::vector<JinjaValue> keys;
  for (const JinjaValue& entry : items) {
    JinjaValue key = path != nullptr ? path_of(entry, *path, place) : entry;
    if (key.text() != nullptr && !keeps_case) key = made_text(jinja_lower(*key.text()), place);
    keys.push_back(std::move(key));
  }
  sort_items(items, keys, truth_of(args.find(0, "reverse"), false), place);
  return made_list(std::move(items), place);
}

JinjaValue JinjaEvaluator::sorted_members(const JinjaValue& value, const JinjaArguments& args,
                                          JinjaPlace place) {
  expect_at_most(args, 3, "dictsort", place);
  expect_names(args, {"case_sensitive", "by", "reverse"}, "dictsort", place);
  if (value.is_undefined()) refuse(place, "the members of " + value.kind());
  const JinjaValue* by = args.find(1, "by");
  const bool by_value = by != nullptr && to_utf8_of(text_of(*by, place)) == "value";
  const bool keeps_case = truth_of(args.find(0, "case_sensitive"), false);
  JinjaItems items = members(value, place).list()->items;
  std::vector<JinjaValue> keys;
  for (const JinjaValue& entry : items) {
    JinjaValue key = entry.list()->items[by_value ? 1 : 0];
    if (key.text() != nullptr && !keeps_case) key = made_text(jinja_lower(*key.text()), place);
    keys.push_back(std::move(key));
  }
  sort_items(items, keys, truth_of(args.find(2, "reverse"), false), place);
  return made_list(std::move(items), place);
}

JinjaValue JinjaEvaluator::unique(const JinjaValue& value, const JinjaArguments& args,
                                  JinjaPlace place) {
  expect_at_most(args, 2, "unique", place);
  expect_names(args, {"case_sensitive", "attribute"}, "unique", place);
  const JinjaValue* path = args.find(1, "attribute");
  const bool keeps_case = truth_of(args.find(0, "case_sensitive"), false);
  JinjaItems out, seen;
  const auto all = items_of(value, place);
  for (const JinjaValue& entry : all->items) {
    JinjaValue key = path != nullptr ? path_of(entry, *path, place) : entry;
    if (key.text() != nullptr && !keeps_case) key = made_text(jinja_lower(*key.text()), place);
    const bool is_new = std::none_of(seen.begin(), seen.end(), [&](const JinjaValue& other) {
      return jinja_equal(key, other, budget_, place);
    });
    if (!is_new) continue;
    seen.push_back(std::move(key));
    out.push_back(entry);
  }
  return made_list(std::move(out), place);
}

// Of texts without their case, as Jinja does.
JinjaValue JinjaEvaluator::extreme(const JinjaValue& value, bool largest, JinjaPlace place) {
  const auto list = items_of(value, place);
  if (list->items.empty()) return JinjaUndefined{"an item"};
  const auto key_of = [&](const JinjaValue& entry) {
    return entry.text() != nullptr ? made_text(jinja_lower(*entry.text()), place) : entry;
  };
  JinjaValue best = list->items.front(), best_key = key_of(best);
  for (const JinjaValue& entry : list->items) {
    const JinjaValue key = key_of(entry);
    if (largest ? is_less(best_key, key, place) : is_less(key, best_key, place)) {
      best = entry;
      best_key = key;
    }
  }
  return best;
}

JinjaValue JinjaEvaluator::sum(const JinjaValue& value, const JinjaArguments& args,
                               JinjaPlace place) {
  expect_at_most(args, 2, "sum", place);
  expect_names(args, {"attribute", "start"}, "sum", place);
  const JinjaValue* path = args.find(0, "attribute");
  const JinjaValue* start = args.find(1, "start");
  JinjaValue total = start != nullptr ? *start : JinjaValue(std::int64_t{0});
  const auto all = items_of(value, place);
  for (const JinjaValue& entry : all->items)
    total = calculated("+", total, path != nullptr ? path_of(entry, *path, place) : entry, place);
  return total;
}

}  // namespace tovamill
