// Scores and weighted sums of rows as a state stores them (kernels/cpu/isa_rows.h), of each
// instruction set against plain loops in float64. What lies behind the rows, and behind what a
// result has room for, is NaN.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/isa_kernels.h"
#include "kernels/types/tensor.h"
#include "tests/support/attention/near.h"

namespace tovamill::cpu {
namespace {

using testing::near;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
// A sum of n products, one rounding each and one for each addition; errors cancel, and 4 is what
// random terms stay below at 257.
constexpr double kSumFactor = 4;

struct Rows {
  std::vector<float> f32;           // (n_rows + 1, depth), values that bf16 holds exactly
  std::vector<std::uint16_t> bf16;  // the same
};

class IsaRowsTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    isa_ = kernels_named(GetParam());
    if (isa_ == nullptr) GTEST_SKIP() << "this build or CPU has no " << GetParam();
  }
  std::vector<float> random(std::int64_t n) {
    std::vector<float> v(static_cast<std::size_t>(n));
    for (float& x : v) x = std::uniform_real_distribution<float>(-1, 1)(random_);
    return v;
  }
  Rows random_rows(std::int32_t n_rows, std::int32_t depth) {
    Rows rows{.f32 = random(static_cast<std::int64_t>(n_rows) * depth), .bf16 = {}};
    for (float& x : rows.f32) x = float_from_bf16(bf16_from_float(x));
    rows.f32.insert(rows.f32.end(), static_cast<std::size_t>(depth), kNan);
    for (const float x : rows.f32) rows.bf16.push_back(bf16_from_float(x));
    return rows;
  }
  void dot(bool is_bf16, const float* queries, std::int32_t n_queries, std::int32_t depth,
           const Rows& rows, std::int32_t n_rows, float* out, std::int64_t ld) const {
    if (is_bf16) {
      isa_->dot_rows_bf16(queries, n_queries, depth, rows.bf16.data(), n_rows, out, ld);
    } else {
      isa_->dot_rows_f32(queries, n_queries, depth, rows.f32.data(), n_rows, out, ld);
    }
  }
  const IsaKernels* isa_ = nullptr;
  std::mt19937 random_{11};
};

template <class Check>
void for_each_size(Check&& check) {
  for (const bool is_bf16 : {false, true}) {
    for (const std::int32_t n_rows : {1, 31, 33, 257}) {
      for (const std::int32_t depth : {2, 16, 22, 64, 80, 96, 128}) {
        for (const std::int32_t n_queries : {1, 2, 3, 4, 7}) {
          SCOPED_TRACE(std::string(is_bf16 ? "bf16 " : "f32 ") + std::to_string(n_rows) +
                       " rows of " + std::to_string(depth) + ", " + std::to_string(n_queries) +
                       " queries");
          check(is_bf16, n_rows, depth, n_queries);
        }
      }
    }
  }
}

TEST_P(IsaRowsTest, DotRowsEqualsFloat64) {
  for_each_size([&](bool is_bf16, std::int32_t n_rows, std::int32_t depth, std::int32_t n_queries) {
    const Rows rows = random_rows(n_rows, depth);
    const std::vector<float> queries = random(static_cast<std::int64_t>(n_queries) * depth);
    const std::int32_t ld = n_rows + 3;
    std::vector<float> out(static_cast<std::size_t>(n_queries * ld), kNan);
    dot(is_bf16, queries.data(), n_queries, depth, rows, n_rows, out.data(), ld);
    for (std::int32_t q = 0; q < n_queries; ++q) {
      for (std::int32_t j = 0; j < ld; ++j) {
        const auto got = static_cast<double>(out[static_cast<std::size_t>(q * ld + j)]);
        if (j >= n_rows) {
          ASSERT_TRUE(std::isnan(got)) << "written behind the rows";
          continue;
        }
        double sum = 0, terms = 0;
        for (std::int32_t i = 0; i < depth; ++i) {
          const double term =
              static_cast<double>(queries[static_cast<std::size_t>(q * depth + i)]) *
              static_cast<double>(rows.f32[static_cast<std::size_t>(j * depth + i)]);
          sum += term, terms += std::abs(term);
        }
        ASSERT_TRUE(near(got, sum, terms, kSumFactor)) << q << ' ' << j;
      }
    }
  });
}

TEST_P(IsaRowsTest, AddRowsEqualsFloat64) {
  for_each_size([&](bool is_bf16, std::int32_t n_rows, std::int32_t depth, std::int32_t n_queries) {
    const Rows rows = random_rows(n_rows, depth);
    const std::int32_t ldw = n_rows + 5, ldo = depth + 3;
    std::vector<float> weights = random(static_cast<std::int64_t>(n_queries) * ldw);
    for (std::int32_t q = 0; q < n_queries; ++q)
      std::fill_n(weights.begin() + q * ldw + n_rows, 5, kNan);
    std::vector<float> out(static_cast<std::size_t>(n_queries * ldo), kNan);
    if (is_bf16) {
      isa_->add_rows_bf16(weights.data(), ldw, n_queries, rows.bf16.data(), n_rows, depth,
                          out.data(), ldo);
    } else {
      isa_->add_rows_f32(weights.data(), ldw, n_queries, rows.f32.data(), n_rows, depth, out.data(),
                         ldo);
    }
    for (std::int32_t q = 0; q < n_queries; ++q) {
      for (std::int32_t i = 0; i < ldo; ++i) {
        const auto got = static_cast<double>(out[static_cast<std::size_t>(q * ldo + i)]);
        if (i >= depth) {
          ASSERT_TRUE(std::isnan(got)) << "written behind the sums";
          continue;
        }
        double sum = 0, terms = 0;
        for (std::int32_t j = 0; j < n_rows; ++j) {
          const double term =
              static_cast<double>(weights[static_cast<std::size_t>(q * ldw + j)]) *
              static_cast<double>(rows.f32[static_cast<std::size_t>(j * depth + i)]);
          sum += term, terms += std::abs(term);
        }
        ASSERT_TRUE(near(got, sum, terms, kSumFactor)) << q << ' ' << i;
      }
    }
  });
}

// Ties between equal tokens must be exact: the oldest leaves.
TEST_P(IsaRowsTest, EqualRowsGetTheSameBitsWhereverTheyStandAndWhateverTheirNumber) {
  for (const bool is_bf16 : {false, true}) {
    for (const std::int32_t depth : {16, 22, 64, 80}) {
      Rows rows = random_rows(13, depth);
      for (std::size_t j = 1; j < 13; ++j) {
        for (std::size_t i = 0; i < static_cast<std::size_t>(depth); ++i) {
          rows.f32[j * static_cast<std::size_t>(depth) + i] = rows.f32[i];
          rows.bf16[j * static_cast<std::size_t>(depth) + i] = rows.bf16[i];
        }
      }
      const std::vector<float> queries = random(3 * depth);
      for (std::int32_t n_rows = 1; n_rows <= 13; ++n_rows) {
        for (std::int32_t n_queries = 1; n_queries <= 3; ++n_queries) {
          std::vector<float> out(static_cast<std::size_t>(n_queries * n_rows)), one(3);
          dot(is_bf16, queries.data(), n_queries, depth, rows, n_rows, out.data(), n_rows);
          dot(is_bf16, queries.data(), 3, depth, rows, 1, one.data(), 1);
          for (std::int32_t q = 0; q < n_queries; ++q) {
            for (std::int32_t j = 0; j < n_rows; ++j)
              ASSERT_EQ(out[static_cast<std::size_t>(q * n_rows + j)],
                        one[static_cast<std::size_t>(q)])
                  << depth << ' ' << n_rows << ' ' << n_queries << ' ' << q << ' ' << j;
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, IsaRowsTest, ::testing::Values("generic", "avx2", "avx512"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace tovamill::cpu
