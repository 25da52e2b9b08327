#include "engine/classes/token_classes.h"

#include <algorithm>
#include <set>

#include "engine/text/python_text.h"
#include "engine/text/unicode_classes.h"
#include "engine/text/unicode_text.h"
#include "engine/text/utf8.h"

namespace tovamill {
namespace {

// Words behind which 's is short for is, has or us.
const std::set<std::u32string, std::less<>> kBeforeContractions{
    U"he",   U"she",   U"it",  U"that", U"this", U"there", U"here",
    U"what", U"where", U"who", U"how",  U"when", U"why",   U"let"};

bool is_apostrophe(char32_t c) { return c == U'\'' || c == U'\u2019'; }

bool is_letter(char32_t c) {
  if ((UnicodeClasses::get()(c) & CharClass::letter) != 0) return true;
  return c >= 0x80 && (UnicodeClasses::get()(c) & CharClass::number) == 0 && is_word_character(c);
}
bool is_digit(char32_t c) { return (UnicodeClasses::get()(c) & CharClass::number) != 0; }
bool is_newline(char32_t c) {
  return (c >= U'\n' && c <= U'\r') || c == U'\u0085' || c == U'\u2028' || c == U'\u2029';
}
bool is_space(char32_t c) { return (UnicodeClasses::get()(c) & CharClass::space) != 0; }

// A word: letters and digits, and apostrophes between letters.
struct WordRun {
  std::size_t begin = 0, end = 0;  // bytes
  std::size_t possessive = 0;      // where 's begins; `end` where there is none
};

WordRun word_at(std::string_view text, std::size_t begin) {
  WordRun run{begin, begin, begin};
  std::size_t apostrophe = std::string_view::npos;
  char32_t last = 0;
  for (std::size_t at = begin; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    if (is_apostrophe(c.value)) {
      const CodePoint next = decode_utf8(text, at + c.length);
      if (!is_letter(last) || next.length == 0 || !is_letter(next.value)) break;
      apostrophe = at;
    } else if (!is_letter(c.value) && !is_digit(c.value)) {
      break;
    }
    last = c.value;
    at += c.length;
    run.end = at;
  }
  run.possessive = run.end;
  if (apostrophe == std::string_view::npos) return run;
  const std::string_view ending = text.substr(apostrophe, run.end - apostrophe);
  if (!ending.ends_with('s') && !ending.ends_with('S')) return run;
  if (decode_utf8(ending, 0).length + 1 != ending.size()) return run;
  const std::u32string before =
      python_lower(to_code_points(text.substr(begin, apostrophe - begin)));
  if (!kBeforeContractions.contains(before)) run.possessive = apostrophe;
  return run;
}

constexpr auto of_class(TokenClass c) { return static_cast<std::uint8_t>(c); }

// Labels of each byte of a text. Those of the bytes of a character are the same, but that only the
// first one starts a word.
class ByteLabels {
 public:
  ByteLabels(std::string_view text, const Lexicon* lexicon)
      : text_(text), lexicon_(lexicon), classes_(text.size()), tags_(lexicon ? text.size() : 0) {
    for (std::size_t at = 0; at < text.size();) {
      const CodePoint c = decode_utf8(text, at);
      at = is_letter(c.value) || is_digit(c.value) ? word(at) : other(at, c);
    }
  }
  std::uint8_t class_at(std::size_t at) const { return classes_[at]; }
  std::uint8_t tag_at(std::size_t at) const { return tags_[at]; }

 private:
  std::size_t word(std::size_t begin) {
    const WordRun run = word_at(text_, begin);
    for (std::size_t at = begin; at < run.possessive;) {
      const CodePoint c = decode_utf8(text_, at);
      const TokenClass inside = is_digit(c.value) ? TokenClass::digits : TokenClass::inside_word;
      mark(at, c.length, inside);
      if (at == begin && inside == TokenClass::inside_word)
        mark(at, 1, is_upper(c.value) ? TokenClass::capitalised : TokenClass::word_start);
      at += c.length;
    }
    mark(run.possessive, run.end - run.possessive, TokenClass::possessive);
    tag(begin, run.possessive, text_.substr(begin, run.possessive - begin));
    if (run.possessive < run.end) tag(run.possessive, run.end, "'s");
    return run.end;
  }

  std::size_t other(std::size_t at, const CodePoint& c) {
    const TokenClass kind = is_newline(c.value) ? TokenClass::newline
                            : is_space(c.value) ? TokenClass::space
                                                : TokenClass::punctuation;
    mark(at, c.length, kind);
    if (kind == TokenClass::punctuation) tag(at, at + c.length, text_.substr(at, c.length));
    return at + c.length;
  }

  void mark(std::size_t at, std::size_t n, TokenClass c) {
    std::fill_n(classes_.begin() + static_cast<std::ptrdiff_t>(at), n, of_class(c));
  }

  void tag(std::size_t begin, std::size_t end, std::string_view word) {
    if (!lexicon_) return;
    const auto found = lexicon_->find(word);
    std::fill(tags_.begin() + static_cast<std::ptrdiff_t>(begin),
              tags_.begin() + static_cast<std::ptrdiff_t>(end),
              static_cast<std::uint8_t>(found ? kOtherTags.size() + *found : 1));
  }

  std::string_view text_;
  const Lexicon* lexicon_;
  std::vector<std::uint8_t> classes_, tags_;
};

}  // namespace

// Decoders drop a space in front: each token is decoded behind another one.
TokenClassifier::TokenClassifier(const Tokenizer& tokenizer, std::shared_ptr<const Lexicon> lexicon)
    : lexicon_(std::move(lexicon)) {
  TokenId front = 0;
  while (front + 1 < tokenizer.vocab_size() && tokenizer.decode({front}, false).empty()) ++front;
  const std::size_t n_front = tokenizer.decode({front}, false).size();
  begin_.push_back(0);
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string text = tokenizer.decode({front, id}, false);
    if (text.size() > n_front) pieces_.append(text, n_front);
    begin_.push_back(static_cast<std::uint32_t>(pieces_.size()));
  }
  if (!lexicon_) return;
  tags_.assign(kOtherTags.begin(), kOtherTags.end());
  tags_.insert(tags_.end(), lexicon_->tags().begin(), lexicon_->tags().end());
}

std::string_view TokenClassifier::piece(TokenId id) const {
  const auto at = static_cast<std::size_t>(id);
  if (id < 0 || at + 1 >= begin_.size()) return {};
  return std::string_view(pieces_).substr(begin_[at], begin_[at + 1] - begin_[at]);
}

TokenLabels TokenClassifier::label(std::span<const TokenId> ids) const {
  std::string text;
  for (const TokenId id : ids) text += piece(id).empty() ? std::string_view("\0", 1) : piece(id);
  const ByteLabels bytes(text, lexicon_.get());
  TokenLabels labels;
  std::size_t at = 0;
  for (const TokenId id : ids) {
    const std::size_t end = at + std::max<std::size_t>(1, piece(id).size());
    std::size_t first = at;
    while (first < end && bytes.class_at(first) == of_class(TokenClass::space)) ++first;
    const bool is_blank = first == end, is_special = piece(id).empty();
    labels.classes.push_back(is_special ? of_class(TokenClass::special)
                             : is_blank ? of_class(TokenClass::space)
                                        : bytes.class_at(first));
    if (lexicon_) labels.tags.push_back(is_special || is_blank ? 0 : bytes.tag_at(first));
    at = end;
  }
  return labels;
}

}  // namespace tovamill
