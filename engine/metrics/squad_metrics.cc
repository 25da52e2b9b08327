#include "engine/metrics/squad_metrics.h"

#include <algorithm>
#include <vector>

#include "engine/text/python_text.h"

namespace tovamill {
namespace {

bool is_ascii_punctuation(char32_t c) {
  return std::u32string_view(U"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~").find(c) !=
         std::u32string_view::npos;
}

bool is_article(std::u32string_view word) {
  return word == U"a" || word == U"an" || word == U"the";
}

// A space for every run of word characters that is an article.
std::u32string without_articles(std::u32string_view text) {
  std::u32string out;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && is_python_word_character(text[end])) ++end;
    if (end == at) {
      out += text[at++];
      continue;
    }
    const auto word = text.substr(at, end - at);
    out += is_article(word) ? std::u32string_view(U" ") : word;
    at = end;
  }
  return out;
}

std::vector<std::u32string> squad_words(std::string_view text) {
  std::u32string lower = python_lower(to_code_points(text));
  std::erase_if(lower, is_ascii_punctuation);
  return python_split(without_articles(lower));
}

std::size_t count_common(std::vector<std::u32string> a, std::vector<std::u32string> b) {
  std::ranges::sort(a);
  std::ranges::sort(b);
  std::vector<std::u32string> common;
  std::ranges::set_intersection(a, b, std::back_inserter(common));
  return common.size();
}

}  // namespace

std::string squad_normalize(std::string_view text) {
  std::u32string joined;
  for (const std::u32string& word : squad_words(text)) {
    if (!joined.empty()) joined += U' ';
    joined += word;
  }
  return to_utf8(joined);
}

SquadScores squad_scores(std::string_view text, std::string_view reference) {
  const auto a = squad_words(text), b = squad_words(reference);
  const double equal = a == b ? 1.0 : 0.0;
  if (a.empty() || b.empty()) return {equal, equal};
  const std::size_t n_common = count_common(a, b);
  if (n_common == 0) return {0.0, equal};
  const double precision = static_cast<double>(n_common) / static_cast<double>(a.size());
  const double recall = static_cast<double>(n_common) / static_cast<double>(b.size());
  return {2.0 * precision * recall / (precision + recall), equal};
}

}  // namespace tovamill
