// The eviction scan on its own against one written out in float64: the same tokens leave after the
// same queries.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/isa_kernels.h"
#include "kernels/policy/policies.h"
#include "tests/support/attention/near.h"

namespace tovamill::cpu {
namespace {

using testing::kEpsF32;
using testing::near;

constexpr double kNanScore = std::numeric_limits<double>::quiet_NaN();

// A weight is an exponential (2 ulp, and its argument's rounding, which is worth as many as its
// logarithm), divided by a sum of positive terms, averaged over heads; memories add these up.
constexpr double kWeightFactor = 8;
// Where a live token has all the weight, those of the others are below float32's normal numbers
// and count as equal.
constexpr double kVanishing = 1e-30;

// sum |terms| of a weight in (0, 1] or a mean of some.
double terms_of(double weight) {
  return weight <= 0 ? kVanishing : weight * (1 + std::abs(std::log(weight))) + kVanishing;
}

struct Rule {
  std::string name;
  Policy rule = Policy::tova;
  std::int32_t cache_size = 0, pin = 0, recent = -1;
  double decay = 0.9;
};

struct Slot {
  std::int32_t position = 0;
  double memory = 0, power = 1, value_norm = 1;
};

// One stream's state through tile after tile, in both arithmetics. Slots keep no order.
class ScanRun {
 public:
  ScanRun(const IsaKernels& isa, const Rule& rule, std::int32_t n_heads)
      : isa_(isa), rule_(rule), n_heads_(n_heads) {}

  // scores (n_heads, n_queries, n_state + n_queries): of the slots in their present order, then of
  // the new ones.
  void run_tile(std::int32_t n_queries, const std::vector<std::vector<double>>& scores) {
    const auto n_state = static_cast<std::int32_t>(slots_.size());
    for (std::int32_t i = 0; i < n_queries; ++i)
      slots_.push_back(
          {.position = next_position_++, .value_norm = 0.5 + 0.125 * (next_position_ * 5 % 11)});
    const auto n = static_cast<std::int32_t>(slots_.size());
    ld_ = (n + kSlotPad - 1) / kSlotPad * kSlotPad;
    scores_ = &scores;
    n_state_ = n_state, n_queries_ = n_queries;
    const auto ld = static_cast<std::size_t>(ld_);
    // What is behind the slots is anything.
    std::vector<float> memory(ld, std::nanf("")), power(ld, std::nanf("")), norm(ld, std::nanf("")),
        mean_weight(ld, std::nanf(""));
    std::vector<std::int32_t> positions(ld, -7);
    for (std::size_t j = 0; j < slots_.size(); ++j) {
      positions[j] = slots_[j].position;
      norm[j] = static_cast<float>(slots_[j].value_norm);
      if (static_cast<std::int32_t>(j) >= n_state) continue;  // the scan itself starts the new ones
      memory[j] = memory_[j];
      power[j] = power_[j];
    }
    weights_.assign(static_cast<std::size_t>(n_heads_ * n_queries) * ld, 0.0f);
    eviction_step_.assign(ld, -5);
    std::vector<float*> first;
    for (std::int32_t h = 0; h < n_heads_; ++h) {
      first.push_back(weights_.data() + static_cast<std::size_t>(h * n_queries) * ld);
      for (std::int32_t s = 0; s < n_queries; ++s) fill_row(h, s, nullptr);
    }
    std::vector<float> inverse_sum(static_cast<std::size_t>(n_heads_ * n_queries)),
        evicted_weight(static_cast<std::size_t>(n_queries));
    std::vector<std::int32_t> evicted(static_cast<std::size_t>(n_queries), -9);
    const bool remembers = rule_.rule != Policy::tova, averages = rule_.rule == Policy::tova_ema;
    const EvictionScan scan{.head_rows = first.data(),
                            .query_stride = ld_,
                            .ld = ld_,
                            .n_heads = n_heads_,
                            .n_queries = n_queries,
                            .n_state = n_state,
                            .positions = positions.data(),
                            .rule = {.policy = rule_.rule,
                                     .cache_size = rule_.cache_size,
                                     .first_free = rule_.pin,
                                     .recent = std::max(0, rule_.recent),
                                     .decay = static_cast<float>(rule_.decay)},
                            .first_decision = {.now = next_position_ - n_queries},
                            .memory = remembers ? memory.data() : nullptr,
                            .decay_power = averages ? power.data() : nullptr,
                            .value_norm = averages ? norm.data() : nullptr,
                            .mean_weight = mean_weight.data(),
                            .restore =
                                [](void* c, std::int32_t head, std::int32_t step) {
                                  auto& run = *static_cast<ScanRun*>(c);
                                  ++run.n_restored;
                                  run.fill_row(head, step, run.eviction_step_.data());
                                },
                            .restore_context = this,
                            .eviction_step = eviction_step_.data(),
                            .inverse_sum = inverse_sum.data(),
                            .evicted = evicted.data(),
                            .evicted_weight = evicted_weight.data()};
    isa_.scan_evictions(scan);
    compare(evicted, evicted_weight, memory);
    keep_survivors(memory, power);
  }

  std::int32_t n_state() const { return static_cast<std::int32_t>(slots_.size()); }
  const std::vector<Slot>& slots() const { return slots_; }
  void shuffle(std::mt19937& random) {
    std::vector<std::size_t> order(slots_.size());
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), random);
    const auto slots = slots_;
    const auto memory = memory_, power = power_;
    for (std::size_t j = 0; j < order.size(); ++j) {
      slots_[j] = slots[order[j]], memory_[j] = memory[order[j]], power_[j] = power[order[j]];
    }
  }

  int n_restored = 0, n_near_ties = 0, n_evicted = 0;
  std::vector<std::int32_t> evicted_positions;

 private:
  double score(std::int32_t h, std::int32_t step, std::int32_t j) const {
    return (*scores_)[static_cast<std::size_t>(h * n_queries_ + step)][static_cast<std::size_t>(j)];
  }

  // As the backend does: exp relative to the highest of the visible; with eviction steps, of the
  // live.
  void fill_row(std::int32_t h, std::int32_t step, const std::int32_t* eviction_step) {
    float* row = weights_.data() + static_cast<std::int64_t>(h * n_queries_ + step) * ld_;
    for (std::int32_t j = 0; j < ld_; ++j)
      row[j] = j <= n_state_ + step ? static_cast<float>(score(h, step, j)) : 0.0f;
    isa_.exponentiate(row, n_state_ + step + 1, ld_, 1.0f, nullptr, 0, eviction_step, step,
                      nullptr);
  }

  // The weights of query `step`, in float64: the mean over heads of the softmax over live slots.
  std::vector<double> mean_weights(std::int32_t step, const std::vector<bool>& live) const {
    const std::int32_t newest = n_state_ + step;
    std::vector<double> weight(slots_.size(), 0.0);
    for (std::int32_t h = 0; h < n_heads_; ++h) {
      double highest = -INFINITY, sum = 0;
      for (std::int32_t j = 0; j <= newest; ++j) {
        if (live[static_cast<std::size_t>(j)]) highest = std::max(highest, score(h, step, j));
      }
      for (std::int32_t j = 0; j <= newest; ++j) {
        if (live[static_cast<std::size_t>(j)]) sum += std::exp(score(h, step, j) - highest);
      }
      for (std::int32_t j = 0; j <= newest; ++j) {
        if (live[static_cast<std::size_t>(j)])
          weight[static_cast<std::size_t>(j)] +=
              std::exp(score(h, step, j) - highest) / sum / n_heads_;
      }
    }
    return weight;
  }

  // Walks the steps in float64 and asks whether each choice of the scan's is right.
  void compare(const std::vector<std::int32_t>& evicted, const std::vector<float>& evicted_weight,
               const std::vector<float>& memory) {
    std::vector<bool> live(slots_.size(), false);
    std::fill_n(live.begin(), n_state_, true);
    std::int32_t n_live = n_state_;
    for (std::int32_t step = 0; step < n_queries_; ++step) {
      const std::int32_t newest = n_state_ + step;
      live[static_cast<std::size_t>(newest)] = true;
      ++n_live;
      const std::vector<double> weight = mean_weights(step, live);
      std::int32_t lowest = -1, oldest = -1;
      std::vector<double> decided(slots_.size(), 0.0);
      for (std::int32_t j = 0; j <= newest; ++j) {
        const auto at = static_cast<std::size_t>(j);
        Slot& c = slots_[at];
        if (!live[at]) continue;
        const double old = c.memory;
        c.memory = rule_.rule == Policy::h2o ? old + weight[at]
                                             : rule_.decay * old + (1 - rule_.decay) * weight[at];
        c.power *= rule_.decay;
        decided[at] = rule_.rule == Policy::tova       ? weight[at]
                      : rule_.rule == Policy::tova_ema ? c.memory / (1 - c.power) * c.value_norm
                                                       : c.memory;
        const std::int32_t now = slots_[static_cast<std::size_t>(newest)].position;
        if (c.position < rule_.pin || (rule_.recent >= 0 && c.position > now - rule_.recent))
          continue;
        if (oldest < 0 || c.position < slots_[static_cast<std::size_t>(oldest)].position)
          oldest = j;
        if (std::isnan(decided[at])) continue;
        const auto low = static_cast<std::size_t>(std::max(lowest, 0));
        if (lowest < 0 || decided[at] < decided[low] ||
            (decided[at] == decided[low] && c.position < slots_[low].position))
          lowest = j;
      }
      const std::int32_t got = evicted[static_cast<std::size_t>(step)];
      const std::int32_t expected = n_live <= rule_.cache_size ? -1 : lowest >= 0 ? lowest : oldest;
      if (expected < 0) {
        ASSERT_EQ(got, -1) << rule_.name << " step " << step;
        continue;
      }
      ASSERT_GE(got, 0) << rule_.name << " step " << step;
      ASSERT_TRUE(live[static_cast<std::size_t>(got)])
          << rule_.name << ": died twice or before its birth, step " << step;
      if (got != expected) {
        const double a = decided[static_cast<std::size_t>(got)],
                     b = decided[static_cast<std::size_t>(expected)];
        ASSERT_TRUE(near(a, b, terms_of(a) + terms_of(b), kWeightFactor))
            << rule_.name << " step " << step;
        ++n_near_ties;
      }
      const double w = weight[static_cast<std::size_t>(got)];
      if (std::isnan(w)) {
        ASSERT_TRUE(std::isnan(evicted_weight[static_cast<std::size_t>(step)]));
      } else {
        ASSERT_TRUE(near(static_cast<double>(evicted_weight[static_cast<std::size_t>(step)]), w,
                         terms_of(w), kWeightFactor))
            << rule_.name << " step " << step;
      }
      ASSERT_EQ(eviction_step_[static_cast<std::size_t>(got)], step);
      live[static_cast<std::size_t>(got)] = false;
      evicted_positions.push_back(slots_[static_cast<std::size_t>(got)].position);
      --n_live, ++n_evicted;
    }
    for (std::size_t j = 0; j < live.size(); ++j) {
      ASSERT_EQ(eviction_step_[j] == kLive, live[j]);
      if (live[j] && rule_.rule != Policy::tova && !std::isnan(slots_[j].memory)) {
        ASSERT_TRUE(near(static_cast<double>(memory[j]), slots_[j].memory,
                         terms_of(slots_[j].memory), kWeightFactor))
            << rule_.name;
      }
    }
    for (std::size_t j = live.size(); j < eviction_step_.size(); ++j)
      ASSERT_EQ(eviction_step_[j], -1);
  }

  void keep_survivors(const std::vector<float>& memory, const std::vector<float>& power) {
    std::vector<Slot> kept;
    memory_.clear(), power_.clear();
    for (std::size_t j = 0; j < slots_.size(); ++j) {
      if (eviction_step_[j] != kLive) continue;
      kept.push_back(slots_[j]), memory_.push_back(memory[j]), power_.push_back(power[j]);
    }
    slots_ = kept;
  }

  const IsaKernels& isa_;
  Rule rule_;
  std::int32_t n_heads_ = 1, next_position_ = 0, ld_ = 0, n_state_ = 0, n_queries_ = 0;
  const std::vector<std::vector<double>>* scores_ = nullptr;
  std::vector<Slot> slots_;
  std::vector<float> memory_, power_, weights_;
  std::vector<std::int32_t> eviction_step_;
};

class ScanTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    isa_ = kernels_named(GetParam());
    if (isa_ == nullptr) GTEST_SKIP() << "this build or CPU has no " << GetParam();
  }
  // Float32 values, so that both arithmetics start from the same.
  std::vector<std::vector<double>> scores(std::int32_t heads, std::int32_t steps,
                                          std::int32_t slots, double spread) {
    std::vector<std::vector<double>> all(static_cast<std::size_t>(heads * steps),
                                         std::vector<double>(static_cast<std::size_t>(slots)));
    for (auto& row : all) {
      for (double& x : row)
        x = static_cast<double>(
            static_cast<float>(std::uniform_real_distribution<double>(-spread, spread)(random_)));
    }
    return all;
  }
  const IsaKernels* isa_ = nullptr;
  std::mt19937 random_{11};
};

std::vector<Rule> rules(std::int32_t k) {
  return {
      {.name = "tova", .cache_size = k},
      {.name = "tova pin", .cache_size = k, .pin = k / 2},
      {.name = "ema", .rule = Policy::tova_ema, .cache_size = k},
      {.name = "ema pin", .rule = Policy::tova_ema, .cache_size = k, .pin = k / 2, .decay = 0.5},
      {.name = "h2o", .rule = Policy::h2o, .cache_size = k, .recent = k / 2},
      {.name = "h2o unprotected", .rule = Policy::h2o, .cache_size = k, .recent = 0}};
}

TEST_P(ScanTest, EvictsWhatFloat64EvictsOverManyTiles) {
  int n_evicted = 0, n_near_ties = 0;
  for (std::int32_t k : {1, 2, 15, 32, 100}) {
    for (const Rule& rule : rules(k)) {
      for (std::int32_t heads : {1, 3, 9}) {
        ScanRun run(*isa_, rule, heads);
        for (std::int32_t steps : {1, 7, 64, 33, 64, 1, 1, 64}) {
          run.run_tile(steps, scores(heads, steps, run.n_state() + steps, 10.0));
          ASSERT_FALSE(HasFatalFailure()) << k << ' ' << heads;
          ASSERT_LE(run.n_state(), k);
          run.shuffle(random_);
        }
        n_evicted += run.n_evicted, n_near_ties += run.n_near_ties;
      }
    }
  }
  EXPECT_GT(n_evicted, 10000);
  EXPECT_LE(n_near_ties, n_evicted / 10000) << "near-ties are rare in random data";
}

TEST_P(ScanTest, TiesGoToTheLowestPositionInAnyOrderOfSlots) {
  for (const Rule& rule : {rules(20)[0], rules(20)[1], rules(20)[5]}) {
    for (int repeat = 0; repeat < 20; ++repeat) {
      ScanRun run(*isa_, rule, 2);
      const auto equal = [](std::int32_t steps, std::int32_t slots) {
        return std::vector<std::vector<double>>(
            static_cast<std::size_t>(2 * steps),
            std::vector<double>(static_cast<std::size_t>(slots), 1.5));
      };
      run.run_tile(20, equal(20, 20));
      run.shuffle(random_);
      if (rule.rule == Policy::tova) {
        run.run_tile(15, equal(15, 35));
        ASSERT_FALSE(HasFatalFailure());
        EXPECT_EQ(run.n_near_ties, 0);
        for (std::size_t i = 0; i < 15; ++i)
          EXPECT_EQ(run.evicted_positions[i], rule.pin + static_cast<std::int32_t>(i));
      } else {
        run.run_tile(1, equal(1, 21));
        EXPECT_EQ(run.evicted_positions.at(0), 20) << "the newest has accumulated least";
      }
    }
  }
}

// An evicted token had by far the largest score: every row of the tile is relative to it.
TEST_P(ScanTest, ChoosesAmongTheLiveUnderAnEvictedTokensLargeScore) {
  for (double above : {20.0, 40.0, 60.0, 80.0, 88.0, 100.0, 200.0, 1000.0}) {
    for (const Rule& rule : rules(16)) {
      ScanRun run(*isa_, rule, 3);
      run.run_tile(16, scores(3, 16, 16, 3.0));
      for (int tile = 0; tile < 3; ++tile) {
        const std::int32_t n = run.n_state(), steps = 40;
        auto s = scores(3, steps, n + steps, 3.0);
        // Whoever is oldest and may leave: far below all at the first steps, far above at the
        // others.
        std::int32_t victim = -1;
        for (std::int32_t j = 0; j < n; ++j) {
          const auto& c = run.slots();
          if (c[static_cast<std::size_t>(j)].position < rule.pin) continue;
          if (victim < 0 || c[static_cast<std::size_t>(j)].position <
                                c[static_cast<std::size_t>(victim)].position)
            victim = j;
        }
        for (std::int32_t h = 0; h < 3; ++h) {
          for (std::int32_t i = 0; i < steps; ++i)
            s[static_cast<std::size_t>(h * steps + i)][static_cast<std::size_t>(victim)] +=
                i < 1 ? -above : above;
        }
        run.run_tile(steps, s);
        ASSERT_FALSE(HasFatalFailure()) << rule.name << " at +" << above;
      }
      // The other rules remember the weight that the token once had, and keep it.
      if (rule.rule != Policy::tova) continue;
      EXPECT_EQ(run.n_near_ties, 0) << rule.name << " at +" << above;
      EXPECT_EQ(run.n_restored > 0, above > 30) << rule.name << " at +" << above;
    }
  }
}

TEST_P(ScanTest, EvictsTheOldestWhereNoScoreIsANumber) {
  for (const Rule& rule : rules(10)) {
    ScanRun run(*isa_, rule, 2);
    run.run_tile(10, scores(2, 10, 10, 3.0));
    run.shuffle(random_);
    const std::vector<std::vector<double>> all_nan(2 * 12, std::vector<double>(22, kNanScore));
    run.run_tile(12, all_nan);
    ASSERT_FALSE(HasFatalFailure()) << rule.name;
    EXPECT_EQ(run.n_evicted, 12);
    if (rule.rule != Policy::tova) continue;
    for (std::size_t i = 0; i < 12; ++i)
      EXPECT_EQ(run.evicted_positions[i], rule.pin + static_cast<std::int32_t>(i)) << rule.name;
  }
}

TEST_P(ScanTest, EvictsSomethingAroundASingleNanScore) {
  for (const Rule& rule : rules(10)) {
    ScanRun run(*isa_, rule, 2);
    run.run_tile(10, scores(2, 10, 10, 3.0));
    for (int tile = 0; tile < 3; ++tile) {
      auto s = scores(2, 12, 22, 3.0);
      s[5][3] = kNanScore;
      run.run_tile(12, s);
      ASSERT_FALSE(HasFatalFailure()) << rule.name;
      EXPECT_EQ(run.n_state(), 10);
    }
  }
}

TEST_P(ScanTest, EvictsNothingWhereAllAreProtected) {
  ScanRun run(*isa_, {.name = "pinned", .cache_size = 4, .pin = 100}, 2);
  run.run_tile(10, scores(2, 10, 10, 3.0));
  EXPECT_EQ(run.n_evicted, 0);
  EXPECT_EQ(run.n_state(), 10);
}

INSTANTIATE_TEST_SUITE_P(Isa, ScanTest, ::testing::Values("generic", "avx2", "avx512"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace tovamill::cpu
