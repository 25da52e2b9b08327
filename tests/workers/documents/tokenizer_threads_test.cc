// A text that the tokenizer does not take is rejected, the others are tokenised.
#include "workers/documents/tokenizer_threads.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

namespace tovamill {
namespace {

TEST(TokenizerThreads, ATextWithTooMuchBacktrackingIsRejectedAlone) {
  nlohmann::json file = nlohmann::json::parse(
      std::ifstream(TOVAMILL_SOURCE_DIR "/tests/support/goldens/tokenizers/tekken.json"));
  file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(?:a|aa|b)+[cd]|[^a]";
  const auto tokenizer = Tokenizer::from_hf(file, nullptr, "tokenizer.json");
  for (const int n_threads : {0, 2}) {
    TokenizerThreads threads(*tokenizer, n_threads);
    auto bad = threads.start(std::string(200, 'a'), false);
    auto good = threads.start("the weather", false);
    const TextTokens rejected = bad.get(), taken = good.get();
    EXPECT_NE(rejected.rejection.find("the regular expression"), std::string::npos);
    EXPECT_TRUE(rejected.ids.empty());
    EXPECT_TRUE(taken.rejection.empty());
    EXPECT_FALSE(taken.ids.empty());
  }
}

}  // namespace
}  // namespace tovamill
