// What variables and expressions of a Jinja template hold. Texts, lists and objects do not change
// once they are made; only namespaces do.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/prompt/jinja_text.h"
#include "engine/prompt/jinja_tokens.h"

namespace tovamill {

class JinjaValue;
struct JinjaNode;

// Whole numbers are no larger: double holds them exactly.
constexpr std::int64_t kMaxJinjaNumber = 1'000'000'000'000;

using JinjaItems = std::vector<JinjaValue>;
struct JinjaList;
struct JinjaObject;
struct JinjaNamespace;
struct JinjaLoop;
struct JinjaMacro;

// A name of which nothing is known. Using it for more than a condition or a print is an error.
struct JinjaUndefined {
  std::string what;  // "'x'"
};
// A function that every template has, by name.
struct JinjaFunction {
  std::string name;
};

class JinjaValue {
 public:
  JinjaValue() : data_(JinjaUndefined{"a value"}) {}
  // What a template knows stands for its value.
  // NOLINTBEGIN(google-explicit-constructor)
  JinjaValue(std::nullptr_t) : data_(nullptr) {}
  JinjaValue(bool value) : data_(value) {}
  JinjaValue(std::int64_t value) : data_(value) {}
  JinjaValue(double value) : data_(value) {}
  JinjaValue(JinjaText text) : data_(std::make_shared<const JinjaText>(std::move(text))) {}
  JinjaValue(JinjaUndefined undefined) : data_(std::move(undefined)) {}
  JinjaValue(JinjaFunction function) : data_(std::move(function)) {}
  JinjaValue(JinjaNamespace* space) : data_(space) {}
  JinjaValue(const JinjaLoop* loop) : data_(loop) {}
  JinjaValue(const JinjaMacro* macro) : data_(macro) {}
  JinjaValue(const char32_t*) = delete;
  JinjaValue(const char*) = delete;
  // NOLINTEND(google-explicit-constructor)
  static JinjaValue list(JinjaItems items);
  static JinjaValue object(std::vector<std::pair<JinjaText, JinjaValue>> members);

  // Null where it is of another type.
  template <class T>
  const T* get() const {
    return std::get_if<T>(&data_);
  }
  const JinjaText* text() const { return pointed<JinjaText>(); }
  const JinjaList* list() const { return pointed<JinjaList>(); }
  const JinjaObject* object() const { return pointed<JinjaObject>(); }
  JinjaNamespace* space() const {
    const auto* found = get<JinjaNamespace*>();
    return found != nullptr ? *found : nullptr;
  }
  const JinjaLoop* loop() const {
    const auto* found = get<const JinjaLoop*>();
    return found != nullptr ? *found : nullptr;
  }
  const JinjaMacro* macro() const {
    const auto* found = get<const JinjaMacro*>();
    return found != nullptr ? *found : nullptr;
  }
  bool is_undefined() const { return get<JinjaUndefined>() != nullptr; }
  bool is_number() const {  // or true or false, which are numbers in Python
    return get<std::int64_t>() != nullptr || get<bool>() != nullptr || get<double>() != nullptr;
  }
  double number() const;  // where it is one
  bool is_none() const { return get<std::nullptr_t>() != nullptr; }
  bool is_true() const;                                  // in Python's sense
  std::shared_ptr<const JinjaList> shared_list() const;  // not null: it is a list
  int depth() const;                                     // of lists and objects inside each other
  std::string kind() const;                              // for messages: "a text"

 private:
  template <class T>
  const T* pointed() const {
    const auto* found = get<std::shared_ptr<const T>>();
    return found != nullptr ? found->get() : nullptr;
  }

  std::variant<JinjaUndefined, std::nullptr_t, bool, std::int64_t, double,
               std::shared_ptr<const JinjaText>, std::shared_ptr<const JinjaList>,
               std::shared_ptr<const JinjaObject>, JinjaNamespace*, const JinjaLoop*,
               const JinjaMacro*, JinjaFunction>
      data_;
};

struct JinjaList {
  JinjaItems items;
  int depth = 1;
};

// A member's name is a text, or a whole number, which is kept as a text with a mark before it.
struct JinjaObject {
  std::vector<std::pair<JinjaText, JinjaValue>> members;  // in their order, each name once
  int depth = 1;

  const JinjaValue* find(JinjaTextView name) const;
};

// The name of a member for a value, and back. False where the value can be none.
bool jinja_member_name(const JinjaValue& value, JinjaText& name);
JinjaValue jinja_member_value(const JinjaText& name);

struct JinjaNamespace {
  std::map<std::string, JinjaValue, std::less<>> fields;
};

// The variable `loop`.
struct JinjaLoop {
  std::shared_ptr<const JinjaList> list;
  std::size_t at = 0;
};

// Parameters without a default are undefined where no argument is given.
struct JinjaMacro {
  const JinjaNode* node = nullptr;
  std::size_t n_scopes = 0;     // that its body sees
  std::uint64_t innermost = 0;  // the serial number of the last of them
};

// What a template from anyone may cost, in characters and values touched.
class JinjaBudget {
 public:
  explicit JinjaBudget(std::size_t units) : left_(units) {}
  void charge(std::size_t units, JinjaPlace place);

 private:
  std::size_t left_;
};

// What {{ value }} prints. Throws JinjaError for lists, objects and the like.
JinjaText jinja_printed(const JinjaValue& value, JinjaPlace place);
// `==`. Charges for what it looks at.
bool jinja_equal(const JinjaValue& a, const JinjaValue& b, JinjaBudget& budget, JinjaPlace place);

}  // namespace tovamill
