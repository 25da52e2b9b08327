#include "engine/prompt/jinja.h"

#include <optional>

#include "engine/prompt/jinja_expression.h"
#include "kernels/types/printable.h"

namespace tovamill {
namespace {

constexpr std::size_t kMaxSourceBytes = 1 << 20;  // the longest known templates have some 20 KB
constexpr std::size_t kMaxBlocks = 50;            // inside each other

class Renderer {
 public:
  Renderer(std::string_view source, const JinjaValue& variables)
      : parts_(split_jinja(source)), next_(parts_.size(), 0) {
    auto& scope = scopes_.emplace_back();
    for (const auto& [name, value] : variables.items()) scope[name] = value;
    find_blocks();
  }

  std::string render() {
    run(0, parts_.size());
    return std::move(out_);
  }

 private:
  const std::string& keyword(std::size_t i) const {
    static const std::string none;
    const JinjaPart& part = parts_[i];
    const bool named =
        part.kind == JinjaPart::Kind::statement && part.tokens[0].kind == JinjaToken::Kind::name;
    return named ? part.tokens[0].text : none;
  }

  // For every if, elif, else, for and macro: the tag that ends its part of the block.
  void find_blocks() {
    std::vector<std::size_t> open;  // the newest tag of each block
    std::vector<std::string> kinds;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const std::string& word = keyword(i);
      if (word == "if" || word == "for" || word == "macro") {
        open.push_back(i);
        kinds.push_back(word);
        if (open.size() > kMaxBlocks) throw JinjaError(parts_[i].line, "blocks nest too deeply");
      } else if (word == "elif" || word == "else" || word == "endif" || word == "endfor" ||
                 word == "endmacro") {
        const bool ends = word.starts_with("end");
        const bool fits = !open.empty() && (ends ? word == "end" + kinds.back()
                                                 : kinds.back() == "if" ||
                                                       (kinds.back() == "for" && word == "else"));
        if (!fits) throw JinjaError(parts_[i].line, "'" + word + "' stands where it cannot");
        next_[open.back()] = i;
        open.back() = i;
        if (ends) {
          open.pop_back();
          kinds.pop_back();
        }
      }
    }
    if (!open.empty()) throw JinjaError(parts_[open.back()].line, "a block does not end");
  }

  void run(std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const JinjaPart& part = parts_[i];
      budget_.charge(1, part.line);
      if (part.kind == JinjaPart::Kind::data) {
        print(part.data, part.line);
      } else if (part.kind == JinjaPart::Kind::print) {
        JinjaExpression expression(part, scopes_, budget_);
        const JinjaValue value = expression.evaluate();
        expression.expect_end();
        print(jinja_printed(value, part.line), part.line);
      } else {
        i = run_statement(i);
      }
    }
  }

  void print(const std::string& text, std::size_t line) {
    budget_.charge(text.size(), line);
    out_ += text;
  }

  // The last part that belongs to the statement.
  std::size_t run_statement(std::size_t i) {
    const std::string& word = keyword(i);
    if (word == "if") return run_if(i);
    if (word == "for") return run_for(i);
    if (word == "macro") return next_[i];  // where one is called, its name is not known
    if (word == "set") {
      run_set(i);
    } else if (word != "generation" && word != "endgeneration") {
      throw JinjaError(parts_[i].line, "the statement " + printable(word) + " is not known");
    }
    return i;
  }

  std::size_t run_if(std::size_t i) {
    bool done = false;
    for (; keyword(i) != "endif"; i = next_[i]) {
      if (done) continue;
      JinjaExpression expression(parts_[i], scopes_, budget_);
      const std::string word = expression.take_name();
      done = word == "else" || jinja_is_true(expression.evaluate());
      expression.expect_end();
      if (done) run(i + 1, next_[i]);
    }
    return i;
  }

  std::size_t run_for(std::size_t i) {
    JinjaExpression head(parts_[i], scopes_, budget_);
    head.take_name();
    const std::string name = head.take_name();
    if (!head.accept_name("in")) head.refuse("a loop of an unknown kind");
    const JinjaValue list = head.evaluate_without_condition();
    head.expect_end();
    const bool nothing = list.is_discarded();
    if (!nothing && !list.is_array()) head.refuse("a loop over what is no list");
    const std::size_t body_end = next_[i];
    const std::size_t size = nothing ? 0 : list.size();
    for (std::size_t k = 0; k < size; ++k) {
      auto& scope = scopes_.emplace_back();
      scope[name] = list[k];
      scope["loop"] = loop_values(list, k);
      budget_.charge(scope["loop"], parts_[i].line);
      run(i + 1, body_end);
      scopes_.pop_back();
    }
    if (keyword(body_end) == "endfor") return body_end;
    if (size == 0) run(body_end + 1, next_[body_end]);
    return next_[body_end];
  }

  static JinjaValue loop_values(const JinjaValue& list, std::size_t k) {
    const std::size_t size = list.size();
    JinjaValue loop = {{"index", k + 1},       {"index0", k},
                       {"revindex", size - k}, {"revindex0", size - 1 - k},
                       {"first", k == 0},      {"last", k + 1 == size},
                       {"length", size}};
    loop["previtem"] = k > 0 ? list[k - 1] : jinja_undefined();
    loop["nextitem"] = k + 1 < size ? list[k + 1] : jinja_undefined();
    return loop;
  }

  void run_set(std::size_t i) {
    JinjaExpression expression(parts_[i], scopes_, budget_);
    expression.take_name();
    const std::string name = expression.take_name();
    const std::string field = expression.accept_sign(".") ? expression.take_name() : "";
    expression.expect_sign("=");
    JinjaValue value = expression.evaluate();
    expression.expect_end();
    budget_.charge(value, parts_[i].line, 1);
    if (field.empty()) {
      scopes_.back()[name] = std::move(value);
      return;
    }
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto it = scope->find(name);
      if (it == scope->end()) continue;
      if (!it->second.is_object()) break;
      it->second[field] = std::move(value);
      return;
    }
    expression.refuse("a field is set of what is no namespace");
  }

  std::vector<JinjaPart> parts_;
  std::vector<std::size_t> next_;
  JinjaScopes scopes_;
  JinjaBudget budget_;
  std::string out_;
};

}  // namespace

std::string render_jinja(std::string_view source, const nlohmann::json& variables) {
  if (source.size() > kMaxSourceBytes) throw JinjaError(1, "the template is too long");
  return Renderer(source, variables).render();
}

}  // namespace tovamill
