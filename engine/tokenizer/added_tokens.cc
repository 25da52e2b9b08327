#include "engine/tokenizer/added_tokens.h"

#include <algorithm>
#include <cstdint>

#include "engine/text/unicode_classes.h"
#include "engine/text/unicode_text.h"
#include "engine/text/utf8.h"

namespace tovamill {
namespace {

bool is_space(char32_t c) { return (UnicodeClasses::get()(c) & CharClass::space) != 0; }

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  const bool left =
      begin == 0 || !is_word_character(decode_utf8(text, previous_utf8(text, begin)).value);
  const bool right = end == text.size() || !is_word_character(decode_utf8(text, end).value);
  return left && right;
}

// The start of the spaces before `end`, not before `limit`.
std::size_t spaces_before(std::string_view text, std::size_t limit, std::size_t end) {
  while (end > limit) {
    const std::size_t at = previous_utf8(text, end);
    if (!is_space(decode_utf8(text, at).value)) break;
    end = at;
  }
  return end;
}

std::size_t spaces_after(std::string_view text, std::size_t at, bool ascii_only) {
  if (ascii_only) return std::min(text.find_first_not_of(" \t\n\v\f\r", at), text.size());
  for (auto c = decode_utf8(text, at); c.length > 0 && is_space(c.value); c = decode_utf8(text, at))
    at += c.length;
  return at;
}

}  // namespace

void AddedTokenMatcher::add(const AddedToken& token) {
  if (token.content.empty() || !tokens_.emplace(token.content, token).second) return;
  auto& lengths = lengths_[static_cast<std::uint8_t>(token.content.front())];
  const auto at = std::ranges::lower_bound(lengths, token.content.size(), std::greater{});
  if (at == lengths.end() || *at != token.content.size()) lengths.insert(at, token.content.size());
}

const AddedToken* AddedTokenMatcher::match(std::string_view text, std::size_t at) const {
  for (const std::size_t length : lengths_[static_cast<std::uint8_t>(text[at])]) {
    if (length > text.size() - at) continue;
    const auto it = tokens_.find(std::string(text.substr(at, length)));
    if (it != tokens_.end()) return &it->second;
  }
  return nullptr;
}

std::vector<AddedTokenMatcher::Fragment> AddedTokenMatcher::split(std::string_view text) const {
  std::vector<Fragment> out;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size() && !tokens_.empty();) {
    const AddedToken* token = match(text, at);
    if (!token) {
      ++at;
      continue;
    }
    std::size_t begin = at;
    std::size_t end = at += token->content.size();
    if (token->single_word && !stands_alone(text, begin, end)) continue;
    if (token->lstrip) begin = std::max(done, spaces_before(text, done, begin));
    if (token->rstrip) end = spaces_after(text, end, token->strips_ascii_only);
    begin = std::max(begin, std::min(done, end));
    if (done < begin) out.push_back({done, begin, kNoToken});
    out.push_back({begin, end, token->id});
    done = end;
  }
  if (done < text.size()) out.push_back({done, text.size(), kNoToken});
  return out;
}

}  // namespace tovamill
