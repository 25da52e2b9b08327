// Classes of tokens on texts marked by hand, with tokenizers of every kind.
#include "engine/classes/token_classes.h"

#include <gtest/gtest.h>

#include "kernels/types/error.h"
#include "tests/support/error_of.h"
#include "tests/support/models/real_tokenizers.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;

// A text and below it the class of each of its bytes: n newline, _ space, d digits, s possessive,
// p punctuation, C capitalised, w word start, i inside a word.
struct Marked {
  const char *text, *marks;
};
const std::vector<Marked> kMarked{
    {"The dog's bone, Bob.\n", "Cii_wiiss_wiiip_Ciipn"},
    {"It's her's; don't \"quote\" Kings' x\n\n", "Ciii_wiissp_wiiii_pwiiiip_Ciiiip_wnn"},
    {"In 1990s, 3rd A4: 1,250.5", "Ci_ddddip_dii_Cdp_dpdddpd"},
    {"well-known (see foo_bar) co-op", "wiiipwiiii_pwii_wiipwiip_wipwi"},
    {"\xc3\x89t\xc3\xa9 l\xe2\x80\x99homme's \xe2\x80\x94 na\xc3\xafve",
     "Ciiii_wiiiiiiiiss_ppp_wiiiii"},
    {"\tMr. O'Neil's  \r\n that's THAT'S let's", "_Cip_Ciiiiiss__nn_wiiiii_Ciiiii_wiiii"},
    {"James's John\xe2\x80\x99s's 's s' a's1 b's'c", "Ciiiiss_Ciiiiiiiss_pw_wp_wiid_wiiii"},
};

char mark_of_class(std::uint8_t c) { return "?n_dspCwi"[c]; }

class MarkedTexts : public ::testing::TestWithParam<const char*> {
 protected:
  static std::unique_ptr<Tokenizer> tokenizer() {
    const std::string name = GetParam();
    if (name.starts_with("shared/")) return testing::shared_tokenizer(name.substr(7));
    return Tokenizer::from_hf(testing::golden_json("tokenizers/" + name + ".json"), nullptr, name);
  }
};

TEST_P(MarkedTexts, HaveTheClassOfTheFirstCharacterOfEachToken) {
  const std::unique_ptr<Tokenizer> tokenizer = MarkedTexts::tokenizer();
  if (!tokenizer) GTEST_SKIP() << GetParam() << " is not here";
  const TokenClassifier classifier(*tokenizer, nullptr);
  EXPECT_TRUE(classifier.tags().empty());
  for (const auto& [text, marks] : kMarked) {
    ASSERT_EQ(std::string(text).size(), std::string(marks).size()) << text;
    std::vector<TokenId> ids;
    tokenizer->encode(text, false, ids);
    const TokenLabels labels = classifier.label(ids);
    ASSERT_EQ(labels.classes.size(), ids.size());
    EXPECT_TRUE(labels.tags.empty());
    std::size_t begin = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::vector<TokenId> front(ids.begin(), ids.begin() + static_cast<long>(i) + 1);
      const std::size_t end = tokenizer->decode(front, false).size();
      const std::string own = std::string(marks).substr(begin, end - begin);
      const std::size_t first = own.find_first_not_of('_');
      EXPECT_EQ(mark_of_class(labels.classes[i]), first == own.npos ? '_' : own[first])
          << text << ": '" << std::string(text).substr(begin, end - begin) << "'";
      begin = end;
    }
    EXPECT_EQ(begin, std::string(text).size());
  }
}

INSTANTIATE_TEST_SUITE_P(All, MarkedTexts,
                         ::testing::Values("gpt2", "llama2", "llama3", "smollm", "shared/llama2",
                                           "shared/llama3_1", "shared/qwen3"));

class TokenClasses : public ::testing::Test {
 protected:
  TokenLabels label(const TokenClassifier& classifier, const std::string& text) const {
    std::vector<TokenId> ids;
    tokenizer->encode(text, true, ids);
    return classifier.label(ids);
  }
  std::unique_ptr<Tokenizer> tokenizer =
      Tokenizer::from_hf(testing::golden_json("tokenizers/gpt2.json"), nullptr, "gpt2");
};

TEST_F(TokenClasses, OfControlTokensAreSpecialAndPartWords) {
  const TokenClassifier classifier(*tokenizer, nullptr);
  const auto special = tokenizer->id_of("<|im_start|>");
  ASSERT_TRUE(special);
  std::vector<TokenId> ids;
  tokenizer->encode("xy", false, ids);
  ids.push_back(*special);
  tokenizer->encode("xy", false, ids);
  const TokenLabels labels = classifier.label(ids);
  const std::size_t half = ids.size() / 2;
  EXPECT_EQ(labels.classes[half], static_cast<std::uint8_t>(TokenClass::special));
  for (const std::size_t begin : {std::size_t{0}, half + 1})
    EXPECT_EQ(labels.classes[begin], static_cast<std::uint8_t>(TokenClass::word_start));
  EXPECT_TRUE(classifier.label({}).classes.empty());
  EXPECT_EQ(classifier.label(std::vector<TokenId>{-1, 1 << 30}).classes,
            (std::vector<std::uint8_t>{0, 0}))
      << "ids of no token have no text";
}

// Bytes that are no UTF-8 are a character each.
TEST_F(TokenClasses, TakeAnyBytes) {
  const TokenClassifier classifier(*tokenizer, nullptr);
  for (TokenId id = 0; id < tokenizer->vocab_size(); ++id) {
    for (const TokenId other : {TokenId{0}, id, tokenizer->vocab_size() - 1})
      EXPECT_EQ(classifier.label(std::vector<TokenId>{id, other, id}).classes.size(), 3u);
  }
}

TEST_F(TokenClasses, HaveTheTagsOfTheirWords) {
  const auto lexicon = std::make_shared<Lexicon>(
      "the\tDT\ndog\tNN\nBob\tNNP\nbob\tVB\n's\tPOS\n,\tPUNCT\n\nna\xc3\xafve\tJJ\r\n3\tCD\n", "f");
  const TokenClassifier classifier(*tokenizer, lexicon);
  EXPECT_EQ(classifier.tags(), (std::vector<std::string>{"(none)", "(unknown)", "CD", "DT", "JJ",
                                                         "NN", "NNP", "POS", "PUNCT", "VB"}));
  // The tag of each byte: the first letter of its name, - of none, x of unknown words.
  const std::string text = "The dogs dog's, Bob's bob\n BOB 3 33 na\xc3\xafve.";
  const std::string tags = "ttt-xxxx-nnnppu-mmmpp-vvv--vvv-c-xx-jjjjjjx";
  ASSERT_EQ(text.size(), tags.size());
  const std::string letters = "-xctjnmpuv";
  std::vector<TokenId> ids;
  tokenizer->encode(text, false, ids);
  const TokenLabels labels = classifier.label(ids);
  std::size_t begin = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::string piece = tokenizer->decode({ids[i]}, false);
    const std::size_t first = piece.find_first_not_of(" \n");
    EXPECT_EQ(letters[labels.tags[i]], first == piece.npos ? '-' : tags[begin + first])
        << piece << " at " << begin;
    begin += piece.size();
  }
}

TEST(LexiconFile, IsRefusedByItsLine) {
  EXPECT_EQ(Lexicon("a\tX\na\tX\n", "f").n_words(), 1u) << "the same twice is no contradiction";
  struct Case {
    const char *text, *complaint;
  };
  for (const auto& [text, complaint] : std::vector<Case>{
           {"", "f holds no word"},
           {"\n\n", "f holds no word"},
           {"a\tX\nword", "f, line 2: it is not word<TAB>tag"},
           {"\tX", "f, line 1: it is not word<TAB>tag"},
           {"a\t", "f, line 1: it is not word<TAB>tag"},
           {"a\tX\tY", "f, line 1: it is not word<TAB>tag"},
           {"a X", "f, line 1: it is not word<TAB>tag"},
           {"a\tX Y", "f, line 1: the tag has a blank or a '('"},
           {"a\t(none)", "f, line 1: the tag has a blank or a '('"},
           {"a\tX\nb\tX\n\na\tY", "f, line 4: the word 'a' has another tag in a line before"},
           {"\xff\tX", "f, line 1: it is not UTF-8"}}) {
    const std::string message = error_of([&, t = text] { Lexicon(t, "f"); }, ExitCode::bad_data);
    EXPECT_TRUE(contains(message, complaint)) << message;
  }
  std::string many;
  for (std::size_t i = 0; i <= Lexicon::kMostTags; ++i)
    many += "w" + std::to_string(i) + "\tT" + std::to_string(i) + "\n";
  EXPECT_TRUE(contains(error_of([&] { Lexicon(many, "f"); }, ExitCode::bad_data),
                       "line 201: it brings more than 200 different tags"));
}

}  // namespace
}  // namespace tovamill
