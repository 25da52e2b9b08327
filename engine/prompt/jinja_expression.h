// The expressions of a Jinja tag, evaluated as they are read.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "engine/prompt/jinja_tokens.h"

namespace tovamill {

// Jinja's values: none is null, undefined is a discarded value, a namespace or a loop is an object.
using JinjaValue = nlohmann::json;
inline JinjaValue jinja_undefined() { return JinjaValue(JinjaValue::value_t::discarded); }
bool jinja_is_true(const JinjaValue& value);  // in Python's sense

// Variables by name; the innermost scope is the last.
using JinjaScopes = std::vector<std::map<std::string, JinjaValue, std::less<>>>;

// What a template from anyone may cost, in characters and values touched.
class JinjaBudget {
 public:
  void charge(std::size_t units, std::size_t line);
  // Charges for every part of a value; refuses what nests deep.
  void charge(const JinjaValue& value, std::size_t line, int depth = 0);

 private:
  std::size_t left_ = 4'000'000;  // the templates of known models take some thousands
};

// Reads the tokens of one tag from the front. Everything throws JinjaError for what is not known
// here, and for what is an error in Jinja: nothing is guessed. Whole numbers, strings, lists,
// objects and conditions are known; floats, calls of macros, and printing of lists are not.
class JinjaExpression {
 public:
  JinjaExpression(const JinjaPart& part, const JinjaScopes& scopes, JinjaBudget& budget)
      : part_(part), scopes_(scopes), budget_(budget) {}

  bool accept_sign(std::string_view sign);
  bool accept_name(std::string_view name);
  void expect_sign(std::string_view sign);
  std::string take_name();
  void expect_end() const;
  [[noreturn]] void refuse(const std::string& problem) const;

  JinjaValue evaluate();
  JinjaValue evaluate_without_condition();  // for the list of a loop: no "a if b else c"

 private:
  struct Arguments {
    std::vector<JinjaValue> values;
    std::map<std::string, JinjaValue, std::less<>> named;
  };
  class Nesting;  // counts how deep the reading goes

  const JinjaToken& peek(std::size_t ahead = 0) const;
  bool is_live() const { return dead_ == 0; }  // else read only: its value does not count

  std::size_t find_condition() const;
  JinjaValue evaluate_or();
  JinjaValue evaluate_and();
  JinjaValue evaluate_not();
  JinjaValue evaluate_comparison();
  JinjaValue evaluate_sum();
  JinjaValue evaluate_join();
  JinjaValue evaluate_product();
  JinjaValue evaluate_unary();
  JinjaValue evaluate_primary();
  JinjaValue evaluate_list();
  JinjaValue evaluate_postfix(JinjaValue value);
  JinjaValue evaluate_subscript(const JinjaValue& value);
  JinjaValue evaluate_filters(JinjaValue value);
  JinjaValue evaluate_test(const JinjaValue& value);
  Arguments read_arguments();

  JinjaValue variable(const std::string& name) const;
  JinjaValue attribute(const JinjaValue& value, const std::string& name) const;
  JinjaValue item(const JinjaValue& value, const JinjaValue& key) const;
  JinjaValue slice(const JinjaValue& value, const JinjaValue bounds[3]) const;
  JinjaValue call_function(const std::string& name, const Arguments& arguments) const;
  JinjaValue call_method(const JinjaValue& value, const std::string& name,
                         const Arguments& arguments) const;
  JinjaValue filter(const JinjaValue& value, const std::string& name,
                    const Arguments& arguments) const;
  JinjaValue select(const JinjaValue& list, const Arguments& arguments, bool equal) const;
  JinjaValue split(const std::string& text, const Arguments& arguments) const;
  bool compare(const std::string& sign, const JinjaValue& left, const JinjaValue& right) const;
  bool is_in(const JinjaValue& value, const JinjaValue& list) const;
  JinjaValue add(const JinjaValue& left, const JinjaValue& right) const;
  JinjaValue joined(const JinjaValue& left, const JinjaValue& right) const;
  std::int64_t number(const JinjaValue& value) const;
  const std::string& text(const JinjaValue& value) const;
  JinjaValue charged(JinjaValue value) const;

  const JinjaPart& part_;
  const JinjaScopes& scopes_;
  JinjaBudget& budget_;
  std::size_t at_ = 0;
  int dead_ = 0, depth_ = 0;
};

// What {{ value }} prints. Throws JinjaError for lists, objects and floats.
std::string jinja_printed(const JinjaValue& value, std::size_t line);

}  // namespace tovamill
