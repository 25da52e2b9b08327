#include "engine/tokenizer/regex_class.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "engine/text/utf8.h"
#include "engine/tokenizer/tokenizer_json.h"
#include "kernels/types/printable.h"

namespace tovamill {
namespace {

constexpr int kMaxClasses = 32;  // of classes in classes: each is a level of the C stack
constexpr char32_t kLastCodePoint = 0x10ffff;

bool is_surrogate(char32_t c) { return c >= 0xd800 && c <= 0xdfff; }

void append_readable(std::string& out, char32_t c) {
  if (c >= 0x20 && c < 0x7f) {
    out += static_cast<char>(c);
  } else {
    append_regex_character(out, c);
  }
}

// `n_least` to `n_most` hexadecimal digits; nullopt where there are fewer.
std::optional<char32_t> hexadecimal(RegexInput& in, int n_least, int n_most) {
  char32_t value = 0;
  int n = 0;
  for (; n < n_most && !in.at_end(); ++n) {
    const auto digit = std::string_view("0123456789abcdefABCDEF").find(in.peek());
    if (digit == std::string_view::npos) break;
    value = value * 16 + static_cast<char32_t>(digit < 16 ? digit : digit - 6);
    in.at += 1;
  }
  return n < n_least ? std::nullopt : std::optional(value);
}

// \p{Punct} has no symbols, other than [[:punct:]].
std::optional<CodePointSet> property_set(const std::string& name) {
  std::string lower = name;
  std::ranges::transform(lower, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  });
  if (lower == "word" || lower == "numeric") return std::nullopt;
  return unicode_set(lower == "punct" ? "P" : lower);
}

// The set of \p{..} with the input behind the 'p'.
CodePointSet property(RegexInput& in, std::size_t begin, bool negated) {
  const std::size_t end = in.pattern.find('}', in.at);
  if (!in.take("{") || end == std::string_view::npos)
    in.refuse(begin, "a \\p or \\P without its {name}");
  if (in.take("^")) negated = !negated;
  const std::string name(in.pattern.substr(in.at, end - in.at));
  const auto set = property_set(name);
  if (!set) in.refuse(begin, "the property " + printable(name));
  in.at = end + 1;
  return negated ? complement(*set) : *set;
}

class ClassReader {
 public:
  ClassReader(RegexInput& in, bool ignores_case) : in_(in), ignores_case_(ignores_case) {}

  std::string read(int depth);

 private:
  // A range, a single character or a set; `is_character`: what a '-' may stand behind.
  std::string item(int depth, bool is_first);
  std::string posix();
  char32_t character();

  RegexInput& in_;
  bool ignores_case_;
};

std::string ClassReader::read(int depth) {
  const std::size_t begin = in_.at;
  if (depth > kMaxClasses) in_.refuse(begin, "classes nested too deeply");
  in_.at += 1;
  const bool is_negated = in_.take("^");
  std::string out = is_negated ? "[^" : "[";
  bool is_first = true, is_empty = true;
  while (true) {
    if (in_.at_end()) in_.refuse(begin, "a class that does not end");
    if (in_.starts_with("]") || in_.starts_with("&&")) {
      if (is_empty) in_.refuse(begin, "a class with nothing in it, or on one side of '&&'");
      if (in_.take("]")) return out + "]";
      // Oniguruma's own [^[^..]&&[^..]] loses what lies beyond ASCII.
      if (is_negated) in_.refuse(begin, "a negated class with '&&'");
      in_.at += 2;
      out += "&&";
      is_empty = true;
      is_first = false;
      continue;
    }
    const std::string next = item(depth, is_first);
    out += next;
    is_empty = is_empty && next.empty();
    is_first = false;
  }
}

std::string ClassReader::item(int depth, bool is_first) {
  const std::size_t begin = in_.at;
  if (in_.starts_with("[:")) return posix();
  if (in_.starts_with("[")) return read(depth + 1);
  std::string out;
  if (in_.peek() == '-') {
    in_.at += 1;
    if (!(is_first || in_.starts_with("]")) || in_.starts_with("-"))
      in_.refuse(begin, "a '-' that is neither first nor last in its class nor between characters");
    append_regex_character(out, U'-');
    return out;
  }
  if (in_.peek() == '\\') {
    if (const auto set = read_regex_set(in_, ignores_case_, /*in_class=*/true)) {
      if (in_.starts_with("-") && !in_.starts_with("-]"))
        in_.refuse(begin, "a range that begins with a set");
      return regex_ranges(*set);
    }
  }
  const char32_t first = character();
  append_regex_character(out, first);
  if (!in_.starts_with("-") || in_.starts_with("-]")) return out;
  in_.at += 1;
  if (in_.at_end() || in_.peek() == '[' || in_.starts_with("&&"))
    in_.refuse(begin, "a range without an end");
  const char32_t last = character();
  if (last < first) in_.refuse(begin, "a range that ends before it begins");
  if (is_surrogate(first) || is_surrogate(last)) in_.refuse(begin, "a range of surrogates");
  out += '-';
  append_regex_character(out, last);
  return out;
}

char32_t ClassReader::character() {
  const std::size_t begin = in_.at;
  if (in_.peek() == '\\' && in_.pattern.substr(begin + 1).starts_with("b"))
    in_.refuse(begin, "\\b in a class");
  const char32_t c = in_.peek() == '\\' ? read_regex_escape(in_) : in_.next_character();
  if (ignores_case_ && c >= 0x80) in_.refuse(begin, "a letter beyond ASCII where case is ignored");
  return c;
}

// [:name:] or [:^name:]
std::string ClassReader::posix() {
  constexpr std::string_view kNames[] = {"alnum", "alpha", "ascii", "blank", "cntrl",
                                         "digit", "graph", "lower", "print", "punct",
                                         "space", "upper", "word",  "xdigit"};
  const std::size_t begin = in_.at;
  in_.at += 2;
  const bool negated = in_.take("^");
  const std::size_t end = in_.pattern.find(":]", in_.at);
  const std::string name(in_.pattern.substr(in_.at, end - in_.at));
  const bool is_known = std::ranges::find(kNames, name) != std::end(kNames);
  if (end == std::string_view::npos || !is_known)
    in_.refuse(begin, "the bracket expression [:" + regex_text(name) + ":]");
  if (ignores_case_) in_.refuse(begin, "[:" + name + ":] where case is ignored");
  in_.at = end + 2;
  const CodePointSet set = *unicode_set(name);
  return regex_ranges(negated ? complement(set) : set);
}

}  // namespace

char32_t RegexInput::next_character() {
  const auto [c, length] = decode_utf8(pattern, at);
  at += length;
  return c;
}

std::string RegexInput::character_text() const {
  if (at_end()) return "";
  std::string out;
  append_readable(out, decode_utf8(pattern, at).value);
  return out;
}

std::string regex_text(std::string_view pattern) {
  constexpr std::size_t kLongest = 80;
  std::string out = "'";
  std::size_t at = 0;
  while (at < pattern.size() && out.size() < kLongest) {
    const auto [c, length] = decode_utf8(pattern, at);
    append_readable(out, c);
    at += length;
  }
  return out += at < pattern.size() ? "...'" : "'";
}

void RegexInput::refuse(std::size_t begin, const std::string& construct) const {
  tovamill::refuse(where, "the regular expression " + regex_text(pattern) + " has " + construct +
                              " at its byte " + std::to_string(begin) + ", which is not supported");
}

bool is_regex_name(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

void append_regex_character(std::string& out, char32_t code) {
  if (code < 0x80 && is_regex_name(static_cast<char>(code))) {
    out += static_cast<char>(code);
    return;
  }
  char text[16];
  std::snprintf(text, sizeof text, "\\x{%x}", static_cast<unsigned>(code));
  out += text;
}

std::string regex_ranges(const CodePointSet& set) {
  std::string out;
  const auto add = [&](char32_t first, char32_t last) {
    if (first > last) return;
    append_regex_character(out, first);
    if (first == last) return;
    out += '-';
    append_regex_character(out, last);
  };
  for (const auto& [first, last] : set) {
    add(first, std::min<char32_t>(last, 0xd7ff));
    add(std::max<char32_t>(first, 0xe000), last);
  }
  return out;
}

std::optional<CodePointSet> read_regex_set(RegexInput& in, bool ignores_case, bool in_class) {
  const std::size_t begin = in.at;
  const char c = in.pattern.size() > begin + 1 ? in.pattern[begin + 1] : '\0';
  if (std::string_view("wWsSdDhHpP").find(c) == std::string_view::npos) return std::nullopt;
  if (ignores_case && c != 's' && c != 'd')
    in.refuse(begin, std::string("\\") + c + " where case is ignored");
  in.at += 2;
  CodePointSet set;
  if (c == 'p' || c == 'P') {
    set = property(in, begin, c == 'P');
    if (set.empty() || regex_ranges(set).empty()) in.refuse(begin, "a property of no character");
    return set;
  }
  const char lower = static_cast<char>(c | 0x20);
  if (lower == 'w') {
    set = in_class ? *unicode_set("word") : regex_word_set();
  } else {
    set = *unicode_set(lower == 's' ? "space" : lower == 'd' ? "digit" : "xdigit");
  }
  return c == lower ? set : complement(set);
}

CodePointSet regex_word_set() {
  CodePointSet set = *unicode_set("word");
  for (const CodePointRange range : {CodePointRange{0xb2, 0xb3}, {0xb9, 0xb9}, {0xbc, 0xbe}})
    set.push_back(range);
  return united(std::move(set));
}

char32_t read_regex_escape(RegexInput& in) {
  const std::size_t begin = in.at;
  in.at += 1;
  if (in.at_end()) in.refuse(begin, "a backslash at its end");
  const char c = in.peek();
  constexpr std::string_view kLetters = "tnvfrae", kCodes = "\t\n\v\f\r\a\x1b";
  if (const auto i = kLetters.find(c); i != std::string_view::npos) {
    in.at += 1;
    return static_cast<char32_t>(kCodes[i]);
  }
  if (c == 'x' || c == 'u') {
    in.at += 1;
    const bool braces = c == 'x' && in.take("{");
    const auto code =
        braces ? hexadecimal(in, 1, 8) : hexadecimal(in, c == 'x' ? 2 : 4, c == 'x' ? 2 : 4);
    if (!code || (braces && !in.take("}")) || *code > kLastCodePoint || is_surrogate(*code) ||
        (c == 'x' && !braces && *code >= 0x80))
      in.refuse(begin, "an escape that is not \\xHH below 80, \\x{H} or \\uHHHH of a character");
    return *code;
  }
  const auto byte = static_cast<unsigned char>(c);
  if (byte >= 0x80 || byte < 0x20 || byte == 0x7f || (is_regex_name(c) && c != '_'))
    in.refuse(begin, "the escape \\" + in.character_text());
  in.at += 1;
  return byte;
}

std::string read_regex_class(RegexInput& in, bool ignores_case) {
  return ClassReader(in, ignores_case).read(0);
}

}  // namespace tovamill
