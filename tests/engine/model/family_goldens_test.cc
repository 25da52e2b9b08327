// A tiny random model of every family that config.json may name: per-token NLL of whole states
// against transformers (float64), and bounded states on the fast backends against the
// token-by-token reference.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "tests/support/attention/devices.h"
#include "tests/support/attention/run_document.h"

namespace tovamill::testing {
namespace {

#ifdef TOVAMILL_SANITIZED
constexpr bool kRunsOnGpus = false;  // a minute each on an emulated one
#else
constexpr bool kRunsOnGpus = true;
#endif

constexpr double kFamilyTokenTolerance = 1e-3, kFamilyMeanTolerance = 1e-4;

std::filesystem::path families() {
  return std::filesystem::path(TOVAMILL_SOURCE_DIR) / "tests/support/goldens/families";
}

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> family_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(families())) {
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// A letter a token.
std::vector<std::int32_t> document(std::size_t n = std::string::npos) {
  const std::string text = bytes_of(families() / "text.txt").substr(0, n);
  return {text.begin(), text.end()};
}

void expect_close(const std::vector<float>& actual, const std::vector<double>& expected) {
  ASSERT_GE(expected.size(), actual.size());
  double sum = 0.0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double difference = static_cast<double>(actual[i]) - expected[i];
    ASSERT_LE(std::abs(difference), kFamilyTokenTolerance) << "at token " << i;
    sum += difference;
  }
  EXPECT_LE(std::abs(sum) / static_cast<double>(actual.size()), kFamilyMeanTolerance);
}

class FamilyGoldens : public ::testing::TestWithParam<std::string> {
 protected:
  RunResult run(const std::vector<std::int32_t>& ids, const RunSetting& setting) const {
    return run_document((families() / GetParam()).string(), ids, setting);
  }
};

TEST_P(FamilyGoldens, WholeStatesGiveTransformersNll) {
  const std::string bytes = bytes_of(families() / GetParam() / "nll.bin");
  std::vector<double> nll(bytes.size() / sizeof(double));
  std::memcpy(nll.data(), bytes.data(), bytes.size());
  const std::vector<std::int32_t> ids = document();
  ASSERT_EQ(nll.size() + 1, ids.size());
  const CacheOptions cache{.policy = Policy::full, .positions = Positions::absolute};
  for (const std::int32_t block : {1, 37, 256}) {
    SCOPED_TRACE("cpu " + std::to_string(block));
    expect_close(run(ids, {.block = block, .cache = cache}).nll, nll);
  }
  // The emulated GPU takes fewer tokens, of which the first numbers hold: LongRoPE's tables alone
  // depend on the length, and these are the long ones.
  for (const std::int32_t block : {1, 37}) {
    SCOPED_TRACE("cuda " + std::to_string(block));
    if (!kRunsOnGpus || devices({DeviceKind::cuda}).empty()) break;
    const std::vector<std::int32_t> start = document(block == 1 ? 16 : 64);
    expect_close(run(start, {.device = DeviceKind::cuda, .block = block, .cache = cache}).nll, nll);
  }
}

struct NamedCache {
  const char* name;
  CacheOptions cache;
};

const NamedCache kBoundedCaches[] = {
    {"tova", {.policy = Policy::tova, .cache_size = 24}},
    {"tova-ema", {.policy = Policy::tova_ema, .cache_size = 24}},
    {"window", {.policy = Policy::window, .cache_size = 24, .sinks = 4}},
    {"h2o-head", {.policy = Policy::h2o_head, .cache_size = 24}},
};

TEST_P(FamilyGoldens, BoundedStatesEqualTheReference) {
  for (const NamedCache& c : kBoundedCaches) {
    SCOPED_TRACE(c.name);
    const std::vector<std::int32_t> ids = document(200), start = document(48);
    const RunResult expected =
        run(ids, {.device = DeviceKind::reference, .block = 256, .cache = c.cache});
    const std::vector<double> nll(expected.nll.begin(), expected.nll.end());
    for (const std::int32_t block : {1, 37, 256}) {
      SCOPED_TRACE("cpu " + std::to_string(block));
      const RunResult actual = run(ids, {.block = block, .cache = c.cache});
      expect_close(actual.nll, nll);
      EXPECT_EQ(actual.eviction_step, expected.eviction_step);
      EXPECT_EQ(actual.attended, expected.attended);
    }
    if (!kRunsOnGpus || devices({DeviceKind::cuda}).empty()) continue;
    const RunResult first =
        run(start, {.device = DeviceKind::reference, .block = 256, .cache = c.cache});
    const RunResult actual =
        run(start, {.device = DeviceKind::cuda, .block = 37, .cache = c.cache});
    expect_close(actual.nll, nll);
    EXPECT_EQ(actual.eviction_step, first.eviction_step);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyGoldens, ::testing::ValuesIn(family_names()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace tovamill::testing
