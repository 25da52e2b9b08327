// Text that grows token by token, with tokenizers small enough to follow by hand, the committed
// goldens' and the shared real ones.
#include "engine/prompt/generated_text.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "engine/text/utf8.h"
#include "tests/support/models/real_tokenizers.h"

namespace tovamill {
namespace {

using nlohmann::json;
using Ids = std::vector<TokenId>;

std::string byte_token(int byte) {
  constexpr char kHex[] = "0123456789ABCDEF";
  return {'<', '0', 'x', kHex[byte / 16], kHex[byte % 16], '>'};
}

// Bytes <0x00> to <0xFF> are the ids 0 to 255.
std::unique_ptr<Tokenizer> byte_fallback(const json& decoder) {
  json vocab;
  for (int byte = 0; byte < 256; ++byte) vocab[byte_token(byte)] = byte;
  int next = 256;
  for (const char* content : {"\u2581", "\u2581\u2581", "ab", "\u2581ab", "b\u2581a", "c", "<s>"})
    vocab[content] = next++;
  return Tokenizer::from_hf(
      {{"model",
        {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array()}, {"byte_fallback", true}}},
       {"decoder", decoder},
       {"added_tokens", {{{"id", 262}, {"content", "<s>"}, {"special", true}}}}},
      nullptr, "tiny");
}
constexpr TokenId kSpace = 256, kSpaces = 257, kAb = 258, kSpaceAb = 259, kBSpaceA = 260, kC = 261,
                  kControl = 262;

json llama_decoder() {
  return {{"type", "Sequence"},
          {"decoders",
           {{{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}},
            {{"type", "ByteFallback"}},
            {{"type", "Fuse"}},
            {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
}

json metaspace_decoder() {
  return {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "first"}};
}

const std::vector<std::string> kNoStops;

// Whether the text is decode() of the ids at every length.
void expect_decodes(const Tokenizer& tokenizer, const Ids& ids, std::size_t every = 1) {
  GeneratedText text(tokenizer, kNoStops);
  Ids so_far;
  for (const TokenId id : ids) {
    ASSERT_FALSE(text.push(id));
    so_far.push_back(id);
    if (so_far.size() % every == 0 || so_far.size() == ids.size()) {
      ASSERT_EQ(text.text(), repaired_utf8(tokenizer.decode(so_far, false)))
          << "after " << so_far.size() << " tokens";
    }
  }
  EXPECT_EQ(text.ids(), ids);
}

TEST(RepairedUtf8, LeavesTextAsItIs) {
  const std::string text("z\0\u00df\u0915\ucfff\ue000\U0001f600\U0010ffff", 21);
  EXPECT_EQ(repaired_utf8(text), text);
  EXPECT_EQ(repaired_utf8(""), "");
}

TEST(RepairedUtf8, LeavesOutWhatIsCutOffAtTheEnd) {
  const std::string text = "\u00df\u0915\U0001f600";  // 2, 3 and 4 bytes
  const std::size_t ends[] = {0, 0, 2, 2, 2, 5, 5, 5, 5, 9};
  for (std::size_t n = 0; n < 10; ++n) {
    EXPECT_EQ(repaired_utf8(text.substr(0, n)), text.substr(0, ends[n])) << n;
  }
}

// What Python 3.11 gives for bytes.decode("utf-8", "replace"), with an x against the end.
TEST(RepairedUtf8, ReplacesEveryMaximalSubpart) {
  const std::string r = "\ufffd";
  EXPECT_EQ(repaired_utf8("\xff\x80x"), r + r + "x");
  EXPECT_EQ(repaired_utf8("\xe2\x82x"), r + "x");
  EXPECT_EQ(repaired_utf8("\xf0\x9f\x98x"), r + "x");
  EXPECT_EQ(repaired_utf8("\xf0\x9f\xe2\x82\xc3x"), r + r + r + "x");
  EXPECT_EQ(repaired_utf8("\xe0\x80\x80x"), r + r + r + "x");          // overlong
  EXPECT_EQ(repaired_utf8("\xc0\xafx"), r + r + "x");                  // overlong
  EXPECT_EQ(repaired_utf8("\xed\xa0\x80x"), r + r + r + "x");          // a surrogate
  EXPECT_EQ(repaired_utf8("\xf4\x90\x80\x80x"), r + r + r + r + "x");  // above U+10FFFF
  EXPECT_EQ(repaired_utf8("\xf0\x8fx"), r + r + "x");
  EXPECT_EQ(repaired_utf8("x\xff"), "x" + r);  // no beginning of a character
  EXPECT_EQ(repaired_utf8("x\xf0\x80"), "x" + r + r);
  EXPECT_EQ(repaired_utf8("x\xed\xa0"), "x" + r + r);
}

TEST(RepairedUtf8, IsAlwaysUtf8) {
  std::mt19937 random(3);
  constexpr unsigned char kBytes[] = {0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2,
                                      0xe0, 0xe2, 0xed, 0xf0, 0xf1, 0xf4, 0xf5, 0xff};
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(random() % 9, ' ');
    for (char& byte : bytes) byte = static_cast<char>(kBytes[random() % std::size(kBytes)]);
    ASSERT_FALSE(find_invalid_utf8(repaired_utf8(bytes)));
  }
}

TEST(GeneratedText, DropsTheFirstSpaceOnly) {
  const auto tokenizer = byte_fallback(llama_decoder());
  GeneratedText text(*tokenizer, kNoStops);
  text.push(kSpaceAb);
  text.push(kSpaceAb);
  EXPECT_EQ(text.text(), "ab ab");
}

TEST(GeneratedText, EqualsTheDecodeOfAllIds) {
  for (const json& decoder : {llama_decoder(), metaspace_decoder()}) {
    const auto tokenizer = byte_fallback(decoder);
    std::mt19937 random(7);
    const TokenId pool[] = {kSpace,   kSpaces, kAb,    kSpaceAb, kBSpaceA, kC,
                            kControl, 0x20,    0xc3,   0xa9,     0xe2,     0x82,
                            0xac,     -1,      100000, kControl, kSpace,   kSpaceAb};
    for (int round = 0; round < 500; ++round) {
      Ids ids(1 + random() % 12);
      for (TokenId& id : ids) id = pool[random() % std::size(pool)];
      expect_decodes(*tokenizer, ids);
    }
    expect_decodes(*tokenizer, Ids(40, kControl));
    Ids late(40, kControl);
    late.insert(late.end(), {kSpace, kSpaceAb, kControl, kSpaceAb});
    expect_decodes(*tokenizer, late);
  }
}

class Stops : public ::testing::Test {
 protected:
  // The text at the end and, at `n_`, after how many pushes it stopped; one byte a token.
  std::string run(const std::vector<std::string>& stops, std::string_view bytes,
                  std::size_t first_stop = 0) {
    GeneratedText text(*tokenizer_, stops);
    n_ = 0;
    for (const char byte : bytes) {
      ++n_;
      if (text.push(static_cast<unsigned char>(byte), n_ > first_stop)) return text.text();
    }
    n_ = 0;
    return text.text();
  }

  const std::unique_ptr<Tokenizer> tokenizer_ = byte_fallback(llama_decoder());
  std::size_t n_ = 0;
};

TEST_F(Stops, FindsAStringSplitOverTokens) {
  EXPECT_EQ(run({"END"}, "one ENEND two"), "one EN");
  EXPECT_EQ(n_, 9u);
  EXPECT_EQ(run({"END"}, "one EN D"), "one EN D");
  EXPECT_EQ(n_, 0u);
  EXPECT_EQ(run({"x"}, "x"), "");
  EXPECT_EQ(run({"\n\n"}, "a\n\n\nb"), "a");
  EXPECT_EQ(run({""}, "abc"), "abc");
}

TEST_F(Stops, TakesTheOneThatIsCompleteFirst) {
  EXPECT_EQ(run({"cde", "bcdef"}, "abcdef"), "ab");
  EXPECT_EQ(run({"bcd", "cd"}, "abcdef"), "a");
  EXPECT_EQ(n_, 4u);
}

TEST_F(Stops, FindsTheFirstInsideOneToken) {
  const std::vector<std::string> stops{"a", " a", "zz"};
  GeneratedText text(*tokenizer_, stops);
  EXPECT_FALSE(text.push(kC));
  EXPECT_TRUE(text.push(kBSpaceA));  // "b a"
  EXPECT_EQ(text.text(), "cb");
  EXPECT_TRUE(text.push(kC));  // what comes after it changes nothing
  EXPECT_EQ(text.text(), "cb");
  EXPECT_EQ(text.ids().size(), 3u);
}

TEST_F(Stops, IgnoresThoseCompleteBeforeTheyMay) {
  EXPECT_EQ(run({"ab"}, "abxab", 2), "abx");
  EXPECT_EQ(run({"ab"}, "abxab", 1), "");
  EXPECT_EQ(run({"ab"}, "xabx", 3), "xabx");
  EXPECT_EQ(run({"aa"}, "aaaa", 2), "a");  // the second begins in the first
  EXPECT_EQ(n_, 3u);
}

TEST_F(Stops, MayEndInsideACharacterOfManyTokens) {
  EXPECT_EQ(run({"\u20ac"}, "5\u20ac!"), "5");
  EXPECT_EQ(run({"!"}, "5\xe2\x82!"), "5");
  EXPECT_EQ(run({"!"}, "5\xff!"), "5\ufffd");
}

json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return json::parse(file);
}

class GeneratedTextGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(GeneratedTextGolden, EqualsTheDecodeOfAllIds) {
  const auto folder =
      std::filesystem::path(TOVAMILL_SOURCE_DIR) / "tests/support/goldens/tokenizers";
  const auto tokenizer = Tokenizer::from_hf(read_json(folder / (std::string(GetParam()) + ".json")),
                                            nullptr, GetParam());
  const json golden = read_json(folder / "ids.json");
  for (const auto& text : golden["texts"]) {
    Ids ids;
    tokenizer->encode(text.get<std::string>(), true, ids);
    expect_decodes(*tokenizer, ids);
  }
  std::mt19937 random(11);
  Ids ids(300);
  for (TokenId& id : ids)
    id = static_cast<TokenId>(random() % static_cast<unsigned>(tokenizer->vocab_size()));
  expect_decodes(*tokenizer, ids);
}

INSTANTIATE_TEST_SUITE_P(Families, GeneratedTextGolden,
                         ::testing::Values("gpt2", "smollm", "llama3", "qwen", "tekken", "added",
                                           "llama2", "metaspace_first", "metaspace_always_split",
                                           "metaspace_never", "llama2_unknown"),
                         [](const auto& info) { return std::string(info.param); });

// Where the data shared by the developers lies.
std::filesystem::path shared_data() {
  const char* given = std::getenv("TOVAMILL_SHARED_DATA");
  return given ? std::filesystem::path(given)
               : std::filesystem::path(TOVAMILL_SOURCE_DIR) / "../shared/data";
}

class GeneratedTextReal : public ::testing::TestWithParam<const char*> {};

TEST_P(GeneratedTextReal, EqualsTheDecodeOfAllIds) {
  const auto packed = shared_data() / "tokenizers" / GetParam() / "tokenizer.json.xz";
  if (!std::filesystem::exists(packed)) GTEST_SKIP() << "the shared tokenizers are absent";
  const auto plain = std::filesystem::path(::testing::TempDir()) /
                     (std::string("tovamill-text-") + GetParam() + ".json");
  const std::string unpack = "xz -dc '" + packed.string() + "' > '" + plain.string() + "'";
  ASSERT_EQ(std::system(unpack.c_str()), 0) << unpack;
  const auto tokenizer = Tokenizer::from_hf(read_json(plain), nullptr, GetParam());
  std::filesystem::remove(plain);
  std::mt19937 random(13);
  Ids ids(3000);
  for (TokenId& id : ids)
    id = static_cast<TokenId>(random() % static_cast<unsigned>(tokenizer->vocab_size()));
  tokenizer->encode("Ein Satz mit \u00dcml\u00e4uten, \u4e2d\u6587 und \U0001f468\u200d\U0001f469.",
                    false, ids);
  expect_decodes(*tokenizer, ids, 97);
}

INSTANTIATE_TEST_SUITE_P(Shared, GeneratedTextReal,
                         ::testing::Values("llama2", "llama3_1", "qwen3"),
                         [](const auto& info) { return std::string(info.param); });

// Answers of gpt-oss: the analysis is no text, nor a stop string in it.
TEST(GeneratedText, TakesTheChannelFinalAlone) {
  json file = testing::golden_json("tokenizers/gpt2.json");
  auto n_vocab = file["model"]["vocab"].size();
  for (const json& token : file["added_tokens"])
    n_vocab = std::max(n_vocab, token["id"].get<std::size_t>() + 1);
  const std::vector<std::string> names{"<|start|>", "<|channel|>", "<|message|>", "<|end|>",
                                       "<|return|>"};
  for (const std::string& name : names) {
    file["added_tokens"].push_back({{"id", n_vocab++},
                                    {"content", name},
                                    {"single_word", false},
                                    {"lstrip", false},
                                    {"rstrip", false},
                                    {"normalized", false},
                                    {"special", true}});
  }
  const auto tokenizer = Tokenizer::from_hf(file, json(), "harmony");
  const AnswerChannels channels{*tokenizer->id_of(names[0]), *tokenizer->id_of(names[1]),
                                *tokenizer->id_of(names[2]), *tokenizer->id_of(names[3])};
  const std::vector<std::string> stops{"END"};
  const std::pair<const char*, const char*> cases[] = {
      {"<|channel|>analysis<|message|>Hm, END.<|end|><|start|>assistant<|channel|>final<|message|>"
       "It is 7.<|return|>",
       "It is 7."},
      {"<|channel|>final<|message|> Yes, \u00e9t\u00e9. END more", " Yes, \u00e9t\u00e9. "},
      {"<|channel|>analysis<|message|>only thoughts", ""},
      {"<|channel|>commentary to=functions.x <|message|>{}<|end|><|start|>assistant<|channel|>"
       "final <|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b",
       "ab"},
      {"<|message|>no channel", "no channel"},
      {"no message", ""},
      {"", ""},
  };
  for (const auto& [answer, expected] : cases) {
    GeneratedText text(*tokenizer, stops, &channels);
    Ids ids;
    tokenizer->encode(answer, true, ids);
    bool stopped = false;
    for (const TokenId id : ids) stopped = text.push(id);
    EXPECT_EQ(text.text(), expected);
    EXPECT_EQ(text.ids(), ids);
    EXPECT_EQ(stopped, std::string_view(answer).ends_with("more")) << answer;
  }
  EXPECT_TRUE(channels.continue_prompt({5, channels.end, channels.start, 6}));
  EXPECT_FALSE(channels.continue_prompt({5, channels.start, channels.message, 6}));
  EXPECT_FALSE(channels.continue_prompt({5}));
}

}  // namespace
}  // namespace tovamill
