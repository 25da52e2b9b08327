// Every golden model, policy and rotation on every backend: per-token NLL and deaths against
// float64 numbers that were made elsewhere (transformers, and a token-by-token reference in
// Python).

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/attention/devices.h"
#include "tests/support/attention/run_document.h"
#include "tests/support/models/golden_file.h"

namespace tovamill::testing {
namespace {

// kernels/README.md, "Tolerances": per-token NLL in float32 within 1e-3 of float64, the mean within
// 1e-4.
constexpr double kTokenTolerance = 1e-3;
constexpr double kMeanTolerance = 1e-4;

// The documents were chosen such that no decision is a near-tie in float32 (make_goldens.py), so
// every eviction step must agree.
struct Setting {
  std::string golden;
  DeviceKind device;
  std::int32_t block;
};

void PrintTo(const Setting& s, std::ostream* out) {
  *out << s.golden << ' ' << name_of(s.device) << ' ' << s.block;
}

class Golden : public ::testing::TestWithParam<Setting> {};

TEST_P(Golden, NllAndDeathsEqualFloat64) {
  if (devices({GetParam().device}).empty()) GTEST_SKIP() << "no GPU";
  const GoldenModel golden = load_golden(GetParam().golden);
  const std::size_t n = golden.ids.size();
  for (const auto& path : golden.models) {
    for (const GoldenCase& c : golden.cases) {
      SCOPED_TRACE(path.filename().string() + " " + c.name);
      const RunResult run = run_document(path.string(), golden.ids,
                                         {.device = GetParam().device,
                                          .n_threads = GetParam().block == 1 ? 1 : 2,
                                          .block = GetParam().block,
                                          .cache = c.options});
      ASSERT_EQ(run.nll.size(), c.nll.size());
      double sum = 0.0, worst = 0.0;
      std::size_t worst_at = 0;
      for (std::size_t i = 0; i < c.nll.size(); ++i) {
        const double difference = std::abs(static_cast<double>(run.nll[i]) - c.nll[i]);
        sum += static_cast<double>(run.nll[i]) - c.nll[i];
        if (!(difference <= worst)) worst = difference, worst_at = i;
      }
      EXPECT_LE(worst, kTokenTolerance) << "at token " << worst_at << " of " << n;
      EXPECT_LE(std::abs(sum) / static_cast<double>(n), kMeanTolerance);
      if (c.eviction_step.empty()) continue;
      ASSERT_EQ(run.eviction_step.size(), c.eviction_step.size());
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < c.eviction_step.size(); ++i)
        wrong += run.eviction_step[i] != c.eviction_step[i];
      EXPECT_EQ(wrong, 0u);
    }
  }
}

std::vector<Setting> settings() {
  std::vector<Setting> all;
  std::size_t n_settings = 0;
  for (const std::string& name : golden_names()) {
    all.push_back({name, DeviceKind::reference, 256});
    for (std::int32_t block : {1, 37, 64, 256}) all.push_back({name, DeviceKind::cpu, block});
    for (std::int32_t block : {256, 1}) {
      if (runs_on(DeviceKind::cuda, n_settings++, kFirst))
        all.push_back({name, DeviceKind::cuda, block});
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Models, Golden, ::testing::ValuesIn(settings()), [](const auto& info) {
  std::string name = info.param.golden + "_" + std::string(name_of(info.param.device)) + "_" +
                     std::to_string(info.param.block);
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
});

}  // namespace
}  // namespace tovamill::testing
