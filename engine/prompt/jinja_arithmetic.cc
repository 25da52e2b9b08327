// Comparisons and arithmetic.
#include <algorithm>
#include <cmath>

#include "engine/prompt/jinja_evaluator.h"
#include "kernels/types/printable.h"

namespace tovamill {
namespace {

std::int64_t floor_of_quotient(std::int64_t a, std::int64_t b) {
  const std::int64_t q = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

}  // namespace

bool JinjaEvaluator::is_in(const JinjaValue& value, const JinjaValue& all, JinjaPlace place) {
  if (const JinjaText* text = all.text()) {
    const JinjaText& sought = text_of(value, place);
    budget_.charge(text->size() + sought.size(), place);
    return sought.empty() || !jinja_occurrences(*text, sought, 1).empty();
  }
  if (const JinjaObject* object = all.object()) {
    JinjaText name;
    if (!jinja_member_name(value, name)) return false;
    budget_.charge(object->members.size() + name.size(), place);
    return object->find(name) != nullptr;
  }
  if (all.is_undefined()) return false;
  if (all.list() == nullptr) refuse(place, "something is sought in " + all.kind());
  const JinjaItems& items = all.list()->items;
  return std::any_of(items.begin(), items.end(), [&](const JinjaValue& entry) {
    return jinja_equal(value, entry, budget_, place);
  });
}

bool JinjaEvaluator::is_less(const JinjaValue& a, const JinjaValue& b, JinjaPlace place) {
  if (a.is_number() && b.is_number()) return a.number() < b.number();
  if (a.text() == nullptr || b.text() == nullptr)
    refuse(place, a.kind() + " is compared with " + b.kind());
  budget_.charge(std::min(a.text()->size(), b.text()->size()), place);
  return jinja_less(*a.text(), *b.text());
}

bool JinjaEvaluator::compare(const std::string& sign, const JinjaValue& a, const JinjaValue& b,
                             JinjaPlace place) {
  if (sign == "==" || sign == "!=") return jinja_equal(a, b, budget_, place) == (sign == "==");
  if (sign == "in" || sign == "not in") return is_in(a, b, place) == (sign == "in");
  if (sign == "<") return is_less(a, b, place);
  if (sign == ">") return is_less(b, a, place);
  return sign == "<=" ? !is_less(b, a, place) : !is_less(a, b, place);
}

JinjaValue JinjaEvaluator::repeated(const JinjaText& text, std::int64_t times, JinjaPlace place) {
  const auto n = static_cast<std::size_t>(std::max<std::int64_t>(times, 0));
  JinjaText out;
  for (std::size_t i = 0; i < n && !text.empty(); ++i) {
    budget_.charge(text.size(), place);
    out += text;
  }
  return out;
}

JinjaValue JinjaEvaluator::whole_result(const std::string& sign, std::int64_t a, std::int64_t b,
                                        JinjaPlace place) {
  if ((sign == "//" || sign == "%" || sign == "/") && b == 0) refuse(place, "a division by 0");
  if (sign == "+") return whole_of(a + b, place);
  if (sign == "-") return whole_of(a - b, place);
  if (sign == "//") return floor_of_quotient(a, b);
  if (sign == "%") return a - b * floor_of_quotient(a, b);
  if (sign == "/") return static_cast<double>(a) / static_cast<double>(b);
  if (sign == "*") {
    if (a != 0 && std::abs(b) > kMaxJinjaNumber / std::abs(a))
      refuse(place, "a number is too large");
    return a * b;
  }
  std::int64_t power = 1;
  if (b < 0 || b > 64) refuse(place, "a power of this size");
  for (std::int64_t i = 0; i < b; ++i) {
    if (a != 0 && std::abs(power) > kMaxJinjaNumber / std::abs(a))
      refuse(place, "a number is too large");
    power *= a;
  }
  return power;
}

JinjaValue JinjaEvaluator::real_result(const std::string& sign, double a, double b,
                                       JinjaPlace place) {
  if (sign == "+") return a + b;
  if (sign == "-") return a - b;
  if (sign == "*") return a * b;
  if (sign == "/" && b != 0.0) return a / b;
  refuse(place, "'" + sign + "' of such numbers is not known");
}

JinjaValue JinjaEvaluator::calculated(const std::string& sign, const JinjaValue& a,
                                      const JinjaValue& b, JinjaPlace place) {
  if (a.text() != nullptr && b.text() != nullptr && sign == "+")
    return made_text(*a.text() + *b.text(), place);
  if (a.text() != nullptr && sign == "%")
    return percent_formatted(*a.text(), b.list() != nullptr ? b.list()->items : JinjaItems{b},
                             place);
  if (a.list() != nullptr && b.list() != nullptr && sign == "+") {
    JinjaItems items = a.list()->items;
    items.insert(items.end(), b.list()->items.begin(), b.list()->items.end());
    return made_list(std::move(items), place);
  }
  if (sign == "*" && a.text() != nullptr && b.get<std::int64_t>() != nullptr)
    return repeated(*a.text(), *b.get<std::int64_t>(), place);
  if (sign == "*" && b.text() != nullptr && a.get<std::int64_t>() != nullptr)
    return repeated(*b.text(), *a.get<std::int64_t>(), place);
  if (!a.is_number() || !b.is_number())
    refuse(place, "'" + sign + "' of " + a.kind() + " and " + b.kind());
  if (a.get<double>() != nullptr || b.get<double>() != nullptr)
    return real_result(sign, a.number(), b.number(), place);
  return whole_result(sign, whole_of(a, place), whole_of(b, place), place);
}

}  // namespace tovamill
