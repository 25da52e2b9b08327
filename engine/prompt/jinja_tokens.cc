#include "engine/prompt/jinja_tokens.h"

#include <algorithm>

#include "engine/text/python_text.h"
#include "engine/text/utf8.h"
#include "kernels/types/printable.h"

namespace tovamill {
namespace {

// The white space at the end of `text`, in bytes; of what Python's str.isspace() says.
std::size_t trailing_blank(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    const std::size_t begin = previous_utf8(text, end);
    if (!is_python_space(decode_utf8(text, begin).value)) break;
    end = begin;
  }
  return text.size() - end;
}

// The length of the white space character at `at`; 0: there is none.
std::size_t blank_at(std::string_view text, std::size_t at) {
  const auto [c, length] = decode_utf8(text, at);
  return is_python_space(c) ? length : 0;
}

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
      data.resize(data.size() - trailing_blank(data));
    } else if (end < source_.size() && sign != '+' && source_[end + 1] != '{') {
      strip_indent(data);
    }
    if (!data.empty()) {
      parts_.push_back({.data = std::move(data), .tokens = {}, .place = place_});
    }
    advance(end);
  }

  // Blanks before a tag go where nothing else stands before it on its line.
  void strip_indent(std::string& data) const {
    const std::size_t newline = data.rfind('\n');
    const bool at_line_start = at_ == 0 || source_[at_ - 1] == '\n';
    if (newline == std::string::npos && !at_line_start) return;
    const std::size_t start = newline == std::string::npos ? 0 : newline + 1;
    if (trailing_blank(std::string_view(data).substr(start)) == data.size() - start) {
      data.resize(start);
    }
  }

  void read_tag() {
    const char kind = source_[at_ + 1];
    const JinjaPlace begin = place_;
    if (kind == '#') {
      advance(at_ + 2);
      return skip_comment(begin);
    }
    if (const std::size_t raw = length_of_tag(at_, "raw"); kind == '%' && raw > 0) {
      return read_raw(raw);
    }
    advance(at_ + 2);
    if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) advance(at_ + 1);
    const bool prints = kind == '{';
    JinjaPart part{.kind = prints ? JinjaPart::Kind::print : JinjaPart::Kind::statement,
                   .data = {},
                   .tokens = {},
                   .place = begin};
    const std::string_view close = prints ? "}}" : "%}";
    while (!ends_tag(close)) {
      if (at_ >= source_.size()) throw JinjaError(begin, "a tag does not end");
      if (const std::size_t blank = blank_at(source_, at_); blank > 0) {
        advance(at_ + blank);
      } else {
        const JinjaPlace place = place_;
        part.tokens.push_back(read_token());
        part.tokens.back().place = place;
      }
    }
    part.tokens.push_back({JinjaToken::Kind::end, "", place_});
    parts_.push_back(std::move(part));
    end_tag(!prints);
  }

  // The length of the tag {% word %} at `at`, up to its "%}"; 0 where there is another.
  std::size_t length_of_tag(std::size_t at, std::string_view word) const {
    const std::string_view rest = std::string_view(source_).substr(at);
    std::size_t i = 2;
    if (!rest.starts_with("{%")) return 0;
    if (i < rest.size() && (rest[i] == '-' || rest[i] == '+')) ++i;
    while (blank_at(rest, i) > 0) i += blank_at(rest, i);
    if (!rest.substr(i).starts_with(word)) return 0;
    i += word.size();
    while (blank_at(rest, i) > 0) i += blank_at(rest, i);
    if (i < rest.size() && (rest[i] == '-' || rest[i] == '+')) ++i;
    return rest.substr(i).starts_with("%}") ? i + 2 : 0;
  }

  void end_raw_tag(std::size_t length, bool takes_newline) {
    const char sign = source_[at_ + length - 3];
    const bool has_sign = sign == '-' || sign == '+';
    advance(at_ + length - (has_sign ? 3 : 2));
    end_tag(takes_newline, has_sign);
  }

  // Behind {% raw %} everything is text up to {% endraw %}.
  void read_raw(std::size_t length) {
    const JinjaPlace begin = place_;
    end_raw_tag(length, false);
    for (auto at = source_.find("{%", at_); at != std::string::npos;
         at = source_.find("{%", at + 1)) {
      const std::size_t end = length_of_tag(at, "endraw");
      if (end == 0) continue;
      add_data(at);
      return end_raw_tag(end, true);
    }
    throw JinjaError(begin, "a raw block does not end");
  }

  bool ends_tag(std::string_view close) const {
    if (open_brackets_ > 0 || at_ >= source_.size()) return false;
    const std::string_view rest = std::string_view(source_).substr(at_);
    return rest.starts_with(close) ||
           ((rest[0] == '-' || rest[0] == '+') && rest.substr(1).starts_with(close));
  }

  void skip_comment(JinjaPlace begin) {
    const std::size_t close = source_.find("#}", at_);
    if (close == std::string::npos) throw JinjaError(begin, "a comment does not end");
    const bool has_sign = close > at_ && (source_[close - 1] == '-' || source_[close - 1] == '+');
    advance(has_sign ? close - 1 : close);
    end_tag(true, has_sign);
  }

  void end_tag(bool takes_newline) {
    end_tag(takes_newline, source_[at_] == '-' || source_[at_] == '+');
  }

  // At the closing sign, or the "+" or "-" before it: "-" takes all white space off, a statement's
  // end one newline.
  void end_tag(bool takes_newline, bool has_sign) {
    const char sign = has_sign ? source_[at_] : ' ';
    advance(at_ + (has_sign ? 3 : 2));
    if (sign == '-') {
      while (blank_at(source_, at_) > 0) advance(at_ + blank_at(source_, at_));
    } else if (sign != '+' && takes_newline && at_ < source_.size() && source_[at_] == '\n') {
      advance(at_ + 1);
    }
  }

  JinjaToken read_token() {
    const char c = source_[at_];
    if (c == '\'' || c == '"') return {JinjaToken::Kind::text, read_text(c), {}};
    if (is_digit(c)) return read_number();
    const std::size_t begin = at_;
    if (is_letter(c)) {
      std::size_t end = at_;
      while (end < source_.size() && (is_digit(source_[end]) || is_letter(source_[end]))) ++end;
      advance(end);
      return {JinjaToken::Kind::name, source_.substr(begin, at_ - begin), {}};
    }
    const std::string_view two = std::string_view(source_).substr(at_, 2);
    for (const std::string_view sign : {"==", "!=", "<=", ">=", "//", "**"}) {
      if (two == sign) return read_sign(2);
    }
    if (std::string_view("+-*/%~|.,:()[]{}=<>").find(c) == std::string_view::npos) {
      throw JinjaError(
          place_, "the character " + printable(two.substr(0, utf8_length(c))) + " is not known");
    }
    if (c == '(' || c == '[' || c == '{') ++open_brackets_;
    if (c == ')' || c == ']' || c == '}') --open_brackets_;
    if (open_brackets_ < 0) throw JinjaError(place_, "a bracket closes that was not opened");
    return read_sign(1);
  }

  // 12, 1_000, 1.5, 2e3.
  JinjaToken read_number() {
    const std::size_t begin = at_;
    std::size_t end = at_;
    const auto take_digits = [&] {
      while (end < source_.size() && (is_digit(source_[end]) || source_[end] == '_')) ++end;
    };
    take_digits();
    bool real = false;
    if (end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1])) {
      real = true;
      ++end;
      take_digits();
    }
    if (end < source_.size() && is_letter(source_[end]) && source_[end] != '_') {
      throw JinjaError(place_, "a number of an unknown kind");
    }
    advance(end);
    std::string digits = source_.substr(begin, end - begin);
    std::erase(digits, '_');
    return {real ? JinjaToken::Kind::real : JinjaToken::Kind::integer, std::move(digits), {}};
  }

  JinjaToken read_sign(std::size_t length) {
    advance(at_ + length);
    return {JinjaToken::Kind::sign, source_.substr(at_ - length, length), {}};
  }

  std::string read_text(char quote) {
    std::string out;
    const JinjaPlace begin = place_;
    for (advance(at_ + 1); at_ < source_.size() && source_[at_] != quote;) {
      if (source_[at_] == '\\') {
        advance(at_ + 1);
        out += read_escape();
      } else {
        out += source_[at_];
        advance(at_ + 1);
      }
    }
    if (at_ >= source_.size()) throw JinjaError(begin, "a string does not end");
    advance(at_ + 1);
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
      throw JinjaError(place_, "the escape of a string is not known");
    }
    return {'\\', c};
  }

  std::string read_code_point(std::size_t n_digits) {
    char32_t code = 0;
    for (std::size_t i = 0; i < n_digits; ++i, advance(at_ + 1)) {
      const std::string_view digits = "0123456789abcdefABCDEF";
      const auto digit = at_ < source_.size() ? digits.find(source_[at_]) : std::string_view::npos;
      if (digit == std::string_view::npos) {
        throw JinjaError(place_, "the escape of a string is not known");
      }
      code = 16 * code + static_cast<char32_t>(digit < 16 ? digit : digit - 6);
    }
    if (code >= 0xd800 && code < 0xe000) {
      throw JinjaError(place_, "the escape of a string is not known");
    }
    std::string out;
    append_utf8(out, code);
    return out;
  }

  void advance(std::size_t to) {
    for (; at_ < to && at_ < source_.size(); ++at_) {
      if (source_[at_] == '\n') {
        place_ = {place_.line + 1, 1};
      } else if ((static_cast<unsigned char>(source_[at_]) & 0xc0u) != 0x80u) {
        ++place_.column;
      }
    }
    at_ = to;
  }

  std::string source_;
  std::size_t at_ = 0;
  JinjaPlace place_;
  int open_brackets_ = 0;
  std::vector<JinjaPart> parts_;
};

}  // namespace

std::vector<JinjaPart> split_jinja(std::string_view source) { return Splitter(source).split(); }

}  // namespace tovamill
