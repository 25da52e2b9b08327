// Statements.
#include "engine/prompt/jinja_evaluator.h"

#include "engine/prompt/jinja_nesting.h"
#include "kernels/types/printable.h"

namespace tovamill {

using NodeKind = JinjaNode::Kind;

JinjaText JinjaEvaluator::render(const JinjaBody& body) {
  push_scope();
  const Flow flow = run(body);
  if (flow != Flow::on) refuse({}, "a loop is left where there is none");
  return std::move(out_);
}

void JinjaEvaluator::push_scope() { scopes_.push_back({++n_scopes_made_, {}}); }

void JinjaEvaluator::print(JinjaTextView text, JinjaPlace place) {
  budget_.charge(text.size(), place);
  out_ += text;
}

JinjaEvaluator::Flow JinjaEvaluator::run(const JinjaBody& body) {
  for (const JinjaNode& node : body) {
    budget_.charge(1, node.place);
    if (const Flow flow = run_node(node); flow != Flow::on) return flow;
  }
  return Flow::on;
}

JinjaEvaluator::Flow JinjaEvaluator::run_node(const JinjaNode& node) {
  const Nesting nesting(*this, node.place);
  switch (node.kind) {
    case NodeKind::data:
      print(node.text, node.place);
      return Flow::on;
    case NodeKind::print: {
      // Where it is printed at once, "safe" changes nothing.
      const JinjaExpression& e = *node.expression;
      const bool is_safe = e.kind == JinjaExpression::Kind::filter && e.name == "safe";
      print(printed(evaluate(is_safe ? *e.parts.front() : e), node.place), node.place);
      return Flow::on;
    }
    case NodeKind::branches:
      return run_branches(node);
    case NodeKind::loop:
      return run_loop(node);
    case NodeKind::scope:
      return run_scope(node);
    case NodeKind::group:
      print(printed_by(node.bodies.front()), node.place);
      return Flow::on;
    case NodeKind::set:
      run_set(node);
      return Flow::on;
    case NodeKind::set_block:
      run_set_block(node);
      return Flow::on;
    case NodeKind::macro:
      define_macro(node);
      return Flow::on;
    case NodeKind::filtered:
      print(printed(filtered_block(node), node.place), node.place);
      return Flow::on;
    case NodeKind::leave_loop:
      return Flow::leave_loop;
    case NodeKind::next_round:
      return Flow::next_round;
    case NodeKind::unknown:
      break;
  }
  refuse(node.place, "the statement " + printable(node.name) + " is not known");
}

JinjaEvaluator::Flow JinjaEvaluator::run_branches(const JinjaNode& node) {
  for (std::size_t i = 0; i < node.branches.size(); ++i) {
    const JinjaExpression* condition = node.branches[i].get();
    if (condition == nullptr || evaluate(*condition).is_true()) return run(node.bodies[i]);
  }
  return Flow::on;
}

void JinjaEvaluator::assign(const std::vector<std::string>& names, const JinjaValue& value,
                            JinjaPlace place) {
  Variables& scope = scopes_.back().names;
  if (names.size() == 1) {
    scope.insert_or_assign(names.front(), value);
    return;
  }
  const auto items = items_of(value, place);
  if (items->items.size() != names.size()) refuse(place, "a list of another length is taken apart");
  for (std::size_t i = 0; i < names.size(); ++i) scope.insert_or_assign(names[i], items->items[i]);
}

// What the loop goes over: the items for which its condition holds.
std::shared_ptr<const JinjaList> JinjaEvaluator::loop_items(const JinjaNode& node) {
  auto all = items_of(evaluate(*node.expression), node.expression->place);
  if (node.filter == nullptr) return all;
  JinjaItems kept;
  for (const JinjaValue& item : all->items) {
    push_scope();
    assign(node.names, item, node.place);
    if (evaluate(*node.filter).is_true()) kept.push_back(item);
    scopes_.pop_back();
  }
  return made_list(std::move(kept), node.place).shared_list();
}

JinjaEvaluator::Flow JinjaEvaluator::run_loop(const JinjaNode& node) {
  if (!node.name.empty()) refuse(node.place, "a recursive loop");
  const auto items = loop_items(node);
  if (items->items.empty()) return node.bodies.size() > 1 ? run(node.bodies[1]) : Flow::on;
  budget_.charge(1, node.place);
  JinjaLoop& loop = loops_.emplace_back();
  loop.list = items;
  for (loop.at = 0; loop.at < items->items.size(); ++loop.at) {
    budget_.charge(1, node.place);
    push_scope();
    scopes_.back().names.insert_or_assign("loop", JinjaValue(&loop));
    assign(node.names, items->items[loop.at], node.place);
    const Flow flow = run(node.bodies.front());
    scopes_.pop_back();
    if (flow == Flow::leave_loop) break;
  }
  return Flow::on;
}

JinjaEvaluator::Flow JinjaEvaluator::run_scope(const JinjaNode& node) {
  JinjaItems values;
  for (const JinjaExpressionPointer& value : node.branches) values.push_back(evaluate(*value));
  push_scope();
  for (std::size_t i = 0; i < values.size(); ++i) {
    scopes_.back().names.insert_or_assign(node.names[i], values[i]);
  }
  const Flow flow = run(node.bodies.front());
  scopes_.pop_back();
  return flow;
}

void JinjaEvaluator::run_set(const JinjaNode& node) {
  JinjaValue value = evaluate(*node.expression);
  if (node.field.empty()) return assign(node.names, value, node.place);
  JinjaNamespace* space = variable(node.names.front()).space();
  if (space == nullptr) refuse(node.place, "a field is set of what is no namespace");
  if (node.field.starts_with('_')) refuse(node.place, "a field that begins with '_'");
  space->fields.insert_or_assign(node.field, std::move(value));
}

JinjaText JinjaEvaluator::printed_by(const JinjaBody& body) {
  JinjaText outer = std::move(out_);
  out_.clear();
  push_scope();
  const Flow flow = run(body);
  scopes_.pop_back();
  std::swap(outer, out_);
  if (flow != Flow::on) refuse({}, "a loop is left out of a block that is kept");
  return outer;
}

JinjaValue JinjaEvaluator::filtered_block(const JinjaNode& node) {
  JinjaValue text = printed_by(node.bodies.front());
  if (node.expression == nullptr) return text;
  push_scope();
  scopes_.back().names.insert_or_assign(kJinjaBlockText, std::move(text));
  JinjaValue value = evaluate(*node.expression);
  scopes_.pop_back();
  return value;
}

void JinjaEvaluator::run_set_block(const JinjaNode& node) {
  JinjaValue value = filtered_block(node);
  if (!node.field.empty()) {
    JinjaNamespace* space = variable(node.names.front()).space();
    if (space == nullptr) refuse(node.place, "a field is set of what is no namespace");
    space->fields.insert_or_assign(node.field, std::move(value));
    return;
  }
  assign(node.names, value, node.place);
}

void JinjaEvaluator::define_macro(const JinjaNode& node) {
  budget_.charge(1, node.place);
  JinjaMacro& macro = macros_.emplace_back();
  macro.node = &node;
  macro.n_scopes = scopes_.size();
  macro.innermost = scopes_.back().serial;
  scopes_.back().names.insert_or_assign(node.name, JinjaValue(&macro));
}

// Its body sees its parameters and what was around its definition.
JinjaValue JinjaEvaluator::call_macro(const JinjaMacro& macro, const JinjaArguments& arguments,
                                      JinjaPlace place) {
  const JinjaNode& node = *macro.node;
  if (macro.n_scopes > scopes_.size() || scopes_[macro.n_scopes - 1].serial != macro.innermost)
    refuse(place, "the macro " + printable(node.name) + " is called outside its block");
  if (arguments.values.size() > node.names.size())
    refuse(place, "too many arguments of the macro " + printable(node.name));
  std::vector<Scope> hidden(
      std::make_move_iterator(scopes_.begin() + static_cast<std::ptrdiff_t>(macro.n_scopes)),
      std::make_move_iterator(scopes_.end()));
  scopes_.resize(macro.n_scopes);
  push_scope();
  std::size_t n_used = arguments.values.size();
  for (std::size_t i = 0; i < node.names.size(); ++i) {
    const std::string& name = node.names[i];
    const JinjaValue* given = arguments.find(i, name);
    if (given != nullptr && i >= arguments.values.size()) ++n_used;
    JinjaValue value = JinjaUndefined{"the parameter " + printable(name)};
    if (given != nullptr) {
      value = *given;
    } else if (node.branches[i] != nullptr) {
      value = evaluate(*node.branches[i]);
    }
    scopes_.back().names.insert_or_assign(name, std::move(value));
  }
  if (n_used != arguments.size())
    refuse(place, "an argument that the macro " + printable(node.name) + " does not have");
  JinjaText text = printed_by(node.bodies.front());
  scopes_.resize(macro.n_scopes);
  for (Scope& scope : hidden) scopes_.push_back(std::move(scope));
  return text;
}

}  // namespace tovamill
