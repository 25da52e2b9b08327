// Reading of statements.
#include "engine/prompt/jinja_syntax.h"
#include "engine/text/utf8.h"
#include "kernels/types/printable.h"

namespace tovamill {
namespace {

constexpr int kMaxBlocks = 50;                    // inside each other
constexpr std::size_t kMaxSourceBytes = 1 << 20;  // the longest known templates have some 40 KB

using NodeKind = JinjaNode::Kind;
using PartKind = JinjaPart::Kind;

class StatementReader {
 public:
  explicit StatementReader(std::string_view source) : parts_(split_jinja(source)) {}

  JinjaBody read() {
    JinjaBody body = read_body({});
    if (at_ < parts_.size()) {
      throw JinjaError(parts_[at_].place, printable(keyword()) + " stands where it cannot");
    }
    return body;
  }

 private:
  // The word that a statement begins with; empty for what is none.
  const std::string& keyword() const {
    static const std::string none;
    const JinjaPart& part = parts_[at_];
    const bool named =
        part.kind == PartKind::statement && part.tokens.front().kind == JinjaToken::Kind::name;
    return named ? part.tokens.front().text : none;
  }

  // Up to a statement that begins with one of `ends`, or one that ends or continues a block.
  JinjaBody read_body(std::initializer_list<std::string_view> ends) {
    JinjaBody body;
    for (; at_ < parts_.size(); ++at_) {
      const std::string& word = keyword();
      for (const std::string_view end : ends) {
        if (word == end) return body;
      }
      if (word.starts_with("end") || word == "else" || word == "elif") {
        throw JinjaError(parts_[at_].place, printable(word) + " stands where it cannot");
      }
      read_part(body);
    }
    if (ends.size() > 0) throw JinjaError(open_.back(), "a block does not end");
    return body;
  }

  void read_part(JinjaBody& body) {
    const JinjaPart& part = parts_[at_];
    JinjaNode& node = body.emplace_back();
    node.place = part.place;
    if (part.kind == PartKind::data) {
      if (find_invalid_utf8(part.data)) throw JinjaError(part.place, "it is not UTF-8");
      node.text = jinja_text(part.data);
      return;
    }
    JinjaExpressionReader reader(part.tokens, part.place);
    if (part.kind == PartKind::print) {
      node.kind = NodeKind::print;
      node.expression = reader.read_maybe_list();
      reader.expect_end();
    } else {
      read_statement(node, reader);
    }
  }

  void read_statement(JinjaNode& node, JinjaExpressionReader& reader) {
    const std::string word = keyword();
    if (!word.empty()) reader.take_name();
    const Block block(*this, node.place);
    if (word == "if") return read_if(node, reader);
    if (word == "for") return read_for(node, reader);
    if (word == "set") return read_set(node, reader);
    if (word == "macro") return read_macro(node, reader);
    if (word == "filter") return read_filter(node, reader);
    if (word == "with") return read_with(node, reader);
    if (word == "generation") {
      node.kind = NodeKind::group;
      reader.expect_end();
      return read_bodies(node, {"endgeneration"});
    }
    const bool leaves = word == "break", goes_on = word == "continue";
    if (leaves || goes_on) {
      reader.expect_end();
      node.kind = leaves ? NodeKind::leave_loop : NodeKind::next_round;
      return;
    }
    node.kind = NodeKind::unknown;
    node.name = word;
    if (word == "call" || word == "block" || word == "autoescape") {
      ++at_;
      read_bodies_of_unknown(node, "end" + word);
    }
  }

  void read_bodies_of_unknown(JinjaNode& node, const std::string& end) {
    node.bodies.push_back(read_body({std::string_view(end)}));
  }

  // The bodies of a block behind its first tag: one before each of `ends`, of which the last ends
  // the block.
  void read_bodies(JinjaNode& node, std::initializer_list<std::string_view> ends) {
    ++at_;
    node.bodies.push_back(read_body(ends));
    expect_bare_tag();
  }

  void expect_bare_tag() const {
    JinjaExpressionReader tag(parts_[at_].tokens, parts_[at_].place);
    const std::string word = tag.take_name();
    if (word == "endmacro" || word == "endset" || word == "endfilter") return;
    tag.expect_end();
  }

  void read_if(JinjaNode& node, JinjaExpressionReader& reader) {
    node.kind = NodeKind::branches;
    node.branches.push_back(reader.read_maybe_list());
    reader.expect_end();
    while (true) {
      ++at_;
      const bool is_else = node.branches.back() == nullptr;
      node.bodies.push_back(is_else ? read_body({"endif"}) : read_body({"elif", "else", "endif"}));
      JinjaExpressionReader tag(parts_[at_].tokens, parts_[at_].place);
      const std::string word = tag.take_name();
      if (word == "elif") {
        node.branches.push_back(tag.read_maybe_list());
      } else if (word == "else") {
        node.branches.emplace_back();
      }
      tag.expect_end();
      if (word == "endif") return;
    }
  }

  // "a" or "a, b", also in brackets.
  static std::vector<std::string> read_targets(JinjaExpressionReader& reader) {
    const bool bracket = reader.accept_sign("(");
    std::vector<std::string> names{reader.take_name()};
    while (reader.accept_sign(",")) names.push_back(reader.take_name());
    if (bracket) reader.expect_sign(")");
    for (const std::string& name : names) {
      if (name == "loop") reader.refuse("the name 'loop' is given");
    }
    return names;
  }

  void read_for(JinjaNode& node, JinjaExpressionReader& reader) {
    node.kind = NodeKind::loop;
    node.names = read_targets(reader);
    if (!reader.accept_name("in")) reader.refuse("'in' is missing");
    node.expression = reader.read_without_condition();
    if (reader.accept_name("if")) node.filter = reader.read();
    if (reader.accept_name("recursive")) node.name = "recursive";
    reader.expect_end();
    read_bodies(node, {"else", "endfor"});
    if (keyword() == "else") read_bodies(node, {"endfor"});
  }

  void read_set(JinjaNode& node, JinjaExpressionReader& reader) {
    node.kind = NodeKind::set;
    node.names = read_targets(reader);
    if (node.names.size() == 1 && reader.accept_sign(".")) node.field = reader.take_name();
    if (reader.accept_sign("=")) {
      node.expression = reader.read_maybe_list();
      return reader.expect_end();
    }
    node.kind = NodeKind::set_block;
    if (node.names.size() != 1) reader.refuse("'=' is missing");
    if (reader.accept_sign("|")) node.expression = reader.read_filters_of(block_text());
    reader.expect_end();
    read_bodies(node, {"endset"});
  }

  static JinjaExpressionPointer block_text() {
    auto text = std::make_unique<JinjaExpression>();
    text->kind = JinjaExpression::Kind::variable;
    text->name = kJinjaBlockText;
    return text;
  }

  void read_macro(JinjaNode& node, JinjaExpressionReader& reader) {
    node.kind = NodeKind::macro;
    node.name = reader.take_name();
    reader.expect_sign("(");
    while (!reader.accept_sign(")")) {
      node.names.push_back(reader.take_name());
      node.branches.push_back(reader.accept_sign("=") ? reader.read() : nullptr);
      if (!reader.accept_sign(",")) {
        reader.expect_sign(")");
        break;
      }
    }
    reader.expect_end();
    read_bodies(node, {"endmacro"});
  }

  void read_filter(JinjaNode& node, JinjaExpressionReader& reader) {
    node.kind = NodeKind::filtered;
    node.expression = reader.read_filters_of(block_text());
    reader.expect_end();
    read_bodies(node, {"endfilter"});
  }

  void read_with(JinjaNode& node, JinjaExpressionReader& reader) {
    node.kind = NodeKind::scope;
    while (!reader.next_is(JinjaToken::Kind::end, "")) {
      node.names.push_back(reader.take_name());
      reader.expect_sign("=");
      node.branches.push_back(reader.read());
      if (!reader.accept_sign(",")) break;
    }
    reader.expect_end();
    read_bodies(node, {"endwith"});
  }

  // A statement that is being read; how many there are inside each other.
  class Block {
   public:
    Block(StatementReader& reader, JinjaPlace place) : reader_(reader) {
      if (reader_.open_.size() >= kMaxBlocks) throw JinjaError(place, "blocks nest too deeply");
      reader_.open_.push_back(place);
    }
    ~Block() { reader_.open_.pop_back(); }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

   private:
    StatementReader& reader_;
  };

  std::vector<JinjaPart> parts_;
  std::size_t at_ = 0;
  std::vector<JinjaPlace> open_;
};

}  // namespace

JinjaBody read_jinja(std::string_view source) {
  if (source.size() > kMaxSourceBytes) throw JinjaError({}, "the template is too long");
  return StatementReader(source).read();
}

}  // namespace tovamill
