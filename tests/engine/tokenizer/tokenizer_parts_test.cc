// The pieces of the tokenizers against slower or independent ways to the same result, on random
// input.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "engine/text/sha256.h"
#include "engine/text/unicode_text.h"
#include "engine/text/utf8.h"
#include "engine/tokenizer/merge_table.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/word_pattern.h"

namespace tovamill {
namespace {

std::string random_text(std::mt19937& rng, std::size_t n_characters) {
  static const std::vector<std::string> kPool{
      "a",      "Z",      "s",      "S",      "t",  "l",  "L",  "r",  "e",      "v",
      "'",      "'",      " ",      " ",      " ",  "\n", "\r", "\t", "1",      "9",
      "²",      "Ⅷ",      ".",      "!",      "é",  "ſ",  "中", "ب",  "\u0301", "😀",
      "\u200d", "\u00a0", "\u3000", "\u0085", "\0", "/",  "ǅ",  "ʰ",  "ª",      "A"};
  std::string out;
  for (std::size_t i = 0; i < n_characters; ++i) out += kPool[rng() % kPool.size()];
  return out;
}

class WordPatterns : public ::testing::TestWithParam<const char*> {};

TEST_P(WordPatterns, EqualTheRegularExpression) {
  const auto pattern = WordPattern::for_regex(GetParam());
  ASSERT_TRUE(pattern);
  const Regex regex(GetParam(), false, "test");
  Regex::Search search(regex);
  std::mt19937 rng(5);
  for (int i = 0; i < 5000; ++i) {
    const std::string text = random_text(rng, 1 + rng() % 24);
    std::vector<std::size_t> expected, got;
    search.for_each(text, [&](Regex::Span match) { expected.push_back(match.end); });
    for (std::size_t at = 0; at < text.size();) got.push_back(at = pattern->next(text, at));
    ASSERT_EQ(got, expected) << ::testing::PrintToString(text);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Known, WordPatterns,
    ::testing::Values(
        R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"));

// Joins the lowest rank, leftmost first, by looking at every pair every time.
std::vector<TokenId> merge_slowly(std::vector<TokenId> symbols, const std::vector<Merge>& merges) {
  std::map<std::pair<TokenId, TokenId>, Merge> table;
  for (const Merge& merge : merges) table[{merge.left, merge.right}] = merge;
  while (true) {
    const Merge* best = nullptr;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto it = table.find({symbols[i], symbols[i + 1]});
      if (it == table.end() || (best && best->rank <= it->second.rank)) continue;
      best = &it->second;
      at = i;
    }
    if (!best) return symbols;
    symbols[at] = best->result;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(MergeTable, EqualsLookingAtEveryPair) {
  std::mt19937 rng(3);
  for (int round = 0; round < 60; ++round) {
    // Merges of strings over {0, 1}, as a real table has them: the result is the joint string.
    std::map<std::string, TokenId> ids{{"0", 0}, {"1", 1}};
    std::vector<std::string> strings{"0", "1"};
    std::vector<Merge> merges;
    while (strings.size() < 40) {
      const std::string left = strings[rng() % strings.size()],
                        right = strings[rng() % strings.size()];
      const auto [it, is_new] = ids.try_emplace(left + right, static_cast<TokenId>(ids.size()));
      merges.push_back({ids[left], ids[right],
                        static_cast<std::uint32_t>(merges.size() / (1 + round % 2)), it->second});
      if (is_new) strings.push_back(left + right);
    }
    const MergeTable table(merges);
    MergeScratch scratch;
    for (const std::size_t n : {0, 1, 2, 31, 39, 40, 41, 42, 257}) {
      std::vector<TokenId> symbols(n);
      for (TokenId& symbol : symbols) symbol = static_cast<TokenId>(rng() % 2);
      const auto expected = merge_slowly(symbols, merges);
      table.apply(symbols, scratch);
      ASSERT_EQ(symbols, expected) << n << " symbols";
    }
  }
}

TEST(Nfc, ComposesAndReorders) {
  EXPECT_EQ(nfc("plain é"), "plain é");
  EXPECT_EQ(nfc("e\u0301"), "é");
  EXPECT_EQ(nfc("e\u0301\u0316"), "é\u0316");
  EXPECT_EQ(nfc("\u1100\u1161\u11a8"), "각");
  EXPECT_EQ(nfc("\uac00\u11a7"), "\uac00\u11a7");
  EXPECT_EQ(nfc("\u212b\u2126"), "\u00c5\u03a9");
  EXPECT_EQ(nfc("\u0344"), "\u0308\u0301");
  EXPECT_EQ(nfc("\u0301a"), "\u0301a");
  EXPECT_EQ(nfc("\u09c7\u09be"), "\u09cb");
  EXPECT_EQ(nfc(""), "");
}

TEST(Nfc, ReordersARunOfMarksByClassAndStably) {
  std::string mixed = "x", below, above;
  for (int i = 0; i < 50'000; ++i) {
    mixed += "\u0302\u0316";
    above += "\u0302";
    below += "\u0316";
  }
  EXPECT_EQ(nfc(mixed), "x" + below + above);
}

TEST(Utf8, FindsTheFirstInvalidByte) {
  EXPECT_EQ(find_invalid_utf8("aé中😀\U0010ffff"), std::nullopt);
  EXPECT_EQ(find_invalid_utf8("é\x80"), 2);
  EXPECT_EQ(find_invalid_utf8("a\xe4\xb8"), 1);
  EXPECT_EQ(find_invalid_utf8("\xe0\x80\x80"), 0);
  EXPECT_EQ(find_invalid_utf8("\xf0\x80\x80\x80"), 0);
  EXPECT_EQ(find_invalid_utf8("\xed\xa0\x80"), 0);
}

TEST(Sha256, EqualsTheExamplesOfTheStandard) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

}  // namespace
}  // namespace tovamill
