// Tokenizers with the steps of many families against Hugging Face `tokenizers` and llama.cpp:
// tests/support/generators/make_family_goldens.py and make_gguf_tokenizer_goldens.py.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "engine/text/sha256.h"
#include "engine/tokenizer/tokenizer.h"

namespace tovamill {
namespace {

using nlohmann::json;

json read_golden(const std::string& name) {
  return json::parse(
      std::ifstream(TOVAMILL_SOURCE_DIR "/tests/support/goldens/tokenizers/" + name));
}

std::string digest_of(const Tokenizer& tokenizer, const std::string& text, bool parse_special) {
  std::vector<TokenId> ids;
  tokenizer.encode(text, parse_special, ids);
  std::string out;
  for (const TokenId id : ids) out += std::to_string(id) + " ";
  return sha256_hex(out).substr(0, 8);
}

// Compares each text; what the reference makes a control token of is left out. Returns how many
// were compared.
int compare(const Tokenizer& tokenizer, const json& texts, const json& expected,
            bool parse_special) {
  int n_equal = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (expected[i].is_null()) continue;
    const auto text = texts[i].get<std::string>();
    EXPECT_EQ(digest_of(tokenizer, text, parse_special), expected[i].get<std::string>())
        << "text " << i << ": " << ::testing::PrintToString(text)
        << (parse_special ? " with control tokens" : "");
    ++n_equal;
  }
  return n_equal;
}

TEST(FamilyGolden, IdsEqualHuggingFace) {
  const json golden = read_golden("families.json");
  for (const auto& [name, family] : golden["families"].items()) {
    SCOPED_TRACE(name);
    const auto tokenizer = Tokenizer::from_hf(family["tokenizer"], nullptr, name);
    EXPECT_GT(compare(*tokenizer, golden["texts"], family["special"], true), 80);
    EXPECT_GT(compare(*tokenizer, golden["texts"], family["plain"], false), 70);
  }
  EXPECT_GE(golden["families"].size(), 20u);
}

TEST(FamilyGolden, IdsEqualLlamaCpp) {
  const json golden = read_golden("gguf_pre.json");
  for (const json& entry : golden["cases"]) {
    SCOPED_TRACE(entry["name"].get<std::string>());
    json metadata = golden["bases"][entry["base"].get<std::string>()];
    metadata.update(entry["set"]);
    const auto tokenizer = Tokenizer::from_gguf(metadata, "model.gguf");
    EXPECT_EQ(tokenizer->leading(), entry["leading"].get<std::vector<TokenId>>());
    compare(*tokenizer, golden["texts"], entry["special"], true);
    compare(*tokenizer, golden["texts"], entry["plain"], false);
  }
  EXPECT_GE(golden["cases"].size(), 70u);
}

TEST(FamilyGolden, UnigramsGiveTheTextBack) {
  const json golden = read_golden("families.json");
  const json& family = golden["families"]["unigram_first"];
  const auto tokenizer = Tokenizer::from_hf(family["tokenizer"], nullptr, "unigram_first");
  for (const std::string text : {"the sea", "the other weather, the leather", "  the"}) {
    std::vector<TokenId> ids;
    tokenizer->encode(text, false, ids);
    EXPECT_EQ(tokenizer->decode(ids, false), text == "  the" ? " the" : text);
  }
}

}  // namespace
}  // namespace tovamill
