// What results.h5 says of the cache, against naive counts from the trace.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "io/results/hdf5_file.h"
#include "pipeline/run_directory/document_record.h"
#include "pipeline/run_directory/run_directory.h"
#include "tests/workers/run/score_run.h"

namespace tovamill {
namespace {

using testing::digits;
using testing::Results;
using testing::score;
using testing::tiny_ids;

// What /cache must hold, counted from the deaths of one layer chunk by chunk.
struct NaiveLayer {
  std::uint64_t n_evictions = 0, n_survivors = 0, n_recent = 0, n_attended = 0, n_queries = 0;
  LogHistogram lifetime{}, survivor_age{}, reached{}, alive{};
};

void count_chunk(NaiveLayer& c, const std::vector<std::int32_t>& ids,
                 const std::vector<std::int32_t>& eviction_step,
                 std::map<std::int32_t, std::uint64_t>& count,
                 std::map<std::int32_t, std::uint64_t>& lived) {
  const std::size_t n = ids.size();
  const auto n_held =
      static_cast<std::uint64_t>(std::count(eviction_step.begin(), eviction_step.end(), -1));
  for (std::size_t j = 0; j < n; ++j) {
    const bool dies = eviction_step[j] >= 0;
    const std::uint64_t age = (dies ? static_cast<std::size_t>(eviction_step[j]) : n - 1) - j;
    (dies ? c.lifetime : c.survivor_age)[static_cast<std::size_t>(log_bin(age))] += 1;
    c.n_evictions += dies;
    c.n_survivors += !dies;
    c.n_recent += !dies && age < n_held;
    c.n_attended += age + 1;  // by the queries of j to its last step
    count[ids[j]] += 1;
    lived[ids[j]] += age;
  }
  c.n_queries += n;
  for (std::size_t b = 0; b < kLogBins && (std::size_t{1} << b) < n; ++b) {
    c.reached[b] += 1;
    c.alive[b] +=
        eviction_step[0] < 0 || static_cast<std::size_t>(eviction_step[0]) >= std::size_t{1} << b;
  }
}

void expect_cache_as_traced(const RunOptions& o) {
  const Results r(o.out);
  const std::size_t n_all = r.nll.size(), n_layers = r.eviction_step.size() / n_all;
  std::vector<NaiveLayer> layers(n_layers);
  std::map<std::int32_t, std::uint64_t> count, lived;
  for (std::size_t i = 0; i + 1 < r.offsets.size(); ++i) {
    for (std::size_t at = r.offsets[i]; at < r.offsets[i + 1];) {
      const std::size_t chunk =
          o.cache.chunk_tokens > 0 ? static_cast<std::size_t>(o.cache.chunk_tokens) : n_all;
      const std::size_t end = std::min<std::size_t>(at + chunk, r.offsets[i + 1]);
      const std::vector<std::int32_t> ids(r.ids.begin() + static_cast<std::ptrdiff_t>(at),
                                          r.ids.begin() + static_cast<std::ptrdiff_t>(end));
      for (std::size_t l = 0; l < n_layers; ++l) {
        std::vector<std::int32_t> eviction_step;
        for (std::size_t t = at; t < end; ++t) {
          const std::int32_t step = r.eviction_step[l * n_all + t];
          eviction_step.push_back(step < 0 ? -1
                                           : step - static_cast<std::int32_t>(at - r.offsets[i]));
        }
        count_chunk(layers[l], ids, eviction_step, count, lived);
      }
      at = end;
    }
  }
  const Hdf5File file(results_path(o.out), Hdf5File::Mode::read);
  const auto whole = [&](const char* name) {
    return file.read_all<std::uint64_t>(std::string("/cache/") + name);
  };
  const auto real = [&](const char* name) {
    return file.read_all<double>(std::string("/cache/") + name);
  };
  for (std::size_t l = 0; l < n_layers; ++l) {
    SCOPED_TRACE("layer " + std::to_string(l));
    const NaiveLayer& c = layers[l];
    EXPECT_EQ(whole("evictions").at(l), c.n_evictions);
    EXPECT_EQ(whole("queries").at(l), c.n_queries);
    EXPECT_EQ(whole("survivors").at(l), c.n_survivors);
    EXPECT_DOUBLE_EQ(real("recent_share").at(l),
                     static_cast<double>(c.n_recent) / static_cast<double>(c.n_survivors));
    EXPECT_DOUBLE_EQ(real("mean_attended").at(l),
                     static_cast<double>(c.n_attended) / static_cast<double>(c.n_queries));
    const double weight = real("mean_evicted_weight").at(l);
    EXPECT_GE(weight, 0.0);
    EXPECT_LE(weight, 1.0);
    for (std::size_t b = 0; b < kLogBins; ++b) {
      EXPECT_EQ(whole("lifetime").at(l * kLogBins + b), c.lifetime[b]) << "bin " << b;
      EXPECT_EQ(whole("survivor_age").at(l * kLogBins + b), c.survivor_age[b]) << "bin " << b;
      EXPECT_EQ(whole("first_token_reached").at(l * kLogBins + b), c.reached[b]) << "bin " << b;
      EXPECT_EQ(whole("first_token_alive").at(l * kLogBins + b), c.alive[b]) << "bin " << b;
    }
  }
  const auto ids = file.read_all<std::int32_t>("/cache/token_id");
  ASSERT_EQ(ids.size(), count.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(whole("token_count").at(i), count.at(ids[i]));
    EXPECT_EQ(whole("token_lifetime").at(i), lived.at(ids[i]));
  }
}

TEST_F(ScoreRun, CacheStatisticsAreThoseOfTheTrace) {
  write_corpus();
  d.write("corpus/short.txt", "7");
  for (const Policy policy : {Policy::tova, Policy::tova_ema, Policy::h2o, Policy::window}) {
    for (const std::int32_t chunk : {0, 50}) {
      SCOPED_TRACE(std::string(name_of(policy)) + ", chunks of " + std::to_string(chunk));
      RunOptions o = traced(std::string(name_of(policy)) + std::to_string(chunk));
      o.cache.policy = policy;
      o.cache.chunk_tokens = chunk;
      score(o);
      expect_cache_as_traced(o);
    }
  }
}

// Per KV head, the trace tells the last head only; the sums must still add up.
TEST_F(ScoreRun, HeadWiseCountsAddUp) {
  const auto texts = write_corpus();
  RunOptions o = traced();
  o.cache.policy = Policy::tova_head;
  score(o);
  std::uint64_t n_evictions = 0, n_tokens = 0;
  for (const std::string& text : texts) {
    const auto ids = tiny_ids(text);
    const auto one = alone(ids, o.cache);
    n_tokens += ids.size();
    const auto layer =
        one.eviction_step.begin() + static_cast<std::ptrdiff_t>(2 * ids.size());  // of two groups
    n_evictions += static_cast<std::uint64_t>(
        std::count_if(one.eviction_step.begin(), layer, [](int x) { return x >= 0; }));
  }
  const Hdf5File file(results_path(o.out), Hdf5File::Mode::read);
  EXPECT_EQ(file.read_all<std::uint64_t>("/cache/evictions").at(0), n_evictions);
  EXPECT_EQ(file.read_all<std::uint64_t>("/cache/queries").at(0), 2 * n_tokens);
  EXPECT_EQ(file.read_all<std::uint64_t>("/cache/survivors").at(0), 2 * n_tokens - n_evictions);
}

// The identity of kernels/README.md, "Policies": whatever a bounded policy drops, it attends to as
// many tokens.
TEST_F(ScoreRun, MeanAttendedFollowsFromTheCacheSize) {
  const std::uint64_t n = 300, k = 16;
  d.write("corpus/a.txt", digits(n, 3));
  for (const Policy policy : {Policy::tova, Policy::tova_head, Policy::h2o, Policy::window}) {
    RunOptions o = options(std::string(name_of(policy)));
    o.cache.policy = policy;
    const double expected =
        static_cast<double>(k * (k + 1) / 2 + (k + 1) * (n - k)) / static_cast<double>(n);
    EXPECT_DOUBLE_EQ(score(o).mean_attended, expected) << name_of(policy);
  }
}

}  // namespace
}  // namespace tovamill
