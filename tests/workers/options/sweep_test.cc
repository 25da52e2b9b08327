#include "workers/options/sweep.h"

#include <gtest/gtest.h>

#include "tests/support/error_of.h"
#include "tests/support/temporary_directory.h"
#include "workers/options/budgets.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;

RunOptions swept(const std::string& sweep) {
  RunOptions o;
  o.model = "model";
  o.corpus.paths = {"corpus"};
  o.out = "out";
  o.sweep = sweep;
  return o;
}

TEST(Sweep, NamesItsSettingsByWhatVaries) {
  struct Case {
    const char *sweep, *names;
    std::size_t baseline, n_notes;
  };
  for (const Case& c : {
           Case{"policy=tova", "tova", 0, 0},
           Case{"cache-size=128,256", "tova-128, tova-256", 0, 0},
           Case{"policy=tova,full cache-size=128,256", "tova-128, tova-256, full", 2, 1},
           Case{"cache-size=128,256 policy=tova,full", "tova-128, full, tova-256", 1, 1},
           Case{"policy=full,tova,tova-ema cache-size=64", "full, tova, tova-ema", 0, 1},
           Case{"policy=tova,tova-ema cache-size=32,64 ema=0.9,0.95",
                "tova-32, tova-64, tova-ema-32-ema=0.9, tova-ema-32-ema=0.95, tova-ema-64-ema=0.9, "
                "tova-ema-64-ema=0.95",
                0, 1},
           Case{"policy=tova,window pin=0,4 sinks=4", "tova-pin=0, tova-pin=4, window", 0, 2},
           Case{"positions=clipped,absolute clip-distance=100,200",
                "tova-positions=clipped-clip-distance=100, "
                "tova-positions=clipped-clip-distance=200, tova-positions=absolute",
                0, 1},
           Case{"policy=random,tova seed=1,2", "random-seed=1, random-seed=2, tova", 0, 1},
           Case{"cache-size=128,128,0128", "tova", 0, 0},
           Case{"chunk-tokens=0,512", "tova-chunk-tokens=0, tova-chunk-tokens=512", 0, 0},
           Case{"policy=full cache-size=128,256", "full", 0, 1},
           Case{"policy=tova-ema,h2o cache-size=64 merge=0,16",
                "tova-ema-merge=0, tova-ema-merge=16, h2o", 0, 1},
       }) {
    const Sweep sweep = sweep_of(swept(c.sweep));
    EXPECT_EQ(sweep.names(), c.names) << c.sweep;
    EXPECT_EQ(sweep.baseline(), c.baseline) << c.sweep;
    EXPECT_EQ(sweep.notes.size(), c.n_notes) << c.sweep;
  }
}

// Names part groups of HDF5 by slashes, and operands of `compare` by colons.
TEST(Sweep, NamesBudgetsByTheirFiles) {
  testing::TemporaryDirectory d;
  const BudgetTable table{
      .model = "", .merge = 0, .sizes = {32, 64}, .errors = {{1.0, 0.5}, {0.5, 0.25}}};
  const std::string text = json_of(table).dump(), b = d.write("deep/b.json", text),
                    odd = d.write("deep/\xff:b.json", text), other = d.write("b.json", text);
  const std::string front = "policy=tova,full cache-size=64 budgets=none,";
  const Sweep sweep = sweep_of(swept(front + b));
  EXPECT_EQ(sweep.names(), "tova-budgets=none, tova-budgets=b.json, full");
  EXPECT_EQ(sweep.notes.size(), 2u);
  EXPECT_EQ(sweep.settings[0].options.budgets, kNoBudgets);
  EXPECT_EQ(sweep.settings[1].options.budgets, b);
  EXPECT_EQ(sweep.settings[2].options.budgets, kNoBudgets);
  const std::vector<CacheOptions> caches = caches_of(swept(front + b));
  EXPECT_TRUE(caches[0].layer_sizes.empty() && caches[2].layer_sizes.empty());
  EXPECT_EQ(caches[1].layer_sizes, std::vector<std::int32_t>({76, 52}));
  EXPECT_EQ(sweep_of(swept(front + odd)).settings[1].name, "tova-budgets=__b.json");
  EXPECT_TRUE(contains(error_of([&] { sweep_of(swept(front + b + "," + other)); }, ExitCode::usage),
                       "two settings would be named tova-budgets=b.json"));
  EXPECT_TRUE(contains(error_of([&] { sweep_of(swept(front + "none.json")); }, ExitCode::no_input),
                       "setting tova-budgets=none.json"));
}

TEST(Sweep, GivesASettingTheOptionsOfARunOfItAlone) {
  RunOptions o = swept("policy=full,tova-ema cache-size=64 ema=0.5");
  o.threads = 3;
  o.cache.positions = Positions::absolute;
  const Sweep sweep = sweep_of(o);
  ASSERT_EQ(sweep.names(), "full, tova-ema");
  const RunOptions &full = sweep.settings[0].options, &ema = sweep.settings[1].options;
  EXPECT_EQ(full.cache.policy, Policy::full);
  EXPECT_EQ(full.cache.cache_size, CacheOptions().cache_size);
  EXPECT_EQ(full.cache.ema, CacheOptions().ema);
  EXPECT_EQ(ema.cache.cache_size, 64);
  EXPECT_EQ(ema.cache.ema, 0.5);
  for (const RunOptions* one : {&full, &ema}) {
    EXPECT_EQ(one->threads, 3);
    EXPECT_EQ(one->cache.positions, Positions::absolute);
    EXPECT_TRUE(one->sweep.empty());
  }
  EXPECT_EQ(caches_of(o).size(), 2u);
  EXPECT_EQ(caches_of(swept("")).size(), 1u);
}

TEST(Sweep, RefusesWhatItCannotReadByName) {
  struct Case {
    const char *sweep, *said;
    ExitCode code;
  };
  for (const Case& c : {
           Case{" ", "it is empty", ExitCode::usage},
           Case{"tova,full", "'tova,full' is not NAME=VALUE", ExitCode::usage},
           Case{"policy=", "empty value", ExitCode::usage},
           Case{"policy=tova,,full", "empty value", ExitCode::usage},
           Case{"policy=nova", "nova", ExitCode::usage},
           Case{"cache-size=many", "--sweep: cache-size", ExitCode::usage},
           Case{"threads=1,2", "'threads' is no option that a sweep can vary: choose of policy,",
                ExitCode::usage},
           Case{"policy=tova policy=full", "'policy' is given twice", ExitCode::usage},
           Case{"cache-size=0,8", "setting tova-0", ExitCode::configuration},
           Case{"cache-size=8,32 merge=16", "setting tova-8", ExitCode::configuration},
           Case{"positions=clipped,in-state merge=4", "setting tova-positions=in-state",
                ExitCode::configuration},
           Case{"policy=h2o cache-size=16,64 recent=32", "setting h2o-16", ExitCode::configuration},
           Case{"policy=tova pin=1,2,3,4,5,6,7,8,9 cache-size=101,102,103,104,105,106,107,108",
                "72 settings are more than 64", ExitCode::configuration},
       })
    EXPECT_TRUE(contains(error_of([&] { sweep_of(swept(c.sweep)); }, c.code), c.said)) << c.sweep;
}

TEST(Sweep, VariesTheInstructionWhereTextsAreWritten) {
  RunOptions o = swept("policy=full,tova cache-size=64 instruction=after,pinned seed=1,2");
  EXPECT_TRUE(contains(error_of([&] { sweep_of(o); }, ExitCode::usage),
                       "'instruction' is no option that a sweep can vary"));
  o.job_kind = Job::generate;
  const Sweep sweep = sweep_of(o);
  EXPECT_EQ(sweep.names(),
            "full-instruction=after, full-instruction=pinned, tova-instruction=after, "
            "tova-instruction=pinned");
  EXPECT_EQ(sweep.settings[1].options.generation.instruction, InstructionChoice::pinned);
  EXPECT_TRUE(sweep.settings[1].options.generation.pins());
  EXPECT_FALSE(sweep.settings[0].options.generation.pins());
  o.generation.sampling.temperature = 0.5;  // then a seed draws
  EXPECT_EQ(sweep_of(o).settings.size(), 8u);
  o.sweep = "policy=tova,tova-ema";
  o.generation.prefill = Prefill::full;
  EXPECT_TRUE(
      contains(error_of([&] { validate(o); }, ExitCode::configuration), "setting tova-ema"));
}

TEST(Sweep, DoesNotGoWithWhatItCannotDo) {
  RunOptions o = swept("policy=tova,full");
  EXPECT_NO_THROW(validate(o));
  o.stages = 2;
  EXPECT_TRUE(contains(error_of([&] { validate(o); }, ExitCode::configuration),
                       "--sweep and --stages do not go together"));
  o.stages = 1;
  o.job_kind = Job::summarize;
  EXPECT_NO_THROW(validate(o));
  o.generation.stream_jsonl = "texts.jsonl";
  EXPECT_TRUE(contains(error_of([&] { validate(o); }, ExitCode::configuration),
                       "--sweep and --stream-jsonl do not go together"));
  o = swept("policy=tova,full");
  o.cache.ema = 0.5;  // beside the sweep: of no use to either
  EXPECT_TRUE(contains(error_of([&] { validate(o); }, ExitCode::configuration), "setting tova"));
}

}  // namespace
}  // namespace tovamill
