// Words and what they are tagged with, for instance their likeliest part of speech: the file of
// --lexicon.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tovamill {

class Lexicon {
 public:
  static constexpr std::size_t kMostTags = 200;
  static constexpr std::size_t kLongestTag = 32;  // bytes

  // Lines `word<TAB>tag` of UTF-8; empty ones are passed over. Throws BadData naming `where` and
  // the line that is none, or that gives a word another tag than a line before.
  Lexicon(std::string_view text, const std::string& where);

  // In the order of their names.
  const std::vector<std::string>& tags() const { return tags_; }
  std::size_t n_words() const { return words_.size(); }
  // The place in `tags` of a word as it is written, else of its lower case.
  std::optional<std::size_t> find(std::string_view word) const;

 private:
  void read_line(std::string_view line, const std::string& where,
                 std::map<std::string, std::size_t, std::less<>>& tags);

  std::unordered_map<std::string, std::size_t> words_;
  std::vector<std::string> tags_;
};

}  // namespace tovamill
