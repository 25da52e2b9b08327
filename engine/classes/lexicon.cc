#include "engine/classes/lexicon.h"

#include <algorithm>

#include "engine/text/python_text.h"
#include "engine/text/utf8.h"
#include "kernels/types/error.h"

namespace tovamill {

void Lexicon::read_line(std::string_view line, const std::string& where,
                        std::map<std::string, std::size_t, std::less<>>& tags) {
  const auto refuse_line = [&](const std::string& why) { throw BadData(where + ": " + why); };
  if (find_invalid_utf8(line)) refuse_line("it is not UTF-8");
  const std::size_t tab = line.find('\t');
  if (tab == line.npos || tab == 0 || tab + 1 == line.size() ||
      line.find('\t', tab + 1) != line.npos)
    refuse_line("it is not word<TAB>tag");
  const std::string_view tag = line.substr(tab + 1);
  const bool is_plain = std::none_of(tag.begin(), tag.end(), [](unsigned char c) {
    return c <= ' ' || c == 0x7f || c == '(';  // of names of our own
  });
  if (!is_plain || tag.size() > kLongestTag)
    refuse_line("the tag has a blank or a '(', or more than " + std::to_string(kLongestTag) +
                " bytes");
  const auto found = tags.try_emplace(std::string(tag), tags.size()).first;
  if (tags.size() > kMostTags)
    refuse_line("it brings more than " + std::to_string(kMostTags) + " different tags");
  const auto [word, is_new] = words_.emplace(line.substr(0, tab), found->second);
  if (!is_new && word->second != found->second)
    refuse_line("the word '" + word->first + "' has another tag in a line before: give each one");
}

Lexicon::Lexicon(std::string_view text, const std::string& where) {
  std::map<std::string, std::size_t, std::less<>> tags;  // by their first lines
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) read_line(line, where + ", line " + std::to_string(number), tags);
  }
  if (words_.empty()) throw BadData(where + " holds no word: give lines of word<TAB>tag");
  std::vector<std::size_t> place(tags.size());
  for (const auto& [name, by_line] : tags) {
    place[by_line] = tags_.size();
    tags_.push_back(name);
  }
  for (auto& [word, tag] : words_) tag = place[tag];
}

std::optional<std::size_t> Lexicon::find(std::string_view word) const {
  auto found = words_.find(std::string(word));
  if (found == words_.end()) found = words_.find(to_utf8(python_lower(to_code_points(word))));
  return found == words_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace tovamill
