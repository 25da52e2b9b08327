// Ids against those that Hugging Face `tokenizers` and llama.cpp's format give, from files: the
// committed goldens of tests/support/generators/make_tokenizer_goldens.py, and the shared real
// tokenizers where they are.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/tokenizer/tokenizer.h"

namespace tovamill {
namespace {

using nlohmann::json;

const std::filesystem::path kGoldens =
    std::filesystem::path(TOVAMILL_SOURCE_DIR) / "tests/support/goldens/tokenizers";

json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return json::parse(file);
}

std::vector<TokenId> encode(const Tokenizer& tokenizer, std::string_view text, bool parse_special) {
  std::vector<TokenId> ids;
  tokenizer.encode(text, parse_special, ids);
  return ids;
}

class TokenizerGolden : public ::testing::TestWithParam<const char*> {
 protected:
  const json tokenizer_json_ = read_json(kGoldens / (std::string(GetParam()) + ".json"));
  const std::unique_ptr<Tokenizer> tokenizer_ =
      Tokenizer::from_hf(tokenizer_json_, nullptr, GetParam());
};

TEST_P(TokenizerGolden, IdsEqualHuggingFace) {
  const json golden = read_json(kGoldens / "ids.json");
  const json& expected = golden["families"][GetParam()];
  for (std::size_t i = 0; i < golden["texts"].size(); ++i) {
    const auto text = golden["texts"][i].get<std::string>();
    const auto plain = expected["plain"][i].get<std::vector<TokenId>>();
    EXPECT_EQ(encode(*tokenizer_, text, false), plain) << "text " << i << ": " << text;
    const auto special = expected["special"].value(std::to_string(i), plain);
    EXPECT_EQ(encode(*tokenizer_, text, true), special)
        << "text " << i << " with control tokens: " << text;
  }
}

TEST_P(TokenizerGolden, PlainTextNeverMakesAControlToken) {
  std::string text;
  for (const auto& token : tokenizer_json_["added_tokens"])
    text += token["content"].get<std::string>() + "x ";
  for (const TokenId id : encode(*tokenizer_, text, false)) {
    for (const auto& token : tokenizer_json_["added_tokens"]) {
      const auto content = token["content"].get<std::string>();
      if (token["special"] == true || (content.front() == '<' && content.back() == '>')) {
        EXPECT_NE(id, token["id"].get<TokenId>()) << content;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, TokenizerGolden,
                         ::testing::Values("gpt2", "smollm", "llama3", "qwen", "tekken", "added",
                                           "llama2", "metaspace_first", "metaspace_always_split",
                                           "metaspace_never", "llama2_unknown"),
                         [](const auto& info) { return std::string(info.param); });

TEST(TokenizerGoldens, ByteLevelDecodeGivesTheTextBack) {
  const auto tokenizer = Tokenizer::from_hf(read_json(kGoldens / "gpt2.json"), nullptr, "gpt2");
  const json golden = read_json(kGoldens / "ids.json");
  for (const auto& text : golden["texts"]) {
    const auto expected = text.get<std::string>();
    EXPECT_EQ(tokenizer->decode(encode(*tokenizer, expected, false), false), expected);
  }
}

TEST(TokenizerGoldens, SentencePieceDecodeDropsTheSpaceItPutBefore) {
  const auto tokenizer = Tokenizer::from_hf(read_json(kGoldens / "llama2.json"), nullptr, "llama2");
  for (const std::string text : {"the sea", " two  spaces ", "emoji 😀 by bytes", "line\nline"}) {
    EXPECT_EQ(tokenizer->decode(encode(*tokenizer, text, false), false), text);
  }
}

// Where the data shared by the developers lies; empty where it is absent.
std::filesystem::path shared_data() {
  const char* given = std::getenv("TOVAMILL_SHARED_DATA");
  const auto path = given ? std::filesystem::path(given)
                          : std::filesystem::path(TOVAMILL_SOURCE_DIR) / "../shared/data";
  return std::filesystem::exists(path) ? path : std::filesystem::path();
}

class RealTokenizer : public ::testing::TestWithParam<const char*> {};

TEST_P(RealTokenizer, LoadsAndGivesBooksBack) {
  const auto folder = shared_data() / "tokenizers" / GetParam();
  const auto packed = folder / "tokenizer.json.xz";
  if (!std::filesystem::exists(packed)) GTEST_SKIP() << "the shared tokenizers are absent";
  const auto plain = std::filesystem::path(::testing::TempDir()) /
                     (std::string("tovamill-") + GetParam() + ".json");
  const std::string unpack = "xz -dc '" + packed.string() + "' > '" + plain.string() + "'";
  if (std::system(unpack.c_str()) != 0) GTEST_SKIP() << "xz is absent";
  const auto tokenizer =
      Tokenizer::from_hf(read_json(plain), read_json(folder / "tokenizer_config.json"), GetParam());
  std::filesystem::remove(plain);
  EXPECT_EQ(!tokenizer->leading().empty(), std::string_view(GetParam()).starts_with("llama"));
  EXPECT_EQ(tokenizer->id_of("the").has_value(), true);
  std::ifstream book(shared_data() / "golden/356.txt");
  const std::string text{std::istreambuf_iterator<char>(book), {}};
  ASSERT_FALSE(text.empty());
  EXPECT_EQ(tokenizer->decode(encode(*tokenizer, text, false), false), text);
}

INSTANTIATE_TEST_SUITE_P(Shared, RealTokenizer, ::testing::Values("llama2", "llama3_1", "qwen3"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace tovamill
