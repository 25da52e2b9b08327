// Each vectorised inner loop of each instruction set against scalar float64. What lies behind the
// columns in use is NaN.

#include "kernels/cpu/isa_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <random>
#include <string>
#include <vector>

#include "kernels/types/tensor.h"
#include "tests/support/attention/near.h"

namespace tovamill::cpu {
namespace {

using testing::kEpsBf16;
using testing::kEpsF32;
using testing::near;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// A sum of n products, one rounding each and one for each addition: n + 1 at most, far fewer in
// practice, since errors cancel; 4 is what random terms stay below at 257.
constexpr double kSumFactor = 4;
// exp2 is good to 2 ulp; its argument x * log2(e), rounded twice, adds |x| of them.
constexpr double kExpFactor = 4;

std::int32_t pad(std::int32_t n) { return (n + kSlotPad - 1) / kSlotPad * kSlotPad; }

class IsaKernelsTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    isa_ = kernels_named(GetParam());
    if (isa_ == nullptr) GTEST_SKIP() << "this build or CPU has no " << GetParam();
  }
  std::vector<float> random(std::int64_t n, float spread = 1.0f) {
    std::vector<float> v(static_cast<std::size_t>(n));
    for (float& x : v) x = std::uniform_real_distribution<float>(-spread, spread)(random_);
    return v;
  }
  const IsaKernels* isa_ = nullptr;
  std::mt19937 random_{7};
};

TEST_P(IsaKernelsTest, MultiplyEqualsFloat64) {
  EXPECT_STREQ(isa_->name, GetParam());
  for (std::int32_t rows : {1, 2, 5, 6, 7, 11, 31, 96}) {
    for (std::int32_t depth : {1, 3, 31, 33, 257}) {
      for (std::int32_t cols : {16, 48, 64, 80}) {
        const std::int32_t ldb = cols + 5, ldc = cols + 3;
        std::vector<std::vector<float>> a;
        std::vector<const float*> pointers;
        for (std::int32_t r = 0; r < rows; ++r) a.push_back(random(depth));
        for (const auto& row : a) pointers.push_back(row.data());
        std::vector<float> b = random(static_cast<std::int64_t>(depth) * ldb);
        std::vector<float> c(static_cast<std::size_t>(rows * ldc), kNan);
        for (std::int32_t k = 0; k < depth; ++k) std::fill_n(b.begin() + k * ldb + cols, 5, kNan);
        isa_->multiply(pointers.data(), rows, depth, b.data(), ldb, cols, c.data(), ldc);
        for (std::int32_t r = 0; r < rows; ++r) {
          for (std::int32_t j = 0; j < ldc; ++j) {
            const double got = static_cast<double>(c[static_cast<std::size_t>(r * ldc + j)]);
            if (j >= cols) {
              ASSERT_TRUE(std::isnan(got)) << "written behind the columns";
              continue;
            }
            double sum = 0, terms = 0;
            for (std::int32_t k = 0; k < depth; ++k) {
              const double term =
                  static_cast<double>(a[static_cast<std::size_t>(r)][static_cast<std::size_t>(k)]) *
                  static_cast<double>(b[static_cast<std::size_t>(k * ldb + j)]);
              sum += term, terms += std::abs(term);
            }
            ASSERT_TRUE(near(got, sum, terms, kSumFactor)) << rows << ' ' << depth << ' ' << cols;
          }
        }
      }
    }
  }
}

TEST_P(IsaKernelsTest, MultiplyGivesARowTheSameBitsWhateverItsNeighbours) {
  const std::int32_t depth = 67, cols = 80;
  const std::vector<float> b = random(depth * cols), row = random(depth), other = random(depth);
  std::vector<float> alone(static_cast<std::size_t>(cols));
  const float* p = row.data();
  isa_->multiply(&p, 1, depth, b.data(), cols, cols, alone.data(), cols);
  for (std::int32_t rows = 2; rows <= 13; ++rows) {
    for (std::int32_t at = 0; at < rows; ++at) {
      std::vector<const float*> pointers(static_cast<std::size_t>(rows), other.data());
      pointers[static_cast<std::size_t>(at)] = row.data();
      std::vector<float> c(static_cast<std::size_t>(rows * cols));
      isa_->multiply(pointers.data(), rows, depth, b.data(), cols, cols, c.data(), cols);
      ASSERT_TRUE(std::equal(alone.begin(), alone.end(), c.begin() + at * cols))
          << rows << ' ' << at;
    }
  }
}

// Columns in [n, padded) come in as NaN: a causal row's future must not leak.
TEST_P(IsaKernelsTest, ExponentiateEqualsFloat64) {
  const float scale = 0.125f;
  const std::int32_t step = 5;
  for (std::int32_t n : {1, 3, 15, 16, 17, 31, 32, 33, 257}) {
    for (std::int32_t extra : {0, 48}) {
      for (int hiding = 0; hiding < 4; ++hiding) {
        const std::int32_t padded = pad(n) + extra, hidden_below = n / 3;
        std::vector<float> row = random(padded, 80.0f);
        std::vector<std::int32_t> positions(static_cast<std::size_t>(padded)),
            eviction_step(static_cast<std::size_t>(padded), kLive);
        for (std::int32_t j = 0; j < padded; ++j)
          positions[static_cast<std::size_t>(j)] = (j * 7) % n + 1;
        for (std::int32_t j = 0; j + 1 < n; j += 2)
          eviction_step[static_cast<std::size_t>(j)] = step - (j % 4 == 0);
        std::fill(row.begin() + n, row.end(), kNan);
        const std::vector<float> in = row;
        const bool by_position = (hiding & 1) != 0, by_eviction = (hiding & 2) != 0;
        const auto visible = [&](std::size_t j) {
          return j < static_cast<std::size_t>(n) && (!by_position || positions[j] > hidden_below) &&
                 (!by_eviction || eviction_step[j] >= step);
        };
        double highest = -INFINITY, sum = 0;
        for (std::size_t j = 0; j < in.size(); ++j) {
          if (visible(j)) highest = std::max(highest, static_cast<double>(in[j]));
        }
        const float got = isa_->exponentiate(
            row.data(), n, padded, scale, by_position ? positions.data() : nullptr, hidden_below,
            by_eviction ? eviction_step.data() : nullptr, step, nullptr);
        for (std::size_t j = 0; j < in.size(); ++j) {
          const double x = visible(j)
                               ? (static_cast<double>(in[j]) - highest) * static_cast<double>(scale)
                               : -INFINITY;
          const double expected = std::exp(x);
          sum += expected;
          ASSERT_TRUE(near(static_cast<double>(row[j]), expected,
                           expected * (1 + std::min(-x, 100.0)), kExpFactor))
              << n << ' ' << hiding << ' ' << j;
        }
        ASSERT_TRUE(near(static_cast<double>(got), sum, sum * (1 + 20), kExpFactor))
            << n << ' ' << hiding;
      }
    }
  }
}

TEST_P(IsaKernelsTest, ExponentiateOfNothingVisibleIsZero) {
  std::vector<std::int32_t> eviction_step(32, 3), positions(32, 4);
  std::vector<float> row = random(32);
  EXPECT_EQ(
      isa_->exponentiate(row.data(), 20, 32, 1.0f, nullptr, 0, eviction_step.data(), 4, nullptr),
      0.0f);
  EXPECT_EQ(row, std::vector<float>(32, 0.0f));
  row = random(32);
  EXPECT_EQ(isa_->exponentiate(row.data(), 20, 32, 1.0f, positions.data(), 4, nullptr, 0, nullptr),
            0.0f);
  EXPECT_EQ(row, std::vector<float>(32, 0.0f));
  row.assign(32, -kInf);
  EXPECT_EQ(isa_->exponentiate(row.data(), 20, 32, 1.0f, nullptr, 0, nullptr, 0, nullptr), 0.0f);
  EXPECT_EQ(row, std::vector<float>(32, 0.0f));
}

TEST_P(IsaKernelsTest, ExponentiateMakesANanScoresRowNan) {
  for (std::size_t at : {0u, 7u, 16u, 19u}) {
    std::vector<float> row = random(32);
    row[at] = kNan;
    EXPECT_TRUE(
        std::isnan(isa_->exponentiate(row.data(), 20, 32, 1.0f, nullptr, 0, nullptr, 0, nullptr)))
        << at;
    for (std::size_t j = 0; j < 20; ++j) EXPECT_TRUE(std::isnan(row[j])) << at << ' ' << j;
  }
  // Unless it cannot be seen.
  std::vector<std::int32_t> eviction_step(32, kLive);
  eviction_step[7] = 1;
  std::vector<float> row = random(32);
  row[7] = kNan;
  EXPECT_GT(
      isa_->exponentiate(row.data(), 20, 32, 1.0f, nullptr, 0, eviction_step.data(), 2, nullptr),
      0.0f);
  EXPECT_EQ(row[7], 0.0f);
}

TEST_P(IsaKernelsTest, ExponentiateTakesMinusInfinityAsZeroWeight) {
  std::vector<float> row = {-kInf, 1.0f, -kInf, 1.0f};
  row.resize(16, kNan);
  EXPECT_EQ(isa_->exponentiate(row.data(), 4, 16, 1.0f, nullptr, 0, nullptr, 0, nullptr), 2.0f);
  EXPECT_EQ(row, (std::vector<float>{0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST_P(IsaKernelsTest, MaskKeepsTheLivingAndSumsThem) {
  for (std::int32_t n : {16, 48, 272}) {
    std::vector<float> row = random(n), out(static_cast<std::size_t>(n), kNan);
    std::vector<std::int32_t> eviction_step(static_cast<std::size_t>(n), kLive);
    for (std::size_t j = 0; j < eviction_step.size(); ++j) {
      eviction_step[j] = j % 3 == 0 ? 4 : j % 3 == 1 ? 5 : kLive;
      if (eviction_step[j] < 5) row[j] = kNan;
    }
    const double got =
        static_cast<double>(isa_->mask(row.data(), eviction_step.data(), 5, n, out.data()));
    double sum = 0, terms = 0;
    for (std::size_t j = 0; j < eviction_step.size(); ++j) {
      EXPECT_EQ(out[j], eviction_step[j] >= 5 ? row[j] : 0.0f);
      sum += static_cast<double>(out[j]), terms += std::abs(static_cast<double>(out[j]));
    }
    EXPECT_TRUE(near(got, sum, terms, kSumFactor));
  }
}

TEST_P(IsaKernelsTest, TransposesEveryElementAndZeroesThePadding) {
  for (std::int32_t cols : {1, 15, 16, 31, 33, 257}) {
    for (std::int32_t depth : {1, 5, 16, 33}) {
      const std::int32_t padded = pad(cols), ld = padded + 16;
      const std::vector<float> rows = random(cols * depth);
      std::vector<std::uint16_t> half(rows.size());
      std::transform(rows.begin(), rows.end(), half.begin(), bf16_from_float);
      std::vector<float> out(static_cast<std::size_t>(depth * ld), kNan), out_half = out;
      isa_->transpose_f32(rows.data(), cols, padded, depth, out.data(), ld);
      isa_->transpose_bf16(half.data(), cols, padded, depth, out_half.data(), ld);
      for (std::int32_t k = 0; k < depth; ++k) {
        for (std::int32_t c = 0; c < ld; ++c) {
          const auto at = static_cast<std::size_t>(k * ld + c),
                     from = static_cast<std::size_t>(c * depth + k);
          if (c >= padded) {
            ASSERT_TRUE(std::isnan(out[at]) && std::isnan(out_half[at]));
            continue;
          }
          ASSERT_EQ(out[at], c < cols ? rows[from] : 0.0f);
          ASSERT_EQ(out_half[at], c < cols ? float_from_bf16(half[from]) : 0.0f);
        }
      }
    }
  }
}

TEST_P(IsaKernelsTest, ConvertsAsTheScalarFunctionsDo) {
  std::vector<float> in = random(257, 1e4f);
  const std::uint32_t special[] = {0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF, 0x7F800000,
                                   0xFF800000, 0x7FC00000, 0x7F800001, 0xFFFFFFFF, 0x00000001,
                                   0x80000000, 0x7F7FFFFF, 0x00008000, 0x00018000};
  for (std::uint32_t bits : special) in.push_back(std::bit_cast<float>(bits));
  for (std::size_t n : {1u, 3u, 17u, 31u, 33u, static_cast<unsigned>(in.size())}) {
    const float* last = in.data() + in.size() - n;  // the special ones in vectors and in tails
    std::vector<std::uint16_t> out(n + 1, 0x1234);
    isa_->to_bf16(last, static_cast<std::int64_t>(n), out.data());
    std::vector<float> back(n + 1, 0.5f);
    isa_->from_bf16(out.data(), static_cast<std::int64_t>(n), back.data());
    for (std::size_t i = 0; i < n; ++i) {
      if (std::isnan(last[i])) {
        EXPECT_TRUE(std::isnan(float_from_bf16(out[i])) && std::isnan(back[i])) << i;
      } else {
        EXPECT_EQ(out[i], bf16_from_float(last[i])) << i;
        EXPECT_EQ(back[i], float_from_bf16(out[i])) << i;
      }
    }
    EXPECT_EQ(out[n], 0x1234);
    EXPECT_EQ(back[n], 0.5f);
  }
}

TEST_P(IsaKernelsTest, ScalesAndNormalizesAtOddWidths) {
  for (std::int32_t n : {1, 3, 15, 17, 31, 32, 33, 67, 257}) {
    const std::vector<float> x = random(n), weight = random(n);
    std::vector<float> scaled(x.size()), normed(x.size());
    std::vector<std::uint16_t> scaled_half(x.size()), normed_half(x.size());
    isa_->scale(x.data(), 0.3f, n, scaled.data());
    isa_->scale_bf16(x.data(), 0.3f, n, scaled_half.data());
    isa_->rms_norm(x.data(), weight.data(), n, 1e-5f, normed.data());
    isa_->rms_norm_bf16(x.data(), weight.data(), n, 1e-5f, normed_half.data());
    double squares = 0;
    for (float v : x) squares += static_cast<double>(v) * static_cast<double>(v);
    EXPECT_TRUE(near(static_cast<double>(isa_->norm2(x.data(), n)), std::sqrt(squares),
                     std::sqrt(squares), kSumFactor));
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_EQ(scaled[i], x[i] * 0.3f);
      EXPECT_EQ(scaled_half[i], bf16_from_float(scaled[i]));
      const double e = static_cast<double>(x[i]) /
                       std::sqrt(squares / n + static_cast<double>(1e-5f)) *
                       static_cast<double>(weight[i]);
      EXPECT_TRUE(near(static_cast<double>(normed[i]), e, std::abs(e), kSumFactor)) << n;
      EXPECT_TRUE(
          near(static_cast<double>(float_from_bf16(normed_half[i])), e, std::abs(e), 1, kEpsBf16))
          << n;
    }
  }
}

constexpr Xielu kXielu{.alpha_p = 0.7f, .alpha_n = 1.3f, .beta = 0.5f, .eps = -1e-6f};

double activated(Activation activation, double x) {
  switch (activation) {
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::gelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::gelu_tanh: {
      const double u = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
      return x / (1 + std::exp(-2 * u));
    }
    case Activation::relu2:
      return x > 0 ? x * x : 0;
    case Activation::clamped_swiglu:
      break;
    case Activation::xielu: {
      const auto a = [](float n) { return static_cast<double>(n); };
      if (x > 0) return a(kXielu.alpha_p) * x * x + a(kXielu.beta) * x;
      return a(kXielu.alpha_n) * (std::expm1(std::min(x, a(kXielu.eps))) - x) + a(kXielu.beta) * x;
    }
  }
  return 0;
}

double gated(Activation activation, double gate, double up) {
  if (activation != Activation::clamped_swiglu) return activated(activation, gate) * up;
  const double g = std::min(gate, 7.0), u = std::clamp(up, -7.0, 7.0);
  return g / (1 + std::exp(-static_cast<double>(1.702f) * g)) * (u + 1);
}

TEST_P(IsaKernelsTest, GateEqualsTheActivationTimesUpAlsoFarOut) {
  for (int a = 0; a < kActivations; ++a) {
    SCOPED_TRACE(a);
    for (std::size_t n : {1u, 15u, 17u, 31u, 33u, 67u}) {
      std::vector<float> g = random(static_cast<std::int64_t>(n), 20.0f),
                         up = random(static_cast<std::int64_t>(n), 9.0f), out(n);
      for (std::size_t i = 0; i < n; i += 3)
        g[i] = std::vector<float>{100.0f, -100.0f, 1000.0f, -1000.0f, 0.0f, 88.0f, -88.0f}[i % 7];
      std::vector<std::uint16_t> half(n);
      const auto size = static_cast<std::int32_t>(n);
      isa_->gate[a](kXielu, g.data(), up.data(), size, out.data());
      isa_->gate_bf16[a](kXielu, g.data(), up.data(), size, half.data());
      for (std::size_t i = 0; i < n; ++i) {
        const double x = static_cast<double>(g[i]),
                     e = gated(static_cast<Activation>(a), x, static_cast<double>(up[i]));
        // Below -87 silu is less than 1e-30 and its own digits do not matter; gelu's erfc is within
        // 1.5e-7 of its largest, half of x; what xielu adds up may cancel.
        const double alpha = static_cast<double>(kXielu.alpha_n),
                     slope = alpha + static_cast<double>(kXielu.beta);
        const bool is_gelu = a == static_cast<int>(Activation::gelu),
                   is_xielu = a == static_cast<int>(Activation::xielu);
        const double more =
            is_gelu    ? std::abs(x)
            : is_xielu ? (alpha + slope * std::abs(x)) * std::abs(static_cast<double>(up[i]))
                       : 0;
        const double terms = std::abs(e) * (1 + std::abs(x)) + more + 1e-25;
        EXPECT_TRUE(near(static_cast<double>(out[i]), e, terms, kExpFactor)) << x;
        EXPECT_TRUE(near(static_cast<double>(float_from_bf16(half[i])), e,
                         std::abs(e) + more * 1e-4 + 1e-25, 1, kEpsBf16))
            << x;
      }
      std::vector<float> alone(n);
      const bool is_of_both = a == static_cast<int>(Activation::clamped_swiglu);
      const std::vector<float> ones(n, is_of_both ? 0.0f : 1.0f);
      isa_->gate[a](kXielu, g.data(), ones.data(), size, out.data());
      isa_->gate[a](kXielu, g.data(), nullptr, size, alone.data());
      EXPECT_EQ(alone, out);
    }
    const std::vector<float> g(17, kNan), up(17, 1.0f);
    std::vector<float> out(17);
    isa_->gate[a](kXielu, g.data(), up.data(), 17, out.data());
    for (float x : out) EXPECT_TRUE(std::isnan(x));
  }
}

TEST_P(IsaKernelsTest, CapIsCapTimesTanhAlsoFarOut) {
  for (const std::int32_t n : {1, 15, 17, 33, 64}) {
    std::vector<float> row = random(n, 200.0f);
    row[0] = kNan;
    if (n > 1) row[1] = std::numeric_limits<float>::infinity();
    if (n > 2) row[2] = -1e30f;
    std::vector<float> capped = row;
    isa_->cap(capped.data(), n, 50.0f);
    EXPECT_TRUE(std::isnan(capped[0]));
    for (std::size_t i = 1; i < row.size(); ++i)
      EXPECT_TRUE(near(static_cast<double>(capped[i]),
                       50 * std::tanh(static_cast<double>(row[i]) / 50), 50, kExpFactor))
          << row[i];
  }
}

TEST_P(IsaKernelsTest, LayerNormEqualsItsDefinitionAtOddWidths) {
  for (const std::int32_t n : {2, 3, 15, 17, 32, 67, 257}) {
    std::vector<float> x = random(n);
    for (float& v : x) v += 3.0f;
    const std::vector<float> weight = random(n), bias = random(n);
    std::vector<float> out(x.size()), plain(x.size());
    std::vector<std::uint16_t> half(x.size());
    isa_->layer_norm(x.data(), weight.data(), bias.data(), n, 1e-5f, out.data());
    isa_->layer_norm(x.data(), weight.data(), nullptr, n, 1e-5f, plain.data());
    isa_->layer_norm_bf16(x.data(), weight.data(), bias.data(), n, 1e-5f, half.data());
    double mean = 0, variance = 0;
    for (const float v : x) mean += static_cast<double>(v) / n;
    for (const float v : x)
      variance += (static_cast<double>(v) - mean) * (static_cast<double>(v) - mean) / n;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double normed = (static_cast<double>(x[i]) - mean) /
                            std::sqrt(variance + static_cast<double>(1e-5f)) *
                            static_cast<double>(weight[i]),
                   e = normed + static_cast<double>(bias[i]);
      // The mean's error counts as of a number of its size.
      const double terms = std::abs(e) + 4 / std::sqrt(variance);
      EXPECT_TRUE(near(static_cast<double>(out[i]), e, terms, kSumFactor)) << n;
      EXPECT_TRUE(near(static_cast<double>(plain[i]), normed, terms, kSumFactor)) << n;
      EXPECT_EQ(half[i], bf16_from_float(out[i]));
    }
  }
}

TEST_P(IsaKernelsTest, RotatesPairsAlsoInPlace) {
  for (std::int32_t half : {1, 4, 15, 16, 17, 33, 64}) {
    const std::vector<float> in = random(2 * half), angles = random(half, 3.0f);
    std::vector<float> c, s, out(in.size()), place = in;
    for (float a : angles) c.push_back(std::cos(a)), s.push_back(std::sin(a));
    isa_->rotate(in.data(), c.data(), s.data(), half, out.data());
    isa_->rotate(place.data(), c.data(), s.data(), half, place.data());
    EXPECT_EQ(place, out);
    for (std::size_t i = 0; i < c.size(); ++i) {
      const double a = static_cast<double>(in[i]), b = static_cast<double>(in[i + c.size()]);
      const double x = static_cast<double>(c[i]), y = static_cast<double>(s[i]);
      EXPECT_TRUE(near(static_cast<double>(out[i]), a * x - b * y,
                       std::abs(a * x) + std::abs(b * y), kSumFactor));
      EXPECT_TRUE(near(static_cast<double>(out[i + c.size()]), b * x + a * y,
                       std::abs(b * x) + std::abs(a * y), kSumFactor));
    }
  }
}

TEST_P(IsaKernelsTest, SumExpHoldsWithLargeValues) {
  for (std::int32_t n : {1, 3, 15, 17, 31, 33, 67, 257, 1031}) {
    for (float shift : {0.0f, 1e4f, -1e4f, 1e30f}) {
      std::vector<float> x = random(n, 10.0f);
      for (float& v : x) v += shift;
      float highest = kNan;
      const double got = static_cast<double>(isa_->sum_exp(x.data(), n, &highest));
      const float expected_argmax = *std::max_element(x.begin(), x.end());
      EXPECT_EQ(highest, expected_argmax);
      double sum = 0, terms = 0;
      for (float v : x) {
        const double d = static_cast<double>(v) - static_cast<double>(highest);
        sum += std::exp(d), terms += std::exp(d) * (1 - d);
      }
      EXPECT_TRUE(near(got, sum, terms, kExpFactor)) << n << ' ' << shift;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, IsaKernelsTest, ::testing::Values("generic", "avx2", "avx512"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace tovamill::cpu
