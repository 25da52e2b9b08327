// What of a model's configuration depends on the options of a run.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "kernels/types/error.h"
#include "tests/support/error_of.h"
#include "workers/load/loaded_model.h"

namespace tovamill {
namespace {

ModelConfig config_of_family(const std::string& name) {
  const auto folder =
      std::filesystem::path(TOVAMILL_SOURCE_DIR) / "tests/support/goldens/families" / name;
  const auto files = ModelFiles::open(folder.string(), ModelFiles::Parts::weights_only);
  return config_from_hf(files->config(), name);
}

// The model's original context is 128 tokens, its trained one 512.
TEST(FitConfig, TakesShortFactorsWhereNoStreamIsLonger) {
  struct Case {
    CacheOptions cache;
    bool is_short;
  };
  const Case cases[] = {
      {{.policy = Policy::full}, false},
      {{.policy = Policy::tova, .cache_size = 64}, false},
      {{.policy = Policy::tova, .cache_size = 64, .chunk_tokens = 129}, false},
      {{.policy = Policy::tova, .cache_size = 64, .chunk_tokens = 128}, true},
      {{.policy = Policy::full, .positions = Positions::absolute, .chunk_tokens = 100}, true},
      {{.policy = Policy::full, .positions = Positions::absolute}, false},
  };
  for (const Case& c : cases) {
    ModelConfig config = config_of_family("phi3-long");
    const auto longer = config.shape.ropes;
    RunOptions options;
    options.cache = c.cache;
    fit_config(options, config);
    ASSERT_TRUE(config.long_rope.has_value());
    EXPECT_EQ(config.long_rope->is_short, c.is_short);
    EXPECT_EQ(config.shape.ropes != longer, c.is_short);
  }
}

TEST(FitConfig, RefusesMergesThatNoLayerCanDo) {
  RunOptions options;
  options.cache = {.policy = Policy::tova, .cache_size = 64};
  options.cache.merge = 16;
  ModelConfig capped = config_of_family("gemma2"), mixed = config_of_family("gemma3");
  const std::string message =
      testing::error_of([&] { fit_config(options, capped); }, ExitCode::configuration);
  EXPECT_TRUE(testing::contains(message, "--merge: every layer of the model has")) << message;
  EXPECT_NO_THROW(fit_config(options, mixed));  // two layers without a window
}

}  // namespace
}  // namespace tovamill
