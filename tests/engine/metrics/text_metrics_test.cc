// The measures against Python's packages: rouge-score 0.1.2, NLTK's stemmer and SQuAD's script (the
// committed goldens of tests/support/generators/make_text_goldens.py), and against hand-made
// values.
#include "engine/metrics/text_metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "engine/metrics/porter_stemmer.h"
#include "engine/metrics/rouge.h"
#include "engine/metrics/squad_metrics.h"
#include "engine/text/python_text.h"

namespace tovamill {
namespace {

using nlohmann::json;
using Words = std::vector<std::string>;

// The same operations in the same order: only the compiler's rounding of constants could differ.
constexpr double kTolerance = 1e-12;

void expect_rouge(const TextMetrics& found, const json& expected, const std::string& where) {
  EXPECT_NEAR(found.rouge1, expected[0], kTolerance) << where;
  EXPECT_NEAR(found.rouge2, expected[1], kTolerance) << where;
  EXPECT_NEAR(found.rouge_l, expected[2], kTolerance) << where;
}

TEST(TextMetrics, EqualThoseOfPythonPackages) {
  std::ifstream file(std::filesystem::path(TOVAMILL_SOURCE_DIR) /
                     "tests/support/goldens/texts/metrics.jsonl");
  int n = 0;
  for (std::string line; std::getline(file, line); ++n) {
    const json golden = json::parse(line);
    const auto text = golden["text"].get<std::string>();
    const auto reference = golden["reference"].get<std::string>();
    const std::string where = "line " + std::to_string(n + 1) + ": " + text + " | " + reference;
    const TextMetrics plain = text_metrics(text, reference, false);
    const TextMetrics stemmed = text_metrics(text, reference, true);
    expect_rouge(plain, golden["rouge"], where);
    expect_rouge(stemmed, golden["rouge_stemmed"], where + " (stemmed)");
    EXPECT_NEAR(plain.token_f1, golden["f1"], kTolerance) << where;
    EXPECT_EQ(plain.exact_match, golden["exact"].get<double>()) << where;
    EXPECT_EQ(plain.token_f1, stemmed.token_f1);
  }
  EXPECT_GE(n, 400);
}

// Scores of rouge-score 0.1.2 and SQuAD's script (v2) where public reports met a division by zero,
// or another number.
TEST(TextMetrics, OfEmptyTextsInPublicReports) {
  struct Reported {
    const char* report;
    const char* text;
    const char* reference;
    double rouge1, rouge_l, token_f1, exact_match;
  };
  for (const Reported& c : std::vector<Reported>{
           {"pltrdy/rouge#14: an empty text", "", "foo", 0, 0, 0, 0},
           {"modelscope/ms-swift#9962: an empty reference", "foo", "", 0, 0, 0, 0},
           {"bird-bench/mini_dev#6: both empty", "", "", 0, 0, 1, 1},
           {"miso-belica/sumy#241: punctuation only", "...", "?!", 0, 0, 1, 1},
           {"miso-belica/sumy#128: nothing in common", "a b", "c d", 0, 0, 0, 0},
           {"huggingface/evaluate#256: the same in Devanagari", "\u092a\u0942\u0930\u094d\u0935",
            "\u092a\u0942\u0930\u094d\u0935", 0, 0, 1, 1},
           {"google/adk-python#4143: the same in Chinese", "\u4e2d\u6587", "\u4e2d\u6587", 0, 0, 1,
            1},
       }) {
    const TextMetrics m = text_metrics(c.text, c.reference, false);
    EXPECT_EQ(m.rouge1, c.rouge1) << c.report;
    EXPECT_EQ(m.rouge_l, c.rouge_l) << c.report;
    EXPECT_EQ(m.token_f1, c.token_f1) << c.report;
    EXPECT_EQ(m.exact_match, c.exact_match) << c.report;
  }
}

TEST(TextMetrics, OfTextsWithoutWords) {
  for (const std::string_view text : {"", " \n", "...", "the", "\u00a0"}) {
    const TextMetrics empty = text_metrics(text, "", true);
    EXPECT_EQ(empty.rouge1 + empty.rouge2 + empty.rouge_l, 0.0);
    EXPECT_EQ(empty.token_f1, 1.0);
    EXPECT_EQ(empty.exact_match, 1.0);
    EXPECT_EQ(text_metrics(text, "word", false).token_f1, 0.0);
    EXPECT_EQ(text_metrics("word", text, false).exact_match, 0.0);
  }
}

TEST(Rouge, WordsAreRunsOfAsciiLettersAndDigits) {
  EXPECT_EQ(rouge_words("Don't PANIC, it's 3.14-ish_ok", false),
            (Words{"don", "t", "panic", "it", "s", "3", "14", "ish", "ok"}));
  EXPECT_EQ(rouge_words("caf\u00e9s 300\u212a \u0130zmir x\u0130 \u0130", false),
            (Words{"caf", "s", "300k", "i", "zmir", "xi", "i"}));
  EXPECT_EQ(rouge_words("ties his running", true), (Words{"tie", "his", "run"}));
  EXPECT_EQ(rouge_words("\u4e2d\u6587", false), Words{});
}

TEST(Rouge, ByHand) {
  // 3 of 4 and 5 words; "the cat" of 3 and 4 pairs; the cat ... mat.
  const RougeScores scores = rouge("the cat a mat", "the cat on the mat", false);
  EXPECT_DOUBLE_EQ(scores.rouge1, 2.0 * 3 / 9);
  EXPECT_DOUBLE_EQ(scores.rouge2, 2.0 * 1 / 7);
  EXPECT_DOUBLE_EQ(scores.rouge_l, 2.0 * 3 / 9);
}

std::size_t common_by_table(const std::vector<int>& a, const std::vector<int>& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (const int x : a) {
    std::size_t diagonal = 0;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t above = row[j + 1];
      row[j + 1] = x == b[j] ? diagonal + 1 : std::max(above, row[j]);
      diagonal = above;
    }
  }
  return row.back();
}

TEST(Rouge, CommonSubsequenceEqualsThatOfTheTable) {
  std::mt19937 random(1);
  for (const std::size_t n : {0, 1, 63, 64, 65, 128, 200}) {
    for (const std::size_t m : {0, 1, 64, 130, 500}) {
      for (const int n_words : {1, 3, 40}) {
        std::vector<int> a(n), b(m);
        for (int& word : a) word = static_cast<int>(random() % static_cast<unsigned>(n_words));
        for (int& word : b) word = static_cast<int>(random() % static_cast<unsigned>(n_words));
        ASSERT_EQ(longest_common_subsequence(a, b), common_by_table(a, b))
            << n << " and " << m << " of " << n_words;
      }
    }
  }
}

// A whole table of 10,000 by 10,000 would not fit the memory of many streams.
TEST(Rouge, MeasuresTextsOfTenThousandWords) {
  std::mt19937 random(2);
  std::array<std::vector<int>, 2> numbers;
  std::array<std::string, 2> texts;
  for (std::size_t i = 0; i < 2; ++i) {
    for (int n = 0; n < 10000; ++n) {
      numbers[i].push_back(static_cast<int>(random() % 500));
      texts[i] += "w" + std::to_string(numbers[i].back()) + " ";
    }
  }
  const std::size_t common = common_by_table(numbers[0], numbers[1]);
  EXPECT_DOUBLE_EQ(rouge(texts[0], texts[1], false).rouge_l, static_cast<double>(common) / 10000);
}

TEST(PorterStemmer, StemsThePapersAndNltksExamples) {
  const std::pair<const char*, const char*> examples[] = {
      {"caresses", "caress"},
      {"ponies", "poni"},
      {"ties", "tie"},
      {"agreed", "agre"},
      {"feed", "feed"},
      {"hopping", "hop"},
      {"filing", "file"},
      {"failing", "fail"},
      {"hissing", "hiss"},
      {"happy", "happi"},
      {"enjoy", "enjoy"},
      {"dying", "die"},
      {"relational", "relat"},
      {"rational", "ration"},
      {"digitizer", "digit"},
      {"radically", "radic"},
      {"theology", "theolog"},
      {"geology", "geolog"},
      {"electrical", "electr"},
      {"adoption", "adopt"},
      {"controlling", "control"},
      {"news", "news"},
      {"by", "by"},
      {"yyyy", "yyyi"},
      {"mp3s", "mp3"},
      {"carefully", "care"},
      {"oversimplified", "oversimplifi"},
  };
  for (const auto& [word, stem] : examples) EXPECT_EQ(porter_stem(word), stem) << word;
}

TEST(Squad, Normalises) {
  EXPECT_EQ(squad_normalize("The  quick, brown\nFOX - a fox's an\u00a0Ant"),
            "quick brown fox foxs ant");
  EXPECT_EQ(squad_normalize("\u00dcber \u0130 \u039f\u0394\u039f\u03a3"),
            "\u00fcber i\u0307 \u03bf\u03b4\u03bf\u03c2");
  EXPECT_EQ(squad_normalize("a\u0301 the\u4e2d a_b"), "\u0301 the\u4e2d ab");  // a mark is no \w
  EXPECT_EQ(squad_normalize("th.e a-n"), "");
}

TEST(Squad, ByHand) {
  const SquadScores scores = squad_scores("the red red house", "a red house, there");
  EXPECT_DOUBLE_EQ(scores.token_f1, 2.0 * 2 / 6);
  EXPECT_EQ(scores.exact_match, 0.0);
  EXPECT_EQ(squad_scores("In 1066.", "in 1066").exact_match, 1.0);
}

TEST(PythonText, LowersSigmaByItsNeighbours) {
  const auto lower = [](std::u32string_view text) { return python_lower(text); };
  EXPECT_EQ(lower(U"\u03a3"), U"\u03c3");
  EXPECT_EQ(lower(U"A\u03a3"), U"a\u03c2");
  EXPECT_EQ(lower(U"A\u03a3B"), U"a\u03c3b");
  EXPECT_EQ(lower(U"A\u0301\u03a3' B"), U"a\u0301\u03c2' b");
  EXPECT_EQ(lower(U"A\u03a3'B"), U"a\u03c3'b");
  EXPECT_EQ(lower(U" \u03a3\u03a3"), U" \u03c3\u03c2");
}

}  // namespace
}  // namespace tovamill
