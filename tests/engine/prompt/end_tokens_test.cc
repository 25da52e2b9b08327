#include "engine/prompt/end_tokens.h"

#include <gtest/gtest.h>

#include "tests/support/error_of.h"
#include "tests/support/models/real_tokenizers.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::contains;
using testing::error_of;
using Ids = std::vector<TokenId>;

std::unique_ptr<Tokenizer> tokenizer(const json& config = nullptr) {
  return Tokenizer::from_hf(testing::golden_json("tokenizers/gpt2.json"), config, "gpt2");
}

TEST(EndTokens, GenerationConfigComesBeforeConfig) {
  const auto plain = tokenizer();
  const auto ids = [&](const json& config, const json& generation) {
    return hf_end_token_ids(config, generation, *plain, "m");
  };
  EXPECT_EQ(ids({{"eos_token_id", 1}}, {{"eos_token_id", {9, 5, 9}}}), (Ids{5, 9}));
  EXPECT_EQ(ids({{"eos_token_id", {3}}}, {{"eos_token_id", nullptr}}), Ids{3});
  EXPECT_EQ(ids({{"eos_token_id", 3}}, nullptr), Ids{3});
  EXPECT_EQ(ids(nullptr, nullptr), Ids{});
}

TEST(EndTokens, TheTokenizersOwnIsOne) {
  const auto with_eos = tokenizer({{"eos_token", "</s>"}});
  const TokenId eos = *with_eos->id_of("</s>");
  EXPECT_EQ(hf_end_token_ids(nullptr, nullptr, *with_eos, "m"), Ids{eos});
  EXPECT_EQ(hf_end_token_ids(nullptr, {{"eos_token_id", {eos, 300}}}, *with_eos, "m"),
            (Ids{eos, 300}));
}

TEST(EndTokens, GgufNamesThreeKinds) {
  const auto plain = tokenizer();
  const json metadata = {{"tokenizer.ggml.eos_token_id", 7},
                         {"tokenizer.ggml.eot_token_id", 2},
                         {"tokenizer.ggml.eom_token_id", 7},
                         {"tokenizer.ggml.bos_token_id", 1}};
  EXPECT_EQ(gguf_end_token_ids(metadata, *plain, "m.gguf"), (Ids{2, 7}));
  const std::string message = error_of([&] {
    gguf_end_token_ids({{"tokenizer.ggml.eot_token_id", 600}}, *plain, "m.gguf");
  });
  EXPECT_TRUE(contains(message, "m.gguf: tokenizer.ggml.eot_token_id is '600'")) << message;
}

TEST(EndTokens, RefusesWhatIsNoIdOfTheVocabulary) {
  const auto plain = tokenizer();
  const json values[] = {-1,       600,   1.5,  "</s>",      true,  {{"a", 1}},
                         {1, "x"}, {{1}}, {-1}, 1ull << 63u, 1e300, {1, nullptr}};
  for (const json& value : values) {
    SCOPED_TRACE(value.dump());
    const std::string generation = error_of([&] {
      hf_end_token_ids(nullptr, {{"eos_token_id", value}}, *plain, "m");
    });
    EXPECT_TRUE(contains(generation, "m/generation_config.json: eos_token_id is ")) << generation;
    const std::string config = error_of([&] {
      hf_end_token_ids({{"eos_token_id", value}}, nullptr, *plain, "m");
    });
    EXPECT_TRUE(contains(config, "m/config.json: eos_token_id is ")) << config;
    EXPECT_TRUE(contains(config, std::to_string(plain->vocab_size()) + " tokens")) << config;
  }
}

}  // namespace
}  // namespace tovamill
