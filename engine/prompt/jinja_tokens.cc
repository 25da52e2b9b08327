#include "engine/prompt/jinja_tokens.h"

#include <algorithm>

#include "engine/text/utf8.h"
#include "kernels/types/printable.h"

namespace tovamill {
namespace {

constexpr std::string_view kJinjaSpace = " \t\n\r\f\v";

bool is_space(char c) { return kJinjaSpace.find(c) != std::string_view::npos; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// "\r\n" and "\r" become "\n"; one at the very end goes.
std::string with_plain_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Splitter {
 public:
  explicit Splitter(std::string_view source) : source_(with_plain_newlines(source)) {}

  std::vector<JinjaPart> split() {
    while (at_ < source_.size()) {
      const std::size_t open = find_tag();
      add_data(open);
      if (open < source_.size()) read_tag();
    }
    return std::move(parts_);
  }

 private:
  std::size_t find_tag() const {
    for (auto at = source_.find('{', at_); at != std::string::npos;
         at = source_.find('{', at + 1)) {
      const char next = at + 1 < source_.size() ? source_[at + 1] : ' ';
      if (next == '{' || next == '%' || next == '#') return at;
    }
    return source_.size();
  }

  // The text up to `end`, less what a tag there takes off it.
  void add_data(std::size_t end) {
    std::string data = source_.substr(at_, end - at_);
    const char sign = end + 2 < source_.size() ? source_[end + 2] : ' ';
    if (end < source_.size() && sign == '-') {
      while (!data.empty() && is_space(data.back())) data.pop_back();
    } else if (end < source_.size() && sign != '+' && source_[end + 1] != '{') {
      strip_indent(data);
    }
    if (!data.empty()) parts_.push_back({.data = std::move(data), .tokens = {}, .line = line_});
    advance(end);
  }

  // Blanks before a tag go where nothing else stands before it on its line.
  void strip_indent(std::string& data) const {
    const std::size_t newline = data.rfind('\n');
    const bool at_line_start = at_ == 0 || source_[at_ - 1] == '\n';
    if (newline == std::string::npos && !at_line_start) return;
    const std::size_t start = newline == std::string::npos ? 0 : newline + 1;
    if (std::all_of(data.begin() + static_cast<std::ptrdiff_t>(start), data.end(), is_space)) {
      data.resize(start);
    }
  }

  void read_tag() {
    const char kind = source_[at_ + 1];
    const std::size_t line = line_;
    advance(at_ + 2);
    if (kind == '#') return skip_comment(line);
    if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) ++at_;
    const bool prints = kind == '{';
    JinjaPart part{.kind = prints ? JinjaPart::Kind::print : JinjaPart::Kind::statement,
                   .data = {},
                   .tokens = {},
                   .line = line};
    const std::string_view close = prints ? "}}" : "%}";
    while (!ends_tag(close)) {
      if (at_ >= source_.size()) throw JinjaError(line, "a tag does not end");
      if (is_space(source_[at_])) {
        advance(at_ + 1);
      } else {
        part.tokens.push_back(read_token());
      }
    }
    part.tokens.push_back({});
    parts_.push_back(std::move(part));
    end_tag(!prints);
  }

  bool ends_tag(std::string_view close) const {
    if (open_brackets_ > 0 || at_ >= source_.size()) return false;
    const std::string_view rest = std::string_view(source_).substr(at_);
    return rest.starts_with(close) ||
           ((rest[0] == '-' || rest[0] == '+') && rest.substr(1).starts_with(close));
  }

  void skip_comment(std::size_t line) {
    const std::size_t close = source_.find("#}", at_);
    if (close == std::string::npos) throw JinjaError(line, "a comment does not end");
    const bool minus = close > at_ && (source_[close - 1] == '-' || source_[close - 1] == '+');
    advance(minus ? close - 1 : close);
    end_tag(true);
  }

  // Behind the closing sign: "-" takes all white space off, a statement's end one newline.
  void end_tag(bool takes_newline) {
    const char sign = source_[at_];
    advance(at_ + (sign == '-' || sign == '+' ? 3 : 2));
    if (sign == '-') {
      while (at_ < source_.size() && is_space(source_[at_])) advance(at_ + 1);
    } else if (sign != '+' && takes_newline && at_ < source_.size() && source_[at_] == '\n') {
      advance(at_ + 1);
    }
  }

  JinjaToken read_token() {
    const char c = source_[at_];
    if (c == '\'' || c == '"') return {JinjaToken::Kind::text, read_text(c)};
    const std::size_t begin = at_;
    if (is_letter(c) || is_digit(c)) {
      const bool integer = is_digit(c);
      while (at_ < source_.size() &&
             (is_digit(source_[at_]) || (!integer && is_letter(source_[at_])))) {
        ++at_;
      }
      return {integer ? JinjaToken::Kind::integer : JinjaToken::Kind::name,
              source_.substr(begin, at_ - begin)};
    }
    const std::string_view two = std::string_view(source_).substr(at_, 2);
    for (const std::string_view sign : {"==", "!=", "<=", ">=", "//", "**"}) {
      if (two == sign) return read_sign(2);
    }
    if (std::string_view("+-*/%~|.,:()[]{}=<>").find(c) == std::string_view::npos) {
      throw JinjaError(line_, "the character " + printable(two.substr(0, 1)) + " is not known");
    }
    if (c == '(' || c == '[' || c == '{') ++open_brackets_;
    if (c == ')' || c == ']' || c == '}') --open_brackets_;
    if (open_brackets_ < 0) throw JinjaError(line_, "a bracket closes that was not opened");
    return read_sign(1);
  }

  JinjaToken read_sign(std::size_t length) {
    at_ += length;
    return {JinjaToken::Kind::sign, source_.substr(at_ - length, length)};
  }

  std::string read_text(char quote) {
    std::string out;
    const std::size_t line = line_;
    for (advance(at_ + 1); at_ < source_.size() && source_[at_] != quote;) {
      if (source_[at_] == '\\') {
        advance(at_ + 1);
        out += read_escape();
      } else {
        out += source_[at_];
        advance(at_ + 1);
      }
    }
    if (at_ >= source_.size()) throw JinjaError(line, "a string does not end");
    ++at_;
    return out;
  }

  // What a backslash makes of what follows it, as in Python.
  std::string read_escape() {
    if (at_ >= source_.size()) return {};
    const char c = source_[at_];
    advance(at_ + 1);
    constexpr std::string_view kNames = "ntr\\'\"abfv", kValues = "\n\t\r\\'\"\a\b\f\v";
    if (c == '\n') return {};
    if (const auto i = kNames.find(c); i != std::string_view::npos) return {kValues[i]};
    if (c == 'u' || c == 'x') return read_code_point(c == 'u' ? 4 : 2);
    if (is_digit(c) || c == 'U' || c == 'N') {
      throw JinjaError(line_, "the escape of a string is not known");
    }
    return {'\\', c};
  }

  std::string read_code_point(std::size_t n_digits) {
    char32_t code = 0;
    for (std::size_t i = 0; i < n_digits; ++i, ++at_) {
      const std::string_view digits = "0123456789abcdefABCDEF";
      const auto digit = at_ < source_.size() ? digits.find(source_[at_]) : std::string_view::npos;
      if (digit == std::string_view::npos) {
        throw JinjaError(line_, "the escape of a string is not known");
      }
      code = 16 * code + static_cast<char32_t>(digit < 16 ? digit : digit - 6);
    }
    if (code >= 0xd800 && code < 0xe000) {
      throw JinjaError(line_, "the escape of a string is not known");
    }
    std::string out;
    append_utf8(out, code);
    return out;
  }

  void advance(std::size_t to) {
    line_ += static_cast<std::size_t>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                                 source_.begin() + static_cast<std::ptrdiff_t>(to),
                                                 '\n'));
    at_ = to;
  }

  std::string source_;
  std::size_t at_ = 0, line_ = 1;
  int open_brackets_ = 0;
  std::vector<JinjaPart> parts_;
};

}  // namespace

std::vector<JinjaPart> split_jinja(std::string_view source) { return Splitter(source).split(); }

}  // namespace tovamill
