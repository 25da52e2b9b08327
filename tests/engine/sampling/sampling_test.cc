// Sampling against hand-made values, Hugging Face transformers (the committed goldens of
// tests/support/generators/make_sampling_goldens.py) and exact probabilities.
#include "engine/sampling/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "kernels/policy/philox.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

using Logits = std::vector<float>;

TokenId choose(const SamplingOptions& options, Logits logits, const RandomPlace& place = {},
               const std::vector<TokenId>& forbidden = {}, const TokenSet& seen = {}) {
  return Sampler(options).choose(logits, seen, forbidden, place);
}

std::vector<TokenId> kept(const SamplingOptions& options, Logits logits,
                          const std::vector<TokenId>& forbidden = {}) {
  std::vector<TokenId> ids;
  for (const auto& [id, probability] : Sampler(options).distribution(logits, {}, forbidden))
    ids.push_back(id);
  return ids;
}

Logits random_logits(std::size_t n, unsigned seed, float spread = 2.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  Logits logits(n);
  for (float& logit : logits) logit = std::round(normal(random) * 64.0f) / 64.0f;  // with ties
  return logits;
}

// The known answers of Random123 (kat_vectors), by the authors of the paper.
TEST(Philox, EqualsThePublishedVectors) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr std::uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomNumber, IsTheUpperBitsOfPhilox) {
  EXPECT_EQ(random_number(0, {}),
            static_cast<double>(0x6627e8d5e169c58dull >> 11) / 9007199254740992.0);
  EXPECT_EQ(random_number(0x299f31d0a4093822ull,
                          {.text = 0x0370734413198a2eull, .position = 0x85a308d3243f6a88ull}),
            static_cast<double>(0xd16cfe0994fdccebull >> 11) / 9007199254740992.0);
}

TEST(Decay, IsTheExponentialFunction) {
  for (double x = 0.0; x > -708.0; x -= 0.0137) {
    EXPECT_NEAR(decay(x), std::exp(x), 4e-16 * std::exp(x)) << x;
  }
  EXPECT_EQ(decay(0.0), 1.0);
  for (const double x : {-708.5, -1e300, -std::numeric_limits<double>::infinity(),
                         std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_EQ(decay(x), 0.0) << x;
  }
}

TEST(Sampler, GreedyTakesTheFirstOfTheHighest) {
  for (const std::size_t n : {1, 2, 15, 16, 17, 63, 64, 65, 257, 1000}) {
    Logits logits = random_logits(n, static_cast<unsigned>(n), 0.1f);
    if (n > 20) logits[3] = kNan;
    const auto highest = std::ranges::max_element(
        logits, [](float a, float b) { return std::isnan(a) ? !std::isnan(b) : a < b; });
    EXPECT_EQ(choose({}, logits), highest - logits.begin()) << n;
  }
  EXPECT_EQ(choose({}, {-1.0f, 2.0f, 2.0f}), 1);
  EXPECT_EQ(choose({}, {-0.0f, 0.0f}), 0);
}

TEST(Sampler, NeverChoosesNan) {
  for (const double temperature : {0.0, 1.0}) {
    for (const std::int32_t top_k : {0, 2}) {
      const SamplingOptions options{.temperature = temperature, .top_k = top_k};
      EXPECT_EQ(choose(options, {}), -1);
      EXPECT_EQ(choose(options, {kNan, kNan, kNan}), -1);
      EXPECT_EQ(choose(options, {kNan, -5.0f, kNan}), 1);
      EXPECT_EQ(choose(options, {kNan, -kInfinity, -kInfinity}), 1);
      EXPECT_EQ(choose(options, {kNan, 3.0f, kInfinity, kInfinity}), 2);
      EXPECT_EQ(choose(options, {-kInfinity, -kInfinity, 0.0f}), 2);
    }
  }
}

TEST(Sampler, NeverChoosesWhatIsForbidden) {
  EXPECT_EQ(choose({}, {1.0f, 9.0f, 5.0f}, {}, {1}), 2);
  EXPECT_EQ(choose({}, {1.0f, 9.0f, 5.0f}, {}, {1, -1, 3, 1000}), 2);
  EXPECT_EQ(choose({}, {1.0f, 2.0f}, {}, {0, 1}), -1);
  EXPECT_EQ(choose({}, {-kInfinity, -kInfinity}, {}, {0}), 1);
  EXPECT_EQ(kept({.temperature = 1.0, .top_k = 2}, {1.0f, 9.0f, 5.0f}, {1}),
            (std::vector<TokenId>{2, 0}));
}

TEST(Sampler, TiesGoToTheLowestIds) {
  const Logits equal(100, 1.5f);
  EXPECT_EQ(kept({.temperature = 1.0, .top_k = 3}, equal), (std::vector<TokenId>{0, 1, 2}));
  EXPECT_EQ(kept({.temperature = 1.0, .top_p = 0.03}, equal), (std::vector<TokenId>{0, 1, 2}));
  EXPECT_EQ(kept({.temperature = 1.0, .top_p = 0.0}, equal), (std::vector<TokenId>{0}));
  EXPECT_EQ(kept({.temperature = 1.0, .min_p = 1.0}, equal).size(), 100u);
  EXPECT_EQ(kept({.temperature = 1.0, .top_p = 0.5}, {0.0f, 0.0f, 0.0f, 0.0f}),
            (std::vector<TokenId>{0, 1}));
}

TEST(Sampler, PenalisesWhatWasSeen) {
  TokenSet seen(5);
  for (const TokenId id : {0, 1, 4, 5, 99, -3}) seen.insert(id);
  EXPECT_TRUE(seen.contains(4));
  EXPECT_FALSE(seen.contains(2) || seen.contains(5) || seen.contains(-3) || seen.contains(99));
  Logits logits{3.0f, -1.0f, 2.0f, -1.5f};  // fewer than the set was made for
  const SamplingOptions options{.repetition_penalty = 2.0};
  EXPECT_EQ(Sampler(options).choose(logits, seen, {}, {}), 2);
  EXPECT_EQ(logits, (Logits{1.5f, -2.0f, 2.0f, -1.5f}));
  EXPECT_TRUE(Sampler(options).needs_seen());
  EXPECT_FALSE(Sampler({}).needs_seen());
}

TEST(Sampler, KeepsWhatTransformersKeeps) {
  std::ifstream file(std::filesystem::path(TOVAMILL_SOURCE_DIR) /
                     "tests/support/goldens/texts/sampling.json");
  const auto cases = nlohmann::json::parse(file);
  ASSERT_GE(cases.size(), 100u);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto& golden = cases[i];
    auto logits = golden["logits"].get<Logits>();
    TokenSet seen(static_cast<std::int32_t>(logits.size()));
    for (const TokenId id : golden["seen"]) seen.insert(id);
    Sampler sampler({.temperature = golden["temperature"],
                     .top_k = golden["top_k"],
                     .top_p = golden["top_p"],
                     .min_p = golden["min_p"],
                     .repetition_penalty = golden["repetition_penalty"]});
    const auto found =
        sampler.distribution(logits, seen, golden["forbidden"].get<std::vector<TokenId>>());
    std::vector<TokenId> ids;
    for (const auto& [id, probability] : found) ids.push_back(id);
    ASSERT_EQ(ids, golden["ids"].get<std::vector<TokenId>>()) << "case " << i;
    for (std::size_t j = 0; j < ids.size(); ++j) {
      const double expected = golden["probabilities"][j];
      // A float32 logit / penalty is off by up to 2^-24 of its size (below 64), over the
      // temperature (0.2 at least); the golden's own parting of ties is below that.
      EXPECT_NEAR(found[j].probability, expected, 2e-5 * expected) << "case " << i;
    }
  }
}

// The obvious way: everything sorted, everything summed, one cut after the other.
std::vector<TokenId> kept_by_sorting(const SamplingOptions& options, const Logits& logits) {
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < logits.size(); ++i) ids.push_back(static_cast<TokenId>(i));
  const auto logit = [&](TokenId id) { return logits[static_cast<std::size_t>(id)]; };
  std::ranges::stable_sort(ids, std::greater{}, logit);
  const auto weight = [&](TokenId id) {
    return std::exp((static_cast<double>(logit(id)) - logit(ids[0])) / options.temperature);
  };
  if (options.top_k > 0 && static_cast<std::size_t>(options.top_k) < ids.size())
    ids.resize(static_cast<std::size_t>(options.top_k));
  double total = 0.0, sum = 0.0;
  for (const TokenId id : ids) total += weight(id);
  std::size_t n = 0;
  while (n < ids.size() && weight(ids[n]) > 0 && weight(ids[n]) >= options.min_p &&
         (n == 0 || options.top_p == 1.0 || sum < options.top_p * total))
    sum += weight(ids[n++]);
  ids.resize(n);
  return ids;
}

TEST(Sampler, PartialSelectionKeepsWhatSortingKeeps) {
  unsigned seed = 0;
  for (const float spread : {0.01f, 1.0f, 10.0f}) {
    for (const double temperature : {0.1, 1.0, 20.0}) {
      for (const std::int32_t top_k : {0, 1, 37, 1900, 5000}) {
        for (const double top_p : {1.0, 0.9, 0.2}) {
          const Logits logits = random_logits(2000, ++seed, spread);
          const SamplingOptions options{.temperature = temperature,
                                        .top_k = top_k,
                                        .top_p = top_p,
                                        .min_p = seed % 3 ? 0.0 : 0.02};
          ASSERT_EQ(kept(options, logits), kept_by_sorting(options, logits))
              << "seed " << seed << ", top_k " << top_k << ", top_p " << top_p;
        }
      }
    }
  }
}

// Ascending logits make every one of them a candidate for a while.
TEST(Sampler, KeepsTheHighestOfAscendingLogits) {
  Logits logits(10000);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i) * 1e-3f;
  std::vector<TokenId> expected(50);
  for (TokenId i = 0; i < 50; ++i) expected[static_cast<std::size_t>(i)] = 9999 - i;
  EXPECT_EQ(kept({.temperature = 1.0, .top_k = 50}, logits), expected);
}

// Pearson's statistic of 20,000 draws against exact probabilities; the seeds are fixed, the bound
// is that of a probability of 1e-6 (Wilson and Hilferty 1931).
void expect_drawn_as_said(const SamplingOptions& options, const Logits& logits) {
  constexpr int kDraws = 20000;
  Logits copy = logits;
  const auto expected = Sampler(options).distribution(copy, {}, {});
  std::vector<int> counts(logits.size());
  Sampler sampler(options);
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    copy = logits;
    ++counts[static_cast<std::size_t>(
        sampler.choose(copy, {}, {}, {.text = i % 7, .position = i}))];
  }
  double statistic = 0.0, rest = 1.0;
  int n_bins = 0, n_rest = kDraws;
  for (const auto& [id, probability] : expected) {
    const int count = counts[static_cast<std::size_t>(id)];
    if (probability * kDraws < 10.0) continue;
    statistic += std::pow(count - probability * kDraws, 2) / (probability * kDraws);
    ++n_bins;
    rest -= probability;
    n_rest -= count;
  }
  if (rest * kDraws > 10.0) {
    statistic += std::pow(n_rest - rest * kDraws, 2) / (rest * kDraws);
    ++n_bins;
  }
  ASSERT_GT(n_bins, 1);
  const double freedom = n_bins - 1, spread = 2.0 / (9.0 * freedom);
  EXPECT_LT(statistic, freedom * std::pow(1.0 - spread + 4.753 * std::sqrt(spread), 3));
  for (const auto& [id, probability] : expected) counts[static_cast<std::size_t>(id)] = 0;
  EXPECT_EQ(*std::ranges::max_element(counts), 0) << "a token was drawn that is not kept";
}

TEST(Sampler, DrawsWithTheExactProbabilities) {
  const Logits small{0.0f, 1.0f, kNan, 2.0f, -kInfinity, 0.5f, 2.0f};
  const Logits large = random_logits(1000, 5);
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1} << 40}) {
    for (const Logits& logits : {small, large}) {
      expect_drawn_as_said({.temperature = 1.0, .seed = seed}, logits);
      expect_drawn_as_said({.temperature = 0.7, .top_k = 5, .seed = seed}, logits);
      expect_drawn_as_said({.temperature = 1.3, .top_p = 0.9, .seed = seed}, logits);
      expect_drawn_as_said({.temperature = 1.0, .min_p = 0.1, .seed = seed}, logits);
    }
  }
}

TEST(Sampler, TheChoiceDependsOnTheArgumentsAlone) {
  const Logits logits = random_logits(3000, 8);
  for (const SamplingOptions& options :
       {SamplingOptions{.temperature = 1.0, .seed = 4},
        SamplingOptions{.temperature = 1.0, .top_k = 40, .top_p = 0.9, .seed = 4},
        SamplingOptions{.temperature = 2.0, .top_p = 0.99, .seed = 4}}) {
    Sampler used(options);
    for (std::uint64_t position = 0; position < 50; ++position) {
      const RandomPlace place{.text = 3, .position = position};
      Logits other = random_logits(17 + 100 * position, 1);
      used.choose(other, {}, {}, {});
      Logits shifted(logits.size() + 1);  // at another alignment
      std::ranges::copy(logits, shifted.begin() + 1);
      EXPECT_EQ(used.choose(std::span(shifted).subspan(1), {}, {}, place),
                choose(options, logits, place));
    }
  }
}

TEST(SamplingOptions, NamesWhatIsOutOfRange) {
  const auto message = [](const SamplingOptions& options) -> std::string {
    try {
      validate(options);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::configuration);
      return error.what();
    }
    return {};
  };
  EXPECT_EQ(message({}), "");
  EXPECT_EQ(message({.temperature = 0.7, .top_k = 5, .top_p = 0.0, .min_p = 1.0}), "");
  EXPECT_EQ(message({.temperature = -1.0}),
            "--temperature is -1 (it must be 0 or from 0.000001 to 1000000): give another value");
  EXPECT_NE(message({.temperature = 1e-300}).find("--temperature is 1e-300 "), std::string::npos);
  EXPECT_NE(message({.temperature = std::nan("")}), "");
  EXPECT_NE(message({.top_k = -1}).find("--top-k is -1 "), std::string::npos);
  EXPECT_NE(message({.top_p = 1.5}).find("--top-p is 1.5 "), std::string::npos);
  EXPECT_NE(message({.min_p = -0.25}).find("--min-p"), std::string::npos);
  EXPECT_NE(message({.repetition_penalty = 0.0}).find("--repetition-penalty"), std::string::npos);
}

}  // namespace
}  // namespace tovamill
