// A feed-forward of experts on the fast backends against the reference, at odd sizes and with
// experts that no row, one row or every row takes; and the same bits of a row beside any others.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/expert_rows.h"
#include "kernels/cpu/gemm.h"
#include "kernels/types/error.h"
#include "tests/support/attention/devices.h"

namespace tovamill {
namespace {

using testing::devices;
using testing::kTestDeviceBytes;

constexpr std::int32_t kHidden = 37, kMostRows = 300;

struct ExpertCase {
  const char* name;
  ExpertsShape shape;
  Activation activation = Activation::silu;
};

const ExpertCase kExpertCases[] = {
    {"two_of_five", {.n_experts = 5, .n_used = 2, .intermediate_size = 21}},
    {"all_of_three", {.n_experts = 3, .n_used = 3, .intermediate_size = 16, .normalized = false}},
    {"one_of_seventy",
     {.n_experts = 70, .n_used = 1, .intermediate_size = 9, .router_bias = true, .bias = true},
     Activation::clamped_swiglu},
    {"one_alone", {.n_experts = 1, .n_used = 1, .intermediate_size = 40, .bias = true}},
};

bool cpu_multiplies_bf16() {
  try {
    cpu::Gemm::check(ComputeType::bf16);
    return true;
  } catch (const Error&) {
    return false;
  }
}

struct ExpertSetting {
  DeviceKind device;
  ComputeType dtype;
};

std::string setting_name(const ::testing::TestParamInfo<ExpertSetting>& info) {
  return std::string(name_of(info.param.device)) + "_" + std::string(name_of(info.param.dtype));
}

// Weights of one layer, which bf16 holds exactly.
class ExpertModel {
 public:
  explicit ExpertModel(const ExpertCase& c) : layer_{.experts = c.shape} {
    layer_.activation = c.activation;
    const ExpertsShape& s = c.shape;
    const std::int32_t n = s.intermediate_size;
    router_ = tensor({s.n_experts, kHidden}, 0.4f);
    if (s.router_bias) router_bias_ = tensor({s.n_experts}, 1.0f);
    for (std::int32_t e = 0; e < s.n_experts; ++e) {
      ExpertTensors& x = experts_.emplace_back();
      x.gate = tensor({n, kHidden}, 0.3f);
      x.up = tensor({n, kHidden}, 0.3f);
      x.down = tensor({kHidden, n}, 0.3f);
      if (!s.bias) continue;
      x.gate_bias = tensor({n}, 0.5f);
      x.up_bias = tensor({n}, 0.5f);
      x.down_bias = tensor({kHidden}, 0.5f);
    }
  }
  const LayerShape& layer() const { return layer_; }

  // What add_experts makes of `rows` (n, kHidden), from ones.
  std::vector<float> run(Backend& backend, const std::vector<float>& rows) const {
    const auto n = static_cast<std::int32_t>(rows.size()) / kHidden;
    Device& device = backend.device();
    const auto router = device.pack({.parts = {router_}, .biases = {router_bias_}});
    const auto experts = device.pack_experts(experts_);
    const auto x = device.make_buffer(kMostRows, kHidden, BufferType::compute),
               hidden = device.make_buffer(kMostRows, kHidden, BufferType::full);
    device.write_rows(*x, 0, rows);
    std::vector<float> out(rows.size(), 1.0f);
    device.write_rows(*hidden, 0, out);
    backend.begin_step({}, n);
    backend.add_experts(*x, *router, *experts, layer_, *hidden);
    backend.finish_step();
    device.read_rows(*hidden, 0, out);
    return out;
  }

  std::vector<float> random_rows(std::int32_t n) {
    std::vector<float> rows(static_cast<std::size_t>(n) * kHidden);
    for (float& v : rows) v = random(1.0f);
    return rows;
  }

 private:
  float random(float spread) {
    const float v = std::uniform_real_distribution<float>(-spread, spread)(random_);
    return float_from_bf16(bf16_from_float(v));
  }
  TensorView tensor(std::vector<std::int64_t> shape, float spread) {
    std::int64_t n = 1;
    for (const std::int64_t d : shape) n *= d;
    std::vector<float>& values = memory_.emplace_back(static_cast<std::size_t>(n));
    for (float& v : values) v = random(spread);
    return {.name = "random",
            .storage = StorageType::f32,
            .shape = std::move(shape),
            .data = reinterpret_cast<const std::byte*>(values.data()),
            .n_bytes = values.size() * 4};
  }

  LayerShape layer_;
  std::mt19937 random_{11};
  std::deque<std::vector<float>> memory_;
  TensorView router_, router_bias_;
  std::vector<ExpertTensors> experts_;
};

class ExpertsTest : public ::testing::TestWithParam<ExpertSetting> {
 protected:
  void SetUp() override {
    if (devices({GetParam().device}).empty()) GTEST_SKIP() << "no GPU";
    const bool is_on_cpu = GetParam().device == DeviceKind::cpu;
    if (is_on_cpu && GetParam().dtype == ComputeType::bf16 && !cpu_multiplies_bf16())
      GTEST_SKIP() << "this CPU does not multiply bf16";
  }
  std::unique_ptr<Backend> backend(DeviceKind device, const LayerShape& layer,
                                   int n_threads = 2) const {
    BackendOptions options;
    options.shape = {.n_layers = 1,
                     .hidden_size = kHidden,
                     .n_heads = 2,
                     .n_kv_heads = 1,
                     .head_dim = 16,
                     .vocab_size = 3,
                     .trained_context = 512,
                     .ropes = {std::vector<double>(8, 0.1)},
                     .layers = {layer}};
    options.cache = {.cache_size = 8};
    options.dtype = GetParam().dtype;
    options.n_threads = n_threads;
    options.max_rows = options.max_block = kMostRows;
    options.device_bytes = kTestDeviceBytes;
    return make_backend(device, options);
  }
  bool is_emulated() const { return GetParam().device == DeviceKind::cuda; }
};

TEST_P(ExpertsTest, EqualTheReference) {
  for (const ExpertCase& c : kExpertCases) {
    SCOPED_TRACE(c.name);
    ExpertModel model(c);
    const auto fast = backend(GetParam().device, model.layer()),
               reference = backend(DeviceKind::reference, model.layer());
    for (const std::int32_t n : {1, 3, 65, is_emulated() ? 70 : kMostRows}) {
      const std::vector<float> rows = model.random_rows(n), actual = model.run(*fast, rows),
                               expected = model.run(*reference, rows);
      // Sums of up to 40 terms; in bf16 what is between the two matrices is rounded, 2^-9 of each
      // of up to 40 terms of up to 4 * 0.3.
      const double bound = GetParam().dtype == ComputeType::bf16 ? 0.06 : 3e-5;
      for (std::size_t i = 0; i < actual.size(); ++i)
        ASSERT_NEAR(actual[i], expected[i], bound) << i;
    }
  }
}

TEST_P(ExpertsTest, GiveARowTheSameBitsBesideAnyOthers) {
  ExpertModel model(kExpertCases[0]);
  const std::vector<float> watched = model.random_rows(1);
  std::vector<float> alone;
  for (const int n_threads : {1, 3}) {
    const auto fast = backend(GetParam().device, model.layer(), n_threads);
    for (const std::int32_t n : {1, 2, 37, 130}) {
      if (is_emulated() && n > 37) continue;
      std::vector<float> rows = model.random_rows(n);
      for (const std::int32_t place : {0, n / 2, n - 1})
        std::copy(watched.begin(), watched.end(), rows.begin() + place * kHidden);
      const std::vector<float> out = model.run(*fast, rows);
      if (alone.empty()) alone.assign(out.begin(), out.begin() + kHidden);
      for (const std::int32_t place : {0, n / 2, n - 1}) {
        const auto begin = out.begin() + place * kHidden;
        ASSERT_EQ(std::vector<float>(begin, begin + kHidden), alone) << place << " of " << n;
      }
    }
  }
}

TEST_P(ExpertsTest, ANanOfARowIsItsOwn) {
  ExpertModel model(kExpertCases[0]);
  const auto fast = backend(GetParam().device, model.layer());
  std::vector<float> rows = model.random_rows(5);
  const std::vector<float> whole = model.run(*fast, rows);
  rows[2 * kHidden + 4] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> out = model.run(*fast, rows);
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (i / kHidden == 2) {
      EXPECT_TRUE(std::isnan(out[i]));
    } else {
      EXPECT_EQ(out[i], whole[i]);
    }
  }
}

// hidden = 1 + sigmoid(x . gate) y.
TEST_P(ExpertsTest, WeightedRowsAreAdded) {
  const auto fast = backend(GetParam().device, {.experts = {}});
  Device& device = fast->device();
  const auto y = device.make_buffer(kMostRows, kHidden, BufferType::full),
             x = device.make_buffer(kMostRows, kHidden, BufferType::compute),
             hidden = device.make_buffer(kMostRows, kHidden, BufferType::full);
  std::vector<float> gate(kHidden, 0.5f), ones(3 * kHidden, 1.0f), rows(3 * kHidden),
      out(3 * kHidden);
  for (std::size_t r = 0; r < 3; ++r) rows[r * kHidden + r] = static_cast<float>(r) * 4 - 4;
  device.write_rows(*y, 0, std::vector<float>(3 * kHidden, 2.0f));
  device.write_rows(*x, 0, rows);
  device.write_rows(*hidden, 0, ones);
  fast->begin_step({}, 3);
  fast->add_weighted(*y, *x, gate, *hidden);
  fast->finish_step();
  device.read_rows(*hidden, 0, out);
  for (std::size_t r = 0; r < 3; ++r) {
    const double weight = 1 / (1 + std::exp(2 - 2 * static_cast<double>(r)));
    for (std::size_t i = 0; i < kHidden; ++i)
      EXPECT_NEAR(out[r * kHidden + i], 1 + 2 * weight, 1e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, ExpertsTest,
                         ::testing::Values(ExpertSetting{DeviceKind::cpu, ComputeType::f32},
                                           ExpertSetting{DeviceKind::cpu, ComputeType::bf16},
                                           ExpertSetting{DeviceKind::cuda, ComputeType::f32},
                                           ExpertSetting{DeviceKind::cuda, ComputeType::bf16}),
                         setting_name);

TEST(ChooseExperts, TakesTheFirstOfEqualLogitsAndOrdersThemByNumber) {
  const float logits[] = {1, 3, 3, 0, 3};
  cpu::ExpertChoice chosen[2];
  cpu::choose_experts(logits, {.n_experts = 5, .n_used = 2}, chosen);
  EXPECT_EQ(chosen[0].expert, 1);
  EXPECT_EQ(chosen[1].expert, 2);
  EXPECT_FLOAT_EQ(chosen[0].weight, 0.5f);
  // Over all of them, instead.
  cpu::choose_experts(logits, {.n_experts = 5, .n_used = 2, .normalized = false}, chosen);
  EXPECT_FLOAT_EQ(chosen[1].weight, static_cast<float>(1 / (3 + std::exp(-2.0) + std::exp(-3.0))));
}

}  // namespace
}  // namespace tovamill
