#include "engine/tokenizer/regex_syntax.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <vector>

#include "engine/text/unicode_sets.h"
#include "engine/tokenizer/regex_class.h"

namespace tovamill {
namespace {

constexpr int kMaxGroups = 64;  // of groups in groups: each is a level of the C stack
constexpr int kMaxRepeat = 1000;
constexpr int kFewRepeats = 16;  // of a character that nobody counts

class RegexReader {
 public:
  RegexReader(std::string_view pattern, const std::string& where) : in_{pattern, where} {}

  std::string read() {
    alternatives({});
    if (!in_.at_end()) in_.refuse(in_.at, "a ')' without its '('");
    return std::move(out_);
  }

 private:
  // What the groups around a place say.
  struct Context {
    int depth = 0;
    bool ignores_case = false;
    bool looks_behind = false;
  };
  struct Uncounted {
    std::size_t begin, end;
  };

  void alternatives(Context context);
  void atom(Context& context);
  void one(Context& context);
  void group(Context& context);
  void options(Context& context, std::size_t begin);
  void inner(Context context, std::string_view opening, std::size_t begin);
  void escape(const Context& context);
  void word_boundary(const Context& context, bool is_one, std::size_t begin);
  void quantifier();
  int interval(std::size_t begin);
  void character(const Context& context, char32_t code, std::size_t begin);
  void count_characters();
  std::optional<int> number();

  RegexInput in_;
  std::string out_;
  bool repeats_ = false;  // whether the last atom may be repeated
  std::size_t atom_ = 0;  // where it begins in out_
  // Single characters in out_. Oniguruma compares them, also in loops, without asking for their
  // length, so that Regex does not count them; it asks for that of members of a class.
  std::vector<Uncounted> uncounted_;
};

void RegexReader::alternatives(Context context) {
  if (context.depth > kMaxGroups) in_.refuse(in_.at, "groups nested too deeply");
  repeats_ = false;
  while (!in_.at_end() && in_.peek() != ')') {
    if (in_.take("|")) {
      out_ += '|';
      repeats_ = false;
      continue;
    }
    atom(context);
  }
}

void RegexReader::atom(Context& context) {
  const char c = in_.peek();
  if (c == '*' || c == '+' || c == '?' || c == '{') return quantifier();
  const std::size_t begin = out_.size();
  one(context);
  atom_ = begin;
}

void RegexReader::one(Context& context) {
  const std::size_t begin = in_.at;
  const char c = in_.peek();
  if (c == '(') return group(context);
  if (c == '\\') return escape(context);
  repeats_ = c != '^' && c != '$';
  if (c == '[') {
    out_ += read_regex_class(in_, context.ignores_case);
  } else if (c == '^' || c == '$' || c == '.') {
    in_.at += 1;
    out_ += c;
  } else {
    character(context, in_.next_character(), begin);
  }
}

void RegexReader::character(const Context& context, char32_t code, std::size_t begin) {
  if (context.ignores_case && code >= 0x80)
    in_.refuse(begin, "a letter beyond ASCII where case is ignored");
  const std::size_t place = out_.size();
  append_regex_character(out_, code);
  const bool is_letter = code < 0x80 && std::isalpha(static_cast<int>(code)) != 0;
  // Of either case a letter is a class already.
  if (!context.looks_behind && !(context.ignores_case && is_letter))
    uncounted_.push_back({place, out_.size()});
}

void RegexReader::group(Context& context) {
  const std::size_t begin = in_.at;
  if (in_.take("(*")) in_.refuse(begin, "the callout (*");
  if (!in_.starts_with("(?")) {
    in_.at += 1;
    return inner(context, "(", begin);
  }
  if (in_.take("(?#")) {
    const std::size_t end = in_.pattern.find(')', in_.at);
    if (end == std::string_view::npos ||
        in_.pattern.substr(in_.at, end - in_.at).find('\\') != std::string_view::npos)
      in_.refuse(begin, "a comment (?# that does not end, or with a backslash");
    in_.at = end + 1;
    repeats_ = false;
    return;
  }
  for (const std::string_view opening : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"}) {
    if (!in_.take(opening)) continue;
    Context deeper = context;
    deeper.looks_behind |= opening.starts_with("(?<");
    inner(deeper, opening, begin);
    repeats_ = opening == "(?:" || opening == "(?>";
    return;
  }
  if (in_.take("(?<")) {
    while (!in_.at_end() && is_regex_name(in_.peek())) in_.at += 1;
    const std::string_view name = in_.pattern.substr(begin + 3, in_.at - begin - 3);
    if (name.empty() || (name[0] >= '0' && name[0] <= '9') || !in_.take(">"))
      in_.refuse(begin, "a group whose name is not of letters and digits");
    return inner(context, "(?<" + std::string(name) + ">", begin);
  }
  in_.at += 2;
  options(context, begin);
}

// (?im-im) up to the end of the group that it stands in, or (?im-im:...).
void RegexReader::options(Context& context, std::size_t begin) {
  Context changed = context;
  bool on = true;
  while (!in_.at_end() && in_.peek() != ')' && in_.peek() != ':') {
    const char c = in_.peek();
    if (c == 'i') {
      changed.ignores_case = on;
    } else if (c == '-' && on) {
      on = false;
    } else if (c != 'm') {
      in_.refuse(begin, "the group or option (?" + in_.character_text());
    }
    in_.at += 1;
  }
  if (in_.at_end()) in_.refuse(begin, "a group that does not end");
  if (in_.at == begin + 2) in_.refuse(begin, "the group or option (?" + in_.character_text());
  const std::string opening(in_.pattern.substr(begin, in_.at + 1 - begin));
  const bool has_own_group = in_.peek() == ':';
  in_.at += 1;
  if (has_own_group) return inner(changed, opening, begin);
  context = changed;
  out_ += opening;
  repeats_ = false;
}

void RegexReader::inner(Context context, std::string_view opening, std::size_t begin) {
  context.depth += 1;
  out_ += opening;
  alternatives(context);
  if (!in_.take(")")) in_.refuse(begin, "a group that does not end");
  out_ += ')';
  repeats_ = true;
}

void RegexReader::escape(const Context& context) {
  const std::size_t begin = in_.at;
  const char c = in_.pattern.size() > begin + 1 ? in_.pattern[begin + 1] : '\0';
  repeats_ = false;
  if (c == 'b' || c == 'B') {
    in_.at += 2;
    return word_boundary(context, c == 'b', begin);
  }
  if (c == 'A' || c == 'Z' || c == 'z' || c == 'G') {
    in_.at += 2;
    out_.append({'\\', c});
    return;
  }
  repeats_ = true;
  if (c == 'R') {  // spelled out: Oniguruma 6.9.8 takes a repeated one for something else
    in_.at += 2;
    out_ += R"((?>\x{d}\x{a}|[\x{a}-\x{d}\x{85}\x{2028}\x{2029}]))";
    return;
  }
  if (c == 'N' || c == 'O') {
    in_.at += 2;
    out_.append({'\\', c});
    return;
  }
  if (const auto set = read_regex_set(in_, context.ignores_case, /*in_class=*/false)) {
    out_ += (context.ignores_case ? "(?-i:[" : "[") + regex_ranges(*set) +
            (context.ignores_case ? "])" : "]");
    return;
  }
  const char32_t code = read_regex_escape(in_);
  character(context, code, begin);
}

void RegexReader::word_boundary(const Context& context, bool is_one, std::size_t begin) {
  if (context.looks_behind) in_.refuse(begin, "a word boundary inside (?<");
  const std::string word = "[" + regex_ranges(regex_word_set()) + "]";
  const std::string ahead = "(?=" + word + ")", behind = "(?<=" + word + ")";
  const std::string not_ahead = "(?!" + word + ")", not_behind = "(?<!" + word + ")";
  const std::string boundary = is_one ? "(?:" + behind + not_ahead + "|" + not_behind + ahead + ")"
                                      : "(?:" + behind + ahead + "|" + not_behind + not_ahead + ")";
  out_ += context.ignores_case ? "(?-i:" + boundary + ")" : boundary;
}

void RegexReader::quantifier() {
  const std::size_t begin = in_.at;
  if (!repeats_)
    in_.refuse(begin, "the quantifier " + in_.character_text() +
                          " of nothing, of an anchor or of a quantifier");
  const char c = in_.peek();
  const int most = c == '{' ? interval(begin) : c == '?' ? 1 : kMaxRepeat;
  if (c != '{') in_.at += 1;
  // Reluctant or possessive; {n,m}+ is (?:{n,m})+.
  const bool is_marked = !in_.at_end() && (in_.peek() == '?' || in_.peek() == '+');
  if (is_marked) in_.at += 1;
  if (most > kFewRepeats || (c == '{' && is_marked)) count_characters();
  out_ += in_.pattern.substr(begin, in_.at - begin);
  repeats_ = false;
}

// Makes a class of each single character of the last atom.
void RegexReader::count_characters() {
  while (!uncounted_.empty() && uncounted_.back().begin >= atom_) {
    const auto [begin, end] = uncounted_.back();
    out_.insert(end, "]]").insert(begin, "[^[^");
    uncounted_.pop_back();
  }
}

// {n}, {n,}, {,m} or {n,m}; the greatest number.
int RegexReader::interval(std::size_t begin) {
  in_.at += 1;
  const auto least = number();
  const bool is_range = in_.take(",");
  const auto most = is_range ? number() : least;
  const bool is_one = in_.take("}") && (least || most);
  if (!is_one || (least && most && *least > *most) ||
      std::max(least.value_or(0), most.value_or(0)) > kMaxRepeat)
    in_.refuse(begin, "a '{' that is not {n}, {n,}, {,m} or {n,m} with n <= m <= " +
                          std::to_string(kMaxRepeat));
  return most.value_or(kMaxRepeat);
}

std::optional<int> RegexReader::number() {
  std::optional<int> out;
  while (!in_.at_end() && in_.peek() >= '0' && in_.peek() <= '9') {
    out = std::min(kMaxRepeat + 1, out.value_or(0) * 10 + (in_.peek() - '0'));
    in_.at += 1;
  }
  return out;
}

}  // namespace

std::string checked_regex(std::string_view pattern, const std::string& where) {
  return RegexReader(pattern, where).read();
}

}  // namespace tovamill
