// What Tokenizer::from_gguf makes of metadata; expected ids worked out by llama.cpp's rules.
#include <gtest/gtest.h>

#include "engine/tokenizer/tokenizer.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

using nlohmann::json;
using Ids = std::vector<TokenId>;

Ids encode(const Tokenizer& tokenizer, std::string_view text, bool parse_special = false) {
  Ids ids;
  tokenizer.encode(text, parse_special, ids);
  return ids;
}

// <unk>, <s>, </s>, ▁, a, b, ab, bb, ▁a, "ä" only as a part of "äb", a byte token for each byte of
// "ä", user-defined "::".
json sentencepiece() {
  return {{"tokenizer.ggml.model", "llama"},
          {"tokenizer.ggml.tokens",
           {"<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "bb", "▁a", "äb", "<0xC3>", "<0xA4>",
            "::", "<s"}},
          {"tokenizer.ggml.scores", {0, 0, 0, -9, -9, -9, -2, -3, -1, -4, 0, 0, -1000, -1}},
          {"tokenizer.ggml.token_type", {2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 6, 6, 4, 1}}};
}

json byte_level(const std::string& pre) {
  return {{"tokenizer.ggml.model", "gpt2"},
          {"tokenizer.ggml.pre", pre},
          {"tokenizer.ggml.tokens",
           {"a", "b", "1", "Ġ", "ab", "11", "Ġ1", "<|im_end|>", "<think>", "aab"}},
          {"tokenizer.ggml.token_type", {1, 1, 1, 1, 1, 1, 1, 3, 4, 1}},
          {"tokenizer.ggml.merges", {"a b", "1 1", "Ġ 1"}},
          {"tokenizer.ggml.bos_token_id", 7},
          {"tokenizer.ggml.eos_token_id", 7}};
}

std::unique_ptr<Tokenizer> load(const json& metadata) {
  return Tokenizer::from_gguf(metadata, "model.gguf");
}

TEST(GgufTokenizer, JoinsTheHighestScoreFirst) {
  const auto tokenizer = load(sentencepiece());
  EXPECT_EQ(encode(*tokenizer, "ab"), (Ids{8, 5}));  // ▁a (-1) before ab (-2)
  EXPECT_EQ(encode(*tokenizer, "b ab"), (Ids{3, 5, 8, 5}));
}

TEST(GgufTokenizer, JoinsCharactersThatAreNoTokenAndFallsBackToBytes) {
  const auto tokenizer = load(sentencepiece());
  EXPECT_EQ(encode(*tokenizer, "äb"), (Ids{3, 9}));
  EXPECT_EQ(encode(*tokenizer, "ä"), (Ids{3, 10, 11}));
  EXPECT_EQ(encode(*tokenizer, "x"), (Ids{3, 0}));  // no byte token for x
}

TEST(GgufTokenizer, PutsASpaceBeforeEachStretchOfTextIfToldTo) {
  json metadata = sentencepiece();
  EXPECT_EQ(encode(*load(metadata), "a::a"), (Ids{8, 12, 8}));
  metadata["tokenizer.ggml.add_space_prefix"] = false;
  EXPECT_EQ(encode(*load(metadata), "a::a"), (Ids{4, 12, 4}));
}

TEST(GgufTokenizer, NeverMakesAControlTokenOfText) {
  json metadata = sentencepiece();
  metadata["tokenizer.ggml.tokens"].push_back(">");
  metadata["tokenizer.ggml.scores"].push_back(0);
  metadata["tokenizer.ggml.token_type"].push_back(1);
  metadata["tokenizer.ggml.add_space_prefix"] = false;
  for (const TokenId id : encode(*load(metadata), "<s>")) EXPECT_NE(id, 1);
  EXPECT_EQ(encode(*load(metadata), "<s>", true), Ids{1});
  EXPECT_EQ(encode(*load(byte_level("gpt-2")), "a<|im_end|><think>"), Ids{0});
  EXPECT_EQ(encode(*load(byte_level("gpt-2")), "a<|im_end|><think>", true), (Ids{0, 7, 8}));
}

TEST(GgufTokenizer, PreTokenizersDifferInDigitsAndMerges) {
  EXPECT_EQ(encode(*load(byte_level("gpt-2")), "11 1"), (Ids{5, 6}));
  EXPECT_EQ(encode(*load(byte_level("smollm")), "11 1"), (Ids{2, 2, 3, 2}));
  EXPECT_EQ(encode(*load(byte_level("qwen2")), "11 1"), (Ids{2, 2, 3, 2}));
  EXPECT_EQ(encode(*load(byte_level("llama-bpe")), "11 1"), (Ids{5, 3, 2}));
  EXPECT_EQ(encode(*load(byte_level("llama-bpe")), "aab"),
            Ids{9});  // a token as a whole, though no merge makes it
  EXPECT_EQ(encode(*load(byte_level("smaug-bpe")), "aab"), (Ids{0, 4}));
  EXPECT_EQ(encode(*load(byte_level("tekken")), "11 1"), (Ids{2, 2, 3, 2}));
  EXPECT_EQ(encode(*load(byte_level("default")), "11 1"), (Ids{5, 3, 2}));
}

TEST(GgufTokenizer, BytesWithoutATokenStandApart) {
  EXPECT_EQ(encode(*load(byte_level("gpt-2")), "aéb"),
            (Ids{0, 1}));  // left out, yet "ab" is not made
}

TEST(GgufTokenizer, BosFollowsTheKindUnlessTold) {
  EXPECT_FALSE(load(byte_level("llama-bpe"))->leading().empty());
  EXPECT_TRUE(load(byte_level("qwen2"))->leading().empty());
  EXPECT_FALSE(load(sentencepiece())->leading().empty());
  json metadata = byte_level("llama-bpe");
  metadata["tokenizer.ggml.add_bos_token"] = false;
  EXPECT_TRUE(load(metadata)->leading().empty());
}

TEST(GgufTokenizer, RefusesWhatItDoesNotKnow) {
  const auto refused = [](json metadata, const char* key, const json& value) {
    metadata[std::string("tokenizer.ggml.") + key] = value;
    EXPECT_THROW(load(metadata), BadData) << key << " = " << value;
  };
  refused(byte_level("gpt-2"), "pre", "kimi-k2");
  refused(byte_level("gpt-2"), "model", "t5");
  refused(byte_level("gpt-2"), "model", "bert");
  refused(byte_level("gpt-2"), "model", 3);
  refused(byte_level("gpt-2"), "merges", nullptr);
  refused(byte_level("gpt-2"), "merges", {"a x"});
  refused(byte_level("gpt-2"), "tokens", json::array());
  refused(byte_level("gpt-2"), "tokens", {"a", "a"});
  refused(byte_level("gpt-2"), "tokens", {"a", 5});
  refused(byte_level("gpt-2"), "token_type", {1});
  refused(byte_level("gpt-2"), "bos_token_id", 10);
  refused(byte_level("gpt-2"), "bos_token_id", -1);
  refused(sentencepiece(), "scores", {1.0});
  refused(sentencepiece(), "scores", "high");
  EXPECT_THROW(load(json::object()), BadData);
  EXPECT_THROW(load(nullptr), BadData);
}

}  // namespace
}  // namespace tovamill
