// The filter tojson: json.dumps() of Python, characters beyond ASCII as they are.
#include <algorithm>

#include "engine/prompt/jinja_evaluator.h"
#include "kernels/types/printable.h"

namespace tovamill {
namespace {

constexpr std::int64_t kMaxJsonIndent = 100;

class JsonWriter {
 public:
  JsonWriter(JinjaBudget& budget, JinjaPlace place) : budget_(budget), place_(place) {}

  JinjaText item_separator = U", ", name_separator = U": ";
  std::int64_t indent = -1;  // none
  bool sorts = false;

  void write(const JinjaValue& value, std::int64_t level) {
    const std::size_t before = out_.size();
    if (const JinjaText* text = value.text()) {
      write_text(*text);
    } else if (const JinjaList* list = value.list()) {
      write_list(*list, level);
    } else if (const JinjaObject* object = value.object()) {
      write_object(*object, level);
    } else if (value.is_none()) {
      out_ += U"null";
    } else if (const auto* truth = value.get<bool>()) {
      out_ += *truth ? U"true" : U"false";
    } else if (value.get<std::int64_t>() != nullptr || value.get<double>() != nullptr) {
      out_ += jinja_printed(value, place_);
    } else {
      throw JinjaError(place_, value.kind() + " is no JSON");
    }
    budget_.charge(out_.size() - before + 1, place_);
  }

  JinjaText take() { return std::move(out_); }

 private:
  void write_text(const JinjaText& text) {
    constexpr std::string_view kEscaped = "\"\\\n\r\t\b\f", kNames = "\"\\nrtbf";
    constexpr std::u32string_view kDigits = U"0123456789abcdef";
    out_ += U'"';
    for (const char32_t c : text) {
      const char32_t code = jinja_code_point(c), origin = c & ~kCodePointMask;
      const auto at = code < 0x80 ? kEscaped.find(static_cast<char>(code)) : std::string_view::npos;
      if (at != std::string_view::npos) {
        out_ += U'\\' | origin;
        out_ += static_cast<char32_t>(kNames[at]) | origin;
      } else if (code < 0x20) {
        for (const char32_t digit :
             {U'\\', U'u', U'0', U'0', kDigits[code >> 4], kDigits[code & 15]})
          out_ += digit | origin;
      } else {
        out_ += c;
      }
    }
    out_ += U'"';
  }

  void write_break(std::int64_t level) {
    if (indent < 0) return;
    out_ += U'\n';
    out_.append(static_cast<std::size_t>(indent * level), U' ');
  }

  void write_list(const JinjaList& list, std::int64_t level) {
    out_ += U'[';
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_ += item_separator;
      write_break(level + 1);
      write(list.items[i], level + 1);
    }
    if (!list.items.empty()) write_break(level);
    out_ += U']';
  }

  void write_object(const JinjaObject& object, std::int64_t level) {
    auto members = object.members;
    if (sorts) {
      std::sort(members.begin(), members.end(),
                [](const auto& a, const auto& b) { return jinja_less(a.first, b.first); });
    }
    out_ += U'{';
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (i > 0) out_ += item_separator;
      write_break(level + 1);
      const JinjaValue name = jinja_member_value(members[i].first);
      write_text(jinja_printed(name, place_));
      out_ += name_separator;
      write(members[i].second, level + 1);
    }
    if (!members.empty()) write_break(level);
    out_ += U'}';
  }

  JinjaBudget& budget_;
  JinjaPlace place_;
  JinjaText out_;
};

}  // namespace

JinjaValue JinjaEvaluator::to_json(const JinjaValue& value, const JinjaArguments& args,
                                   JinjaPlace place) {
  expect_at_most(args, 4, "tojson", place);
  expect_names(args, {"ensure_ascii", "indent", "separators", "sort_keys"}, "tojson", place);
  if (truth_of(args.find(0, "ensure_ascii"), false)) refuse(place, "tojson with ensure_ascii");
  JsonWriter writer(budget_, place);
  const JinjaValue* indent = args.find(1, "indent");
  if (indent != nullptr && !indent->is_none()) {
    writer.indent = whole_of(*indent, place);
    writer.item_separator = U",";
    if (writer.indent < 0 || writer.indent > kMaxJsonIndent)
      refuse(place, "tojson with an indent of " + std::to_string(writer.indent));
  }
  const JinjaValue* separators = args.find(2, "separators");
  if (separators != nullptr && !separators->is_none()) {
    const auto pair = items_of(*separators, place);
    if (pair->items.size() != 2) refuse(place, "tojson with other than two separators");
    writer.item_separator = text_of(pair->items[0], place);
    writer.name_separator = text_of(pair->items[1], place);
  }
  writer.sorts = truth_of(args.find(3, "sort_keys"), false);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace tovamill
