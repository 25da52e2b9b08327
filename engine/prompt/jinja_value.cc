#include "engine/prompt/jinja_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace tovamill {
namespace {

template <class Items, class Get>
int depth_over(const Items& items, Get get) {
  int deepest = 0;
  for (const auto& item : items) deepest = std::max(deepest, get(item).depth());
  return deepest + 1;
}

// No character: before the digits of a member's name that is a number.
constexpr char32_t kNumberMark = 0x1ffffe;

// repr() of Python: the shortest digits that give the number again.
std::string printed_real(double value, JinjaPlace place) {
  if (!std::isfinite(value)) throw JinjaError(place, "a number is not finite");
  const double size = std::fabs(value);
  const bool plain = size == 0.0 || (size >= 1e-4 && size < 1e16);
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value,
                                 plain ? std::chars_format::fixed : std::chars_format::scientific)
                       .ptr;
  std::string out(buffer, end);
  if (plain && out.find('.') == std::string::npos) out += ".0";
  return out;
}

}  // namespace

JinjaValue JinjaValue::list(JinjaItems items) {
  auto made = std::make_shared<JinjaList>();
  made->depth = depth_over(items, [](const JinjaValue& item) { return item; });
  made->items = std::move(items);
  JinjaValue out;
  out.data_ = std::shared_ptr<const JinjaList>(std::move(made));
  return out;
}

JinjaValue JinjaValue::object(std::vector<std::pair<JinjaText, JinjaValue>> members) {
  auto made = std::make_shared<JinjaObject>();
  made->depth = depth_over(members, [](const auto& member) { return member.second; });
  made->members = std::move(members);
  JinjaValue out;
  out.data_ = std::shared_ptr<const JinjaObject>(std::move(made));
  return out;
}

bool JinjaValue::is_true() const {
  if (is_undefined() || is_none()) return false;
  if (is_number()) return number() != 0.0;
  if (text() != nullptr) return !text()->empty();
  if (list() != nullptr) return !list()->items.empty();
  if (object() != nullptr) return !object()->members.empty();
  return true;
}

double JinjaValue::number() const {
  if (const auto* whole = get<std::int64_t>()) return static_cast<double>(*whole);
  if (const auto* truth = get<bool>()) return *truth ? 1.0 : 0.0;
  return *get<double>();
}

std::shared_ptr<const JinjaList> JinjaValue::shared_list() const {
  return *get<std::shared_ptr<const JinjaList>>();
}

int JinjaValue::depth() const {
  if (list() != nullptr) return list()->depth;
  return object() != nullptr ? object()->depth : 0;
}

std::string JinjaValue::kind() const {
  if (const auto* undefined = get<JinjaUndefined>())
    return undefined->what + ", which is undefined";
  if (is_none()) return "none";
  if (get<bool>() != nullptr) return "true or false";
  if (get<std::int64_t>() != nullptr || get<double>() != nullptr) return "a number";
  if (text() != nullptr) return "a text";
  if (list() != nullptr) return "a list";
  if (object() != nullptr) return "an object";
  if (space() != nullptr) return "a namespace";
  return loop() != nullptr ? "a loop" : "a function";
}

const JinjaValue* JinjaObject::find(JinjaTextView name) const {
  for (const auto& [key, value] : members) {
    if (jinja_equal(key, name)) return &value;
  }
  return nullptr;
}

bool jinja_member_name(const JinjaValue& value, JinjaText& name) {
  if (const JinjaText* text = value.text()) {
    name = *text;
    return true;
  }
  const auto* whole = value.get<std::int64_t>();
  if (whole == nullptr) return false;
  name = kNumberMark + jinja_text(std::to_string(*whole));
  return true;
}

JinjaValue jinja_member_value(const JinjaText& name) {
  if (name.empty() || name[0] != kNumberMark) return name;
  return static_cast<std::int64_t>(std::stoll(to_utf8_of(JinjaTextView(name).substr(1))));
}

void JinjaBudget::charge(std::size_t units, JinjaPlace place) {
  if (units >= left_) throw JinjaError(place, "it takes too long or grows too large");
  left_ -= units;
}

JinjaText jinja_printed(const JinjaValue& value, JinjaPlace place) {
  if (value.is_undefined()) return {};
  if (const JinjaText* text = value.text()) return *text;
  if (value.is_none()) return U"None";
  if (const auto* truth = value.get<bool>()) return *truth ? U"True" : U"False";
  if (const auto* whole = value.get<std::int64_t>()) return jinja_text(std::to_string(*whole));
  if (const auto* real = value.get<double>()) return jinja_text(printed_real(*real, place));
  throw JinjaError(place, value.kind() + " is printed");
}

bool jinja_equal(const JinjaValue& a, const JinjaValue& b, JinjaBudget& budget, JinjaPlace place) {
  budget.charge(1, place);
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.is_number() || b.is_number())
    return a.is_number() && b.is_number() && a.number() == b.number();
  if (a.text() != nullptr && b.text() != nullptr) {
    budget.charge(std::min(a.text()->size(), b.text()->size()), place);
    return jinja_equal(*a.text(), *b.text());
  }
  if (a.list() != nullptr && b.list() != nullptr) {
    const JinjaItems &left = a.list()->items, &right = b.list()->items;
    return left.size() == right.size() &&
           std::equal(left.begin(), left.end(), right.begin(), [&](const auto& l, const auto& r) {
             return jinja_equal(l, r, budget, place);
           });
  }
  if (a.object() != nullptr && b.object() != nullptr) {
    const auto &left = a.object()->members, &right = b.object()->members;
    if (left.size() != right.size()) return false;
    budget.charge(left.size() * right.size(), place);
    return std::all_of(left.begin(), left.end(), [&](const auto& member) {
      const JinjaValue* other = b.object()->find(member.first);
      return other != nullptr && jinja_equal(member.second, *other, budget, place);
    });
  }
  return (a.space() != nullptr && a.space() == b.space()) ||
         (a.loop() != nullptr && a.loop() == b.loop()) ||
         (a.macro() != nullptr && a.macro() == b.macro());
}

}  // namespace tovamill
