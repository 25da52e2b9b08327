// Runs a Jinja template. The rules are those of jinja2 with the settings of Hugging Face's
// `apply_chat_template`; what values do is Python's. Everything throws JinjaError for what is not
// known here and for what is an error there: nothing is guessed.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/prompt/jinja_syntax.h"
#include "engine/prompt/jinja_value.h"

namespace tovamill {

struct JinjaArguments {
  JinjaItems values;
  std::vector<std::pair<std::string, JinjaValue>> named;

  std::size_t size() const { return values.size() + named.size(); }
  // By place or name; null where it is not given.
  const JinjaValue* find(std::size_t at, std::string_view name) const;
};

class JinjaEvaluator {
 public:
  using Variables = std::map<std::string, JinjaValue, std::less<>>;

  // `date` is what strftime_now formats: seconds since 1970, UTC. `missing` gets the names of
  // variables that are looked for and are none.
  JinjaEvaluator(const Variables& variables, std::size_t budget, std::int64_t date,
                 std::set<std::string>& missing)
      : variables_(variables), budget_(budget), date_(date), missing_(missing) {}

  JinjaText render(const JinjaBody& body);

 private:
  enum class Flow : std::uint8_t { on, leave_loop, next_round };
  struct Scope {
    std::uint64_t serial;
    Variables names;
  };
  class Nesting;
  struct Sorting {
    bool reverse = false, case_sensitive = false;
  };

  // Statements (jinja_evaluator.cc).
  Flow run(const JinjaBody& body);
  Flow run_node(const JinjaNode& node);
  Flow run_branches(const JinjaNode& node);
  Flow run_loop(const JinjaNode& node);
  Flow run_scope(const JinjaNode& node);
  void run_set(const JinjaNode& node);
  void run_set_block(const JinjaNode& node);
  void define_macro(const JinjaNode& node);
  JinjaText printed_by(const JinjaBody& body);
  JinjaValue filtered_block(const JinjaNode& node);
  void print(JinjaTextView text, JinjaPlace place);
  std::shared_ptr<const JinjaList> loop_items(const JinjaNode& node);
  void assign(const std::vector<std::string>& names, const JinjaValue& value, JinjaPlace place);
  void push_scope();
  JinjaValue call_macro(const JinjaMacro& macro, const JinjaArguments& arguments, JinjaPlace place);

  // Expressions (jinja_operators.cc).
  JinjaValue evaluate(const JinjaExpression& e);
  JinjaValue evaluate_chain(const JinjaExpression& e);
  JinjaValue evaluate_comparison(const JinjaExpression& e);
  JinjaValue evaluate_arithmetic(const JinjaExpression& e);
  JinjaValue evaluate_joined(const JinjaExpression& e);
  JinjaValue evaluate_object(const JinjaExpression& e);
  JinjaValue evaluate_slice(const JinjaExpression& e);
  JinjaValue evaluate_call(const JinjaExpression& e);
  JinjaValue evaluate_test(const JinjaExpression& e);
  JinjaArguments arguments_of(const JinjaExpression& e);
  JinjaValue variable(const std::string& name);
  JinjaValue attribute(const JinjaValue& value, const std::string& name, JinjaPlace place);
  JinjaValue loop_attribute(const JinjaLoop& loop, const std::string& name, JinjaPlace place);
  JinjaValue item(const JinjaValue& value, const JinjaValue& key, JinjaPlace place);
  bool compare(const std::string& sign, const JinjaValue& a, const JinjaValue& b, JinjaPlace place);
  bool is_less(const JinjaValue& a, const JinjaValue& b, JinjaPlace place);
  bool is_in(const JinjaValue& value, const JinjaValue& all, JinjaPlace place);
  JinjaValue calculated(const std::string& sign, const JinjaValue& a, const JinjaValue& b,
                        JinjaPlace place);
  JinjaValue whole_result(const std::string& sign, std::int64_t a, std::int64_t b,
                          JinjaPlace place);
  JinjaValue real_result(const std::string& sign, double a, double b, JinjaPlace place);
  JinjaValue repeated(const JinjaText& text, std::int64_t times, JinjaPlace place);

  // Filters (jinja_filters.cc, jinja_list_filters.cc), methods and functions (jinja_methods.cc).
  JinjaValue filter(const std::string& name, const JinjaValue& value, const JinjaArguments& args,
                    JinjaPlace place);
  JinjaValue text_filter(const std::string& name, const JinjaValue& value,
                         const JinjaArguments& args, JinjaPlace place, bool& known);
  JinjaValue number_filter(const std::string& name, const JinjaValue& value,
                           const JinjaArguments& args, JinjaPlace place, bool& known);
  JinjaValue list_filter(const std::string& name, const JinjaValue& value,
                         const JinjaArguments& args, JinjaPlace place, bool& known);
  JinjaValue end_of(const JinjaValue& value, bool last, JinjaPlace place);
  JinjaValue join(const JinjaValue& value, const JinjaArguments& args, JinjaPlace place);
  JinjaValue indented(const JinjaValue& value, const JinjaArguments& args, JinjaPlace place);
  JinjaValue mapped(const JinjaValue& value, const JinjaArguments& args, JinjaPlace place);
  JinjaValue selected(const std::string& name, const JinjaValue& value, const JinjaArguments& args,
                      JinjaPlace place);
  JinjaValue sorted(const JinjaValue& value, const JinjaArguments& args, JinjaPlace place);
  JinjaValue sorted_members(const JinjaValue& value, const JinjaArguments& args, JinjaPlace place);
  JinjaValue unique(const JinjaValue& value, const JinjaArguments& args, JinjaPlace place);
  JinjaValue extreme(const JinjaValue& value, bool largest, JinjaPlace place);
  JinjaValue sum(const JinjaValue& value, const JinjaArguments& args, JinjaPlace place);
  JinjaValue members(const JinjaValue& value, JinjaPlace place);
  JinjaValue reversed(const JinjaValue& value, JinjaPlace place);
  JinjaValue path_of(const JinjaValue& value, const JinjaValue& path, JinjaPlace place,
                     const JinjaValue* otherwise = nullptr);
  void sort_items(JinjaItems& items, const std::vector<JinjaValue>& keys, bool reverse,
                  JinjaPlace place);
  JinjaValue to_json(const JinjaValue& value, const JinjaArguments& args, JinjaPlace place);
  bool test(const std::string& name, const JinjaValue& value, const JinjaArguments& args,
            JinjaPlace place);
  JinjaValue call_method(const JinjaValue& value, const std::string& name,
                         const JinjaArguments& args, JinjaPlace place);
  JinjaValue call_object_method(const JinjaObject& object, const std::string& name,
                                const JinjaArguments& args, JinjaPlace place);
  JinjaValue call_list_method(const JinjaList& list, const std::string& name,
                              const JinjaArguments& args, JinjaPlace place);
  JinjaValue call_text_method(const JinjaText& text, const std::string& name,
                              const JinjaArguments& args, JinjaPlace place);
  JinjaValue stripped(const JinjaText& text, const JinjaValue* set, bool left, bool right,
                      JinjaPlace place);
  JinjaValue split(const JinjaText& text, const JinjaArguments& args, bool from_right,
                   JinjaPlace place);
  JinjaValue replaced(const JinjaText& text, const JinjaArguments& args, JinjaPlace place);
  JinjaValue formatted(const JinjaText& text, const JinjaArguments& args, JinjaPlace place);
  JinjaValue percent_formatted(const JinjaText& text, const JinjaItems& values, JinjaPlace place);
  bool has_affix(const JinjaText& text, const JinjaValue& affix, bool at_end, JinjaPlace place);
  JinjaValue call_function(const std::string& name, const JinjaArguments& args, JinjaPlace place);
  JinjaValue range(const JinjaArguments& args, JinjaPlace place);
  JinjaValue date_text(const JinjaText& format, JinjaPlace place);

  // What a value must be.
  [[noreturn]] void refuse(JinjaPlace place, const std::string& problem) const {
    throw JinjaError(place, problem);
  }
  const JinjaText& text_of(const JinjaValue& value, JinjaPlace place) const;
  std::int64_t whole_of(const JinjaValue& value, JinjaPlace place) const;
  bool truth_of(const JinjaValue* value, bool otherwise) const {
    return value != nullptr ? value->is_true() : otherwise;
  }
  std::shared_ptr<const JinjaList> items_of(const JinjaValue& value, JinjaPlace place);
  void expect_at_most(const JinjaArguments& args, std::size_t n, const std::string& what,
                      JinjaPlace place) const;
  void expect_names(const JinjaArguments& args, std::initializer_list<std::string_view> names,
                    const std::string& what, JinjaPlace place) const;
  JinjaValue made_list(JinjaItems items, JinjaPlace place);
  JinjaValue made_text(JinjaText text, JinjaPlace place);
  JinjaText printed(const JinjaValue& value, JinjaPlace place);

  const Variables& variables_;
  JinjaBudget budget_;
  std::int64_t date_;
  std::vector<Scope> scopes_;
  std::uint64_t n_scopes_made_ = 0;
  std::deque<JinjaNamespace> namespaces_;
  std::deque<JinjaLoop> loops_;
  std::deque<JinjaMacro> macros_;
  std::set<std::string>& missing_;
  JinjaText out_;
  int depth_ = 0;
};

}  // namespace tovamill
