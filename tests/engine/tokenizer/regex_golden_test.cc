// Regular expressions of tokenizers against `tokenizers` itself: the pre-tokenizers of published
// models and the constructs of Oniguruma's manual, on random texts
// (tests/support/generators/make_regex_goldens.py); and the limits of matching.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/text/sha256.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/regex_syntax.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/support/error_of.h"
#include "tests/support/row_step.h"

namespace tovamill {
namespace {

using nlohmann::json;

const json& golden() {
  static const json file = json::parse(
      std::ifstream(TOVAMILL_SOURCE_DIR "/tests/support/goldens/tokenizers/regexes.json"));
  return file;
}

// The generator's Random.
class KnuthRandom {
 public:
  explicit KnuthRandom(std::uint64_t seed) : state_(seed) {}
  std::size_t below(std::size_t n) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>(state_ >> 33) % n;
  }

 private:
  std::uint64_t state_;
};

const std::vector<std::string>& golden_texts() {
  static const std::vector<std::string> texts = [] {
    const auto alphabet = golden()["alphabet"].get<std::vector<std::string>>();
    std::vector<std::string> out(golden()["n_texts"].get<std::size_t>());
    KnuthRandom rng(15);
    for (std::size_t i = 0; i < out.size(); ++i) {
      std::vector<std::string> pool;
      for (int j = 0; j < 6 && i % 2 == 0; ++j)
        pool.push_back(alphabet[rng.below(j < 3 ? alphabet.size() : 40)]);
      if (i % 2 == 1) pool = alphabet;
      const std::size_t n = 1 + rng.below(24);
      for (std::size_t j = 0; j < n; ++j) {
        const std::string& unit = pool[rng.below(pool.size())];
        const std::size_t times = rng.below(4) == 0 ? 1 + rng.below(4) : 1;
        for (std::size_t k = 0; k < times; ++k) out[i] += unit;
      }
    }
    return out;
  }();
  return texts;
}

std::string digest_of(const std::string& pattern) {
  std::vector<PreTokenizer> splits(2);
  splits[0].add(split_step(Regex(pattern, false, "test"), SplitBehavior::isolated, false));
  splits[1].add(split_step(Regex(pattern, false, "test"), SplitBehavior::removed, false));
  std::string all;
  for (const std::string& text : golden_texts()) {
    for (const PreTokenizer& split : splits) {
      const Pieces pieces = split(text, true);
      std::size_t begin = 0;
      for (const std::size_t end : pieces.ends) {
        all.append(pieces.text, begin, end - begin).push_back('\xff');
        begin = end;
      }
      all += '\xff';
    }
  }
  return sha256_hex(all);
}

void expect_digests(const json& rows, std::size_t step) {
  for (std::size_t i = 0; i < rows.size(); i += step)
    EXPECT_EQ(digest_of(rows[i]["pattern"]), rows[i]["digest"].get<std::string>())
        << rows[i]["pattern"];
}

TEST(RegexGolden, CutsAsTokenizersDoesByThePatternsOfPublishedModels) {
  EXPECT_GE(golden()["published"].size(), 20u);
  expect_digests(golden()["published"], testing::row_step(8));
}

TEST(RegexGolden, CutsAsTokenizersDoesByEveryConstructThatIsTaken) {
  expect_digests(golden()["accepted"], testing::row_step(16));
}

// Expressions and texts of public reports, among them the runs that end other programs.
TEST(RegexGolden, CutsWhatWasReportedElsewhereAsTokenizersDoes) {
  EXPECT_GE(golden()["reports"].size(), 12u);
  for (const json& entry : golden()["reports"]) {
    std::string text, all;
    for (const json& unit : entry["units"]) {
      for (std::size_t i = 0; i < unit[1].get<std::size_t>(); ++i) text += unit[0];
    }
    PreTokenizer split;
    split.add(split_step(Regex(entry["pattern"], false, "test"), SplitBehavior::isolated, false));
    const Pieces pieces = split(text, true);
    std::size_t begin = 0;
    for (const std::size_t end : pieces.ends) {
      all.append(pieces.text, begin, end - begin).push_back('\0');
      begin = end;
    }
    EXPECT_EQ(pieces.ends.size(), entry["n_pieces"].get<std::size_t>()) << entry["report"];
    EXPECT_EQ(sha256_hex(all), entry["digest"].get<std::string>()) << entry["report"];
  }
}

using testing::contains;

TEST(RegexGolden, RefusesEveryOtherConstructByNameAndPlace) {
  for (const json& entry : golden()["refused"]) {
    const std::string pattern = entry["pattern"];
    const std::string said = testing::error_of([&] { Regex(pattern, false, "a file"); });
    const std::string construct = " has " + entry["construct"].get<std::string>();
    const std::string place = " at its byte " + std::to_string(entry["at"].get<int>()) + ",";
    EXPECT_TRUE(contains(said, construct) && contains(said, place)) << pattern << ": " << said;
  }
}

// The spans of a search; nullopt where the text is given up.
std::optional<std::size_t> n_matches(const char* pattern, const std::string& text) {
  const Regex regex(pattern, false, "tokenizer.json");
  Regex::Search search(regex);
  std::size_t n = 0;
  try {
    search.for_each(text, [&](Regex::Span) { ++n; });
  } catch (const UnencodableText& e) {
    EXPECT_TRUE(contains(e.what(), "tokenizer.json: the regular expression '")) << e.what();
    return std::nullopt;
  }
  return n;
}

// As `tokenizers` does.
TEST(RegexLimits, ATextThatWouldTakeForeverIsGivenUp) {
  EXPECT_EQ(n_matches("(?:a|aa|b)+[cd]|[^a]", std::string(80, 'a')), std::nullopt);
  EXPECT_EQ(n_matches("(?:a|aa)+$|[^a]", std::string(80, 'a') + "b"), std::nullopt);
}

TEST(RegexLimits, LongTextsThatAreLinearAreNotGivenUp) {
  const std::string spaces(3'000'000, ' ');
  EXPECT_EQ(n_matches(R"(\s*[\r\n]+|\s+(?!\S)|\s+)", spaces), 1u);
  EXPECT_EQ(n_matches(R"(\s*[\r\n]+|\s+(?!\S)|\s+)", spaces + "x"), 2u);
  EXPECT_EQ(n_matches("zq|qz", spaces), 0u);
  EXPECT_EQ(n_matches("[ab]|c", spaces), 0u);
  EXPECT_EQ(n_matches(R"( ?\p{L}+|\s+)", "a" + spaces), 2u);
}

// Nested repetition over 3 MB: a match or a text that is given up, but no end of the stack.
TEST(RegexLimits, NestedRepetitionOverALongTextEnds) {
  const std::string text(3'000'000, 'a');
  EXPECT_EQ(n_matches("(?:a|b)+", text), 1u);
  EXPECT_EQ(n_matches("(?:(?:a|b)+c?)+", text), 1u);
  EXPECT_EQ(n_matches("(?:(?:a|b)+c)+", text.substr(0, 300'000)), std::nullopt);
  EXPECT_EQ(n_matches("((a)|(b))*$", text), 1u);
}

// Loops that pass all of the text, fail and begin one letter further on. No step back is taken:
// what comes next is looked at first, or the loop gives nothing back. `tokenizers` takes minutes.
TEST(RegexLimits, ATextThatIsPassedFromEveryPlaceIsGivenUp) {
  for (const char* pattern :
       {"a*b|a", "a*+b|a", "(?>a*)b|a", "[a-c]*+z|a", R"(\p{L}*+z|a)", ".*z|a", "[^x]*+x|a",
        "(?:a|q)*+z|a", "(?i:a)*+z|a", "(?=a*+z)a|a", "(?i:1?a)*+z|a", "(?:(?:aa?){3})*+z|a",
        "[a&&[a-z]]*z|a", "(a)*+z|a", "(?:[ab]c?)*+z|a", "(?:a{1000})*+z|a"}) {
    EXPECT_EQ(n_matches(pattern, std::string(40'000, 'a')), std::nullopt) << pattern;
    EXPECT_EQ(n_matches(pattern, std::string(3'000, 'a')), 3000u) << pattern;
  }
}

// A text that is given up takes nothing from the next one.
TEST(RegexLimits, TheNextTextBeginsAnew) {
  EXPECT_EQ(n_matches("a*b|a", std::string(200'000, 'a')), std::nullopt);
  EXPECT_EQ(n_matches("[a-z]+", "the next text"), 3u);
  EXPECT_NO_THROW(Regex(R"(\p{L}+)", false, "tokenizer.json"));
}

// As the crate onig does: none directly behind another match.
TEST(RegexMatches, EmptyOnesAreFoundBetweenCharacters) {
  EXPECT_EQ(n_matches("", "a\u00e9\U0001f600"), 4u);
  EXPECT_EQ(n_matches("a*", "baac"), 3u);
  EXPECT_EQ(n_matches("\\b", "a b"), 4u);
}

}  // namespace
}  // namespace tovamill
