#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "io/model/gguf.h"
#include "kernels/types/tensor.h"

namespace tovamill {
namespace {

// A float16 by its definition: sign, 5 bits of exponent with bias 15, 10 bits of fraction.
double f16_by_definition(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  double value = 0;
  if (exponent == 31) {
    value = fraction == 0 ? std::numeric_limits<double>::infinity() : std::nan("");
  } else {
    value = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -value : value;
}

TEST(DequantizeTest, EveryHalfHasItsValueAndSign) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = float_from_f16(static_cast<std::uint16_t>(bits));
    const double expected = f16_by_definition(static_cast<std::uint16_t>(bits));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(value)) << bits;
    } else {
      EXPECT_EQ(value, expected) << bits;
    }
    EXPECT_EQ(std::signbit(value), (bits & 0x8000) != 0) << bits;
  }
}

TEST(DequantizeTest, EveryBf16SurvivesARoundTrip) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = float_from_bf16(static_cast<std::uint16_t>(bits));
    const std::uint16_t back = bf16_from_float(value);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(float_from_bf16(back))) << bits;
    } else {
      EXPECT_EQ(back, bits);
    }
  }
}

TEST(DequantizeTest, Bf16RoundsToNearestEven) {
  const auto rounded = [](std::uint32_t bits) {
    return bf16_from_float(std::bit_cast<float>(bits));
  };
  EXPECT_EQ(rounded(0x3F808000), 0x3F80);  // a tie, to the even one below
  EXPECT_EQ(rounded(0x3F818000), 0x3F82);  // a tie, to the even one above
  EXPECT_EQ(rounded(0x3F808001), 0x3F81);
  EXPECT_EQ(rounded(0x3F807FFF), 0x3F80);
  EXPECT_EQ(rounded(0x7F7FFFFF), 0x7F80);  // the largest float32 becomes infinite
  EXPECT_EQ(rounded(0x7F800001) & 0x7FC0,
            0x7FC0);  // a NaN whose payload lies in the low bits stays NaN
  EXPECT_EQ(rounded(0x80000000), 0x8000);
}

class QuantisedType : public ::testing::TestWithParam<const char*> {};

TEST_P(QuantisedType, EqualsTheGgufPackage) {
  const MappedFile file(TOVAMILL_SOURCE_DIR "/tests/support/goldens/quants.gguf");
  TensorTable table;
  read_gguf(file, table);
  const TensorView blocks = table.find(GetParam()).value();
  const TensorView values = table.find(std::string(GetParam()) + ".values").value();
  ASSERT_EQ(blocks.shape, values.shape);
  EXPECT_EQ(block_format(blocks.storage).name, GetParam());
  const auto n = static_cast<std::size_t>(blocks.n_cols());
  std::vector<float> found(n), expected(n);
  for (std::int64_t row = 0; row < blocks.n_rows(); ++row) {
    dequantize_row(blocks, row, found.data());
    dequantize_row(values, row, expected.data());
    for (std::size_t i = 0; i < n; ++i) {
      if (std::isnan(expected[i])) {
        EXPECT_TRUE(std::isnan(found[i])) << "row " << row << " column " << i;
      } else {
        EXPECT_EQ(std::bit_cast<std::uint32_t>(found[i]), std::bit_cast<std::uint32_t>(expected[i]))
            << "row " << row << " column " << i << ": " << found[i] << " for " << expected[i];
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(DequantizeTest, QuantisedType,
                         ::testing::Values("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K",
                                           "Q6_K", "Q2_K", "Q3_K", "IQ4_NL", "IQ4_XS", "IQ2_XXS",
                                           "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S", "IQ1_M",
                                           "TQ1_0", "TQ2_0", "MXFP4"),
                         [](const auto& info) { return std::string(info.param); });

TEST(DequantizeTest, PlainTypesAreReadAtAnyAddress) {
  alignas(8) std::byte memory[1 + 3 * 4];
  for (const StorageType dtype : {StorageType::f32, StorageType::f16, StorageType::bf16}) {
    const std::uint32_t one = dtype == StorageType::f32   ? 0x3F800000
                              : dtype == StorageType::f16 ? 0x3C00
                                                          : 0x3F80;
    const auto n_bytes = static_cast<std::size_t>(block_format(dtype).n_bytes);
    for (std::size_t i = 0; i < 3; ++i) std::memcpy(memory + 1 + i * n_bytes, &one, n_bytes);
    const TensorView tensor{"t", dtype, {3, 1}, memory + 1, 3 * n_bytes};
    for (std::int64_t row = 0; row < 3; ++row) {
      float value = 0;
      dequantize_row(tensor, row, &value);
      EXPECT_EQ(value, 1.0f);
    }
  }
}

TEST(TensorViewTest, CountsRowsAndColumns) {
  const TensorView matrix{"m", StorageType::f32, {2, 3, 4}, nullptr, 0};
  EXPECT_EQ(matrix.n_rows(), 6);
  EXPECT_EQ(matrix.n_cols(), 4);
  EXPECT_EQ(matrix.n_elements(), 24);
  const TensorView scalar{"s", StorageType::f32, {}, nullptr, 0};
  EXPECT_EQ(scalar.n_rows(), 1);
  EXPECT_EQ(scalar.n_elements(), 1);
}

}  // namespace
}  // namespace tovamill
