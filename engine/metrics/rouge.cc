#include "engine/metrics/rouge.h"

#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <utility>

#include "engine/metrics/porter_stemmer.h"
#include "engine/text/utf8.h"

namespace tovamill {
namespace {

constexpr std::size_t kLongestUnstemmed = 3;  // letters

// The letter or digit that `c` becomes in lower case; 0 for others. Of characters beyond ASCII,
// Python's lower() makes ASCII of the Kelvin sign and of I with a dot (whose dot parts words).
char word_character(char32_t c) {
  if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) return static_cast<char>(c);
  if (c >= 'A' && c <= 'Z') return static_cast<char>(c - 'A' + 'a');
  if (c == 0x212a) return 'k';
  if (c == 0x130) return 'i';
  return 0;
}

// Twice the product over the sum, in the package's order of operations.
double f_measure(std::size_t n_common, std::size_t n_text, std::size_t n_reference) {
  if (n_common == 0) return 0.0;
  const double precision = static_cast<double>(n_common) / static_cast<double>(n_text);
  const double recall = static_cast<double>(n_common) / static_cast<double>(n_reference);
  return 2.0 * precision * recall / (precision + recall);
}

// How many entries two multisets share.
std::size_t count_common(std::vector<std::uint64_t> a, std::vector<std::uint64_t> b) {
  std::ranges::sort(a);
  std::ranges::sort(b);
  std::size_t n = 0;
  for (auto i = a.begin(), j = b.begin(); i != a.end() && j != b.end();) {
    n += *i == *j;
    const bool next_i = *i <= *j, next_j = *j <= *i;
    i += next_i;
    j += next_j;
  }
  return n;
}

// Every n words that follow one another, n 1 or 2.
std::vector<std::uint64_t> n_grams(const std::vector<int>& words, std::size_t n) {
  std::vector<std::uint64_t> out;
  for (std::size_t i = 0; i + n <= words.size(); ++i) {
    const auto first = static_cast<std::uint64_t>(words[i]);
    out.push_back(n == 1 ? first : first << 32 | static_cast<std::uint64_t>(words[i + 1]));
  }
  return out;
}

double rouge_n(const std::vector<int>& text, const std::vector<int>& reference, std::size_t n) {
  const auto a = n_grams(text, n), b = n_grams(reference, n);
  return f_measure(count_common(a, b), a.size(), b.size());
}

}  // namespace

std::vector<std::string> rouge_words(std::string_view text, bool stems) {
  std::vector<std::string> words;
  std::string word;
  const auto finish = [&] {
    if (word.empty()) return;
    words.push_back(stems && word.size() > kLongestUnstemmed ? porter_stem(word) : word);
    word.clear();
  };
  for (std::size_t at = 0; at < text.size();) {
    const auto [c, length] = decode_utf8(text, at);
    const char letter = word_character(c);
    if (letter != 0) word += letter;
    if (letter == 0 || c == 0x130) finish();
    at += length;
  }
  finish();
  return words;
}

// Bit-parallel (Hyyrö 2004): a bit of `column` is 0 where the length grows from one word of `a` to
// the next; a word of `b` is one step for 64 words of `a`.
std::size_t longest_common_subsequence(const std::vector<int>& a, const std::vector<int>& b) {
  if (a.size() > b.size()) return longest_common_subsequence(b, a);
  std::unordered_map<int, std::vector<std::uint32_t>> places;  // in `a`
  for (std::size_t i = 0; i < a.size(); ++i) places[a[i]].push_back(static_cast<std::uint32_t>(i));
  std::vector<std::uint64_t> column((a.size() + 63) / 64, ~std::uint64_t{0});
  std::vector<std::uint64_t> matches(column.size());
  for (const int word : b) {
    const auto found = places.find(word);
    if (found == places.end()) continue;
    for (const std::uint32_t i : found->second) matches[i / 64] |= std::uint64_t{1} << (i % 64);
    bool carry = false;
    for (std::size_t i = 0; i < column.size(); ++i) {
      const std::uint64_t old = column[i], both = old & matches[i];
      const std::uint64_t sum = old + both, with_carry = sum + carry;
      carry = sum < old || with_carry < sum;
      column[i] = with_carry | (old & ~matches[i]);
    }
    for (const std::uint32_t i : found->second) matches[i / 64] = 0;
  }
  std::size_t length = 0;
  for (std::size_t i = 0; i < a.size(); ++i) length += ~(column[i / 64] >> (i % 64)) & 1;
  return length;
}

RougeScores rouge(std::string_view text, std::string_view reference, bool stems) {
  std::unordered_map<std::string, int> numbers;
  const auto number = [&](std::string_view of) {
    std::vector<int> out;
    for (std::string& word : rouge_words(of, stems)) {
      const int next = static_cast<int>(numbers.size());
      out.push_back(numbers.try_emplace(std::move(word), next).first->second);
    }
    return out;
  };
  const std::vector<int> a = number(text), b = number(reference);
  return {rouge_n(a, b, 1), rouge_n(a, b, 2),
          f_measure(longest_common_subsequence(a, b), a.size(), b.size())};
}

}  // namespace tovamill
