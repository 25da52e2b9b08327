#include "workers/options/budgets.h"

#include <gtest/gtest.h>

#include <numeric>

#include "kernels/types/model_shape.h"
#include "tests/support/error_of.h"
#include "tests/support/temporary_directory.h"
#include "workers/options/run_options.h"
#include "workers/options/sweep.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;

// Errors that fall as 1/n: of the first layer twice those of the second.
BudgetTable two_layer_table() {
  return {.model = "", .merge = 0, .sizes = {32, 64}, .errors = {{1.0, 0.5}, {0.5, 0.25}}};
}

CacheOptions ema_cache(std::int32_t size, std::int32_t merge = 0, std::int32_t pin = 0) {
  return {.policy = Policy::tova_ema, .cache_size = size, .pin = pin, .merge = merge};
}

TEST(Budgets, FilesThatAreNoneAreRefusedByName) {
  const std::string front = R"({"format":"tovamill budgets","version":1,"model":"m","merge":0,)";
  const auto rest = [&](const char* text) { return front + text + "}"; };
  testing::TemporaryDirectory d;
  for (const auto& [text, said] : std::vector<std::pair<std::string, const char*>>{
           {"", "b.json"},
           {"[]", "b.json"},
           {"GGUF", "b.json"},
           {"{}", "it is none"},
           {R"({"format":"other","version":1})", "it is none"},
           {R"({"format":"tovamill budgets"})", "its version is unknown"},
           {R"({"format":"tovamill budgets","version":2})", "its version is unknown"},
           {R"({"format":"tovamill budgets","version":1})", "it has no 'model'"},
           {R"({"format":"tovamill budgets","version":1,"model":"m"})", "it has no 'merge'"},
           {R"({"format":"tovamill budgets","version":1,"model":"m","merge":"0"})",
            "'merge' is no number"},
           {rest(R"("sizes":[32,64])"), "it has no 'errors'"},
           {rest(R"("errors":[[1,1]])"), "it has no 'sizes'"},
           {rest(R"("sizes":32,"errors":[[1,1]])"), "are no lists"},
           {rest(R"("sizes":[32,64],"errors":{})"), "are no lists"},
           {rest(R"("sizes":[],"errors":[[]])"), "two or more ascending"},
           {rest(R"("sizes":[32],"errors":[[1]])"), "two or more ascending"},
           {rest(R"("sizes":[64,32],"errors":[[1,1]])"), "two or more ascending"},
           {rest(R"("sizes":[32,32],"errors":[[1,1]])"), "two or more ascending"},
           {rest(R"("sizes":[0,32],"errors":[[1,1]])"), "a size is no number of tokens"},
           {rest(R"("sizes":[1.5,32],"errors":[[1,1]])"), "a size is no number of tokens"},
           {rest(R"("sizes":["8",32],"errors":[[1,1]])"), "a size is no number of tokens"},
           {rest(R"("sizes":[32,99999999999],"errors":[[1,1]])"), "a size is no number of tokens"},
           {rest(R"("sizes":[32,64],"errors":[])"), "it is of no layer"},
           {rest(R"("sizes":[32,64],"errors":[[1,1],[1]])"), "an error for each size"},
           {rest(R"("sizes":[32,64],"errors":[[1,1,1]])"), "an error for each size"},
           {rest(R"("sizes":[32,64],"errors":[[1,-1]])"), "an error for each size"},
           {rest(R"("sizes":[32,64],"errors":[[1,null]])"), "an error for each size"},
           {rest(R"("sizes":[32,64],"errors":[[1,"1"]])"), "an error for each size"},
           {rest(R"("sizes":[32,64],"errors":[1,1])"), "an error for each size"},
       }) {
    const std::string path = d.write("b.json", text);
    EXPECT_TRUE(contains(error_of([&] { read_budgets(path); }), said)) << text;
  }
  error_of([&] { read_budgets(d.path() / "none.json"); }, ExitCode::no_input);
}

TEST(Budgets, AreReadAsTheyAreWritten) {
  testing::TemporaryDirectory d;
  BudgetTable table = two_layer_table();
  table.model = "llama \xc3\xa4";
  table.merge = 16;
  table.errors[1][1] = 0.1 + 0.2;
  const BudgetTable read = read_budgets(d.write("b.json", json_of(table).dump(1)));
  EXPECT_EQ(read.model, table.model);
  EXPECT_EQ(read.merge, 16);
  EXPECT_EQ(read.sizes, table.sizes);
  EXPECT_EQ(read.errors, table.errors);
}

// Two layers of 32 tokens share out what is left in steps of 4: the first gains 128 / (n (n + 4))
// by one, the second half of that.
TEST(Budgets, GoToTheLayerThatGainsMost) {
  using Sizes = std::vector<std::int32_t>;
  BudgetTable table = two_layer_table();
  EXPECT_EQ(allocate(table, ema_cache(64)), Sizes({76, 52}));
  EXPECT_EQ(allocate(table, ema_cache(80, 16)), Sizes({92, 68})) << "merged tokens come on top";
  std::swap(table.errors[0], table.errors[1]);
  EXPECT_EQ(allocate(table, ema_cache(64)), Sizes({52, 76}));
  table.errors[1] = table.errors[0];
  EXPECT_EQ(allocate(table, ema_cache(64)), Sizes({64, 64}));
  table.errors = {{1.0, 0.5}, {0.1, 0.1}};
  EXPECT_EQ(allocate(table, ema_cache(64)), Sizes({96, 32})) << "the second gains nothing";
  table.errors = {{0.0, 0.0}, {0.0, 0.0}};
  const Sizes none = allocate(table, ema_cache(64));
  EXPECT_EQ(std::accumulate(none.begin(), none.end(), 0), 128);
}

TEST(Budgets, ErrorsThatRiseCountAsEqual) {
  BudgetTable rising = two_layer_table(), level = rising;
  rising.sizes = level.sizes = {32, 64, 128};
  rising.errors = {{1.0, 0.2, 0.4}, {0.8, 0.5, 0.3}};
  level.errors = {{1.0, 0.4, 0.4}, {0.8, 0.5, 0.3}};
  for (const std::int32_t size : {40, 64, 100, 200, 1000})
    EXPECT_EQ(allocate(rising, ema_cache(size)), allocate(level, ema_cache(size))) << size;
}

TEST(Budgets, SpendTheWholeCacheAndKeepEachLayersLeast) {
  BudgetTable table{.model = "", .merge = 8, .sizes = {32, 64, 128, 256, 512}, .errors = {}};
  for (int l = 0; l < 7; ++l) {
    std::vector<double>& errors = table.errors.emplace_back();
    for (const std::int32_t size : table.sizes)
      errors.push_back((l + 1) * 1e-3 / (size + 20.0 * (l % 3)));
  }
  for (const std::int32_t merge : {0, 8}) {
    for (const std::int32_t pin : {0, 4, 40}) {
      for (std::int32_t size = merge + pin + 1; size < 5000; size += 1 + size / 7) {
        SCOPED_TRACE(::testing::Message() << size << " merge " << merge << " pin " << pin);
        const std::vector<std::int32_t> sizes = allocate(table, ema_cache(size, merge, pin));
        EXPECT_EQ(sizes.size(), 7u);
        EXPECT_EQ(std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0}), 7 * size);
        const std::int32_t least = std::max(std::min(32, size - merge), pin + 1);
        for (const std::int32_t n : sizes) EXPECT_GE(n, least + merge);
      }
    }
  }
  std::vector<std::int32_t> last(7, 0);
  for (const std::int32_t size : {40, 64, 128, 256, 512, 1024}) {
    const std::vector<std::int32_t> sizes = allocate(table, ema_cache(size));
    for (std::size_t l = 0; l < 7; ++l) EXPECT_GE(sizes[l], last[l]) << size << " layer " << l;
    last = sizes;
  }
}

TEST(Budgets, WhereAllIsPinnedOrMergedThereAreNone) {
  EXPECT_TRUE(contains(
      error_of([] { allocate(two_layer_table(), ema_cache(64, 16, 48)); }, ExitCode::configuration),
      "48 pinned and 16 merged tokens leave nothing of --cache-size 64"));
  EXPECT_NO_THROW(allocate(two_layer_table(), ema_cache(64, 16, 47)));
}

TEST(Budgets, BelongToPoliciesPositionsAndModelsThatTakeThem) {
  testing::TemporaryDirectory d;
  RunOptions o;
  o.model = "model";
  o.corpus.paths = {"corpus"};
  o.out = "out";
  o.budgets = d.write("b.json", json_of(two_layer_table()).dump());
  o.cache = ema_cache(64);
  EXPECT_NO_THROW(validate(o));
  EXPECT_EQ(with_budgets(o).layer_sizes, std::vector<std::int32_t>({76, 52}));
  const auto refuses = [&](const char* part) {
    EXPECT_TRUE(contains(error_of([&] { validate(o); }, ExitCode::configuration), part)) << part;
  };
  o.cache.positions = Positions::in_state;
  refuses("--budgets goes with --positions clipped or absolute");
  o.cache = {.policy = Policy::h2o, .cache_size = 64};
  refuses("--budgets has no effect with --policy h2o");
  EXPECT_TRUE(with_budgets(o).layer_sizes.empty());
  o.cache = ema_cache(64, 4);
  o.job_kind = Job::summarize;
  o.generation.prefill = Prefill::full;
  o.budgets = kNoBudgets;
  o.cache.policy = Policy::tova;
  refuses("--prefill full does not go with --merge 4");
  o.cache.positions = Positions::in_state;
  refuses("--merge 4 goes with --positions clipped or absolute");
  ModelShape shape;
  shape.layers.resize(3);
  CacheOptions cache = ema_cache(64);
  EXPECT_NO_THROW(check_budgets(cache, shape));
  cache.layer_sizes = {76, 52};
  EXPECT_TRUE(contains(error_of([&] { check_budgets(cache, shape); }, ExitCode::configuration),
                       "the file is of a model of 2 layers, this one has 3"));
}

TEST(Budgets, OfAnotherRunsStateOrModelAreNamed) {
  testing::TemporaryDirectory d;
  BudgetTable table = two_layer_table();
  table.merge = 16;
  table.model = "llama, 2 layers";
  RunOptions o;
  EXPECT_TRUE(budget_notes(o, "a.gguf: llama, 2 layers").empty());
  o.budgets = d.write("b.json", json_of(table).dump());
  o.cache = ema_cache(64, 16);
  EXPECT_TRUE(budget_notes(o, "a.gguf: llama, 2 layers").empty());
  EXPECT_TRUE(budget_notes(o, "").empty()) << "the model is not known yet";
  EXPECT_EQ(budget_notes(o, "b.gguf: qwen2, 2 layers"),
            std::vector<std::string>({o.budgets + " was measured on llama, 2 layers"}));
  o.cache.merge = 0;
  EXPECT_EQ(
      budget_notes(o, "b.gguf: qwen2, 2 layers"),
      std::vector<std::string>({o.budgets + " was measured with --merge 16 on llama, 2 layers"}));
  o.cache = {};
  o.sweep = "policy=full,tova merge=0,16 budgets=none," + o.budgets;
  o.model = "b.gguf";
  o.corpus.paths = {"texts"};
  o.out = "run";
  o.budgets = kNoBudgets;
  EXPECT_EQ(budget_notes(o, "llama, 2 layers").size(), 1u);
}

}  // namespace
}  // namespace tovamill
