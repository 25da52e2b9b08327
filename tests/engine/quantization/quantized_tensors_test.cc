// Parts of quantised matrices by hand, and parts that do not fit each other.
#include "engine/quantization/quantized_tensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/support/error_of.h"
#include "tests/support/models/file_builders.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::encode;
using testing::error_of;
using testing::FileTensor;
using testing::raw;

using Files = std::map<std::string, FileTensor>;
using Shape = std::vector<std::int64_t>;

void add(Files& files, const std::string& name, StorageType type, const Shape& shape,
         std::string bytes) {
  files["m." + name] = {"m." + name, type, shape, std::move(bytes)};
}

std::string words(const std::vector<std::uint32_t>& values) {
  std::string bytes;
  for (const std::uint32_t value : values) bytes += raw(value);
  return bytes;
}

std::optional<TensorView> find(const Quantization& q, const Files& files,
                               const std::string& name = "m.weight") {
  return find_quantized(
      q,
      [&](const std::string& n) -> std::optional<TensorView> {
        const auto place = files.find(n);
        if (place == files.end()) return std::nullopt;
        const FileTensor& t = place->second;
        return TensorView{t.name, t.dtype, t.shape,
                          reinterpret_cast<const std::byte*>(t.bytes.data()), t.bytes.size()};
      },
      name, "model");
}

std::vector<float> row(const TensorView& matrix, std::int64_t index) {
  std::vector<float> values(static_cast<std::size_t>(matrix.n_cols()));
  dequantize_row(matrix, index, values.data());
  return values;
}

Quantization of(QuantizationMethod method, ScaleOf scale_of, std::int32_t bits = 8) {
  Quantization q;
  q.method = method;
  q.scale_of = scale_of;
  q.bits = bits;
  q.group_size = 8;
  q.block_rows = q.block_columns = 2;
  return q;
}

// 3 rows of 3, blocks of 2 x 2: the last ones are cut.
Files fp8_files() {
  Files files;
  // 1, -2, 448; 2^-9, 0, 1.125; 0.5, NaN, -0.
  add(files, "weight", StorageType::f8_e4m3, {3, 3},
      "\x38\xc0\x7e\x01" + std::string(1, '\0') + "\x39\x30\x7f\x80");
  add(files, "weight_scale_inv", StorageType::f32, {2, 2},
      encode({1, 10, 100, 1000}, StorageType::f32));
  return files;
}

TEST(QuantizedTensors, Fp8ByHand) {
  const Files files = fp8_files();
  const auto matrix = find(of(QuantizationMethod::fp8, ScaleOf::block), files);
  EXPECT_EQ(row(*matrix, 0), (std::vector<float>{1, -2, 4480}));
  EXPECT_EQ(row(*matrix, 1), (std::vector<float>{0x1p-9f, 0, 11.25f}));
  const std::vector<float> last = row(*matrix, 2);
  EXPECT_EQ(last[0], 50);
  EXPECT_TRUE(std::isnan(last[1]));
  EXPECT_TRUE(std::signbit(last[2]));
}

TEST(QuantizedTensors, NanAndInfiniteScalesStayWhatTheyAre) {
  Files files = fp8_files();
  files["m.weight_scale_inv"].bytes = encode({NAN, INFINITY, 1, 1}, StorageType::f32);
  const auto matrix = find(of(QuantizationMethod::fp8, ScaleOf::block), files);
  EXPECT_TRUE(std::isnan(row(*matrix, 0)[0]));
  EXPECT_TRUE(std::isinf(row(*matrix, 0)[2]));
}

// 8 rows of 8 columns: column c of row r is 4 bits (r + c) % 16.
Files gptq_files() {
  Files files;
  std::vector<std::uint32_t> codes, groups;
  for (std::uint32_t r = 0; r < 8; ++r) {
    std::uint32_t word = 0;
    for (std::uint32_t c = 0; c < 8; ++c) word |= ((r + c) % 16) << (4 * c);
    codes.push_back(word);
  }
  add(files, "qweight", StorageType::i32, {1, 8}, words(codes));
  add(files, "qzeros", StorageType::i32, {1, 1}, words({0x76543210}));
  add(files, "scales", StorageType::f16, {1, 8},
      encode({1, 1, 1, 1, 1, 1, 1, 0.5f}, StorageType::f16));
  add(files, "g_idx", StorageType::i32, {8}, words(std::vector<std::uint32_t>(8, 0)));
  return files;
}

TEST(QuantizedTensors, GptqByHand) {
  Quantization q = of(QuantizationMethod::gptq, ScaleOf::group, 4);
  const Files files = gptq_files();
  EXPECT_EQ(row(*find(q, files), 0), (std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(row(*find(q, files), 7), (std::vector<float>{0, .5f, 1, 1.5f, 2, 2.5f, 3, 3.5f}));
  q.zeros_are_less_by_one = true;
  EXPECT_EQ(row(*find(q, files), 1), (std::vector<float>{-1, 0, 1, 2, 3, 4, 5, 6}));
}

Files packed_files() {
  Files files;
  add(files, "weight_packed", StorageType::i32, {2, 2},
      words({0x76543210, 0xfedcba98, 0x88888888, 0x99999999}));
  add(files, "weight_scale", StorageType::bf16, {2, 2}, encode({1, 2, 1, 3}, StorageType::bf16));
  add(files, "weight_shape", StorageType::i64, {2}, raw(std::int64_t{2}) + raw(std::int64_t{16}));
  return files;
}

TEST(QuantizedTensors, PackedByHand) {
  const Files files = packed_files();
  const auto matrix = find(of(QuantizationMethod::packed, ScaleOf::group, 4), files);
  EXPECT_EQ(row(*matrix, 0),
            (std::vector<float>{-8, -7, -6, -5, -4, -3, -2, -1, 0, 2, 4, 6, 8, 10, 12, 14}));
  EXPECT_EQ(row(*matrix, 1)[0], 0);
  EXPECT_EQ(row(*matrix, 1)[15], 3);
}

TEST(QuantizedTensors, ColumnsOfPackedRowsMayBelongToAnyGroup) {
  Quantization q = of(QuantizationMethod::packed, ScaleOf::group, 4);
  q.needs_groups_of_columns = true;
  Files files = packed_files();
  std::vector<std::uint32_t> groups;
  for (std::uint32_t c = 0; c < 16; ++c) groups.push_back(c % 2);
  add(files, "weight_g_idx", StorageType::i32, {16}, words(groups));
  EXPECT_EQ(row(*find(q, files), 0),
            (std::vector<float>{-8, -14, -6, -10, -4, -6, -2, -2, 0, 2, 2, 6, 4, 10, 6, 14}));
  // All -1: in their order.
  q.needs_groups_of_columns = false;
  files["m.weight_g_idx"].bytes = words(std::vector<std::uint32_t>(16, ~0u));
  EXPECT_EQ(row(*find(q, files), 0)[15], 14);
  EXPECT_EQ(row(*find(q, files), 0)[1], -7);
}

TEST(QuantizedTensors, WhatIsNotQuantisedStaysAsItIs) {
  Files files;
  add(files, "weight", StorageType::bf16, {1, 2}, encode({1, 2}, StorageType::bf16));
  add(files, "bias", StorageType::f32, {1}, encode({1}, StorageType::f32));
  for (const QuantizationMethod method :
       {QuantizationMethod::fp8, QuantizationMethod::gptq, QuantizationMethod::packed}) {
    const Quantization q = of(method, ScaleOf::group, 4);
    EXPECT_EQ(find(q, files)->reader, nullptr);
    EXPECT_EQ(find(q, files, "m.bias")->storage, StorageType::f32);
    EXPECT_FALSE(find(q, files, "n.weight").has_value());
  }
}

TEST(QuantizedTensors, PartsHaveThePlaceOfTheirMatrix) {
  const Quantization gptq = of(QuantizationMethod::gptq, ScaleOf::group, 4);
  EXPECT_EQ(matrix_of_part(gptq, "a.b.qzeros"), "a.b.weight");
  EXPECT_EQ(matrix_of_part(gptq, "a.b.weight"), "");
  EXPECT_EQ(matrix_of_part(gptq, "a.b.weight_scale"), "");
  Quantization fp8 = of(QuantizationMethod::fp8, ScaleOf::block);
  EXPECT_EQ(matrix_of_part(fp8, "a.weight_scale_inv"), "a.weight");
  EXPECT_EQ(matrix_of_part(fp8, "a.activation_scale"), "");
  fp8.quantizes_activations = true;
  EXPECT_EQ(matrix_of_part(fp8, "a.activation_scale"), "a.weight");
}

struct BadParts {
  Quantization quantization;
  Files (*files)();
  std::function<void(Files&)> change;
  std::string message;
};

TEST(QuantizedTensors, PartsThatDoNotFitAreRefusedByName) {
  const Quantization fp8 = of(QuantizationMethod::fp8, ScaleOf::block);
  const Quantization gptq = of(QuantizationMethod::gptq, ScaleOf::group, 4);
  const Quantization packed = of(QuantizationMethod::packed, ScaleOf::group, 4);
  Quantization ordered = gptq, asymmetric = packed, moved = packed;
  moved.needs_groups_of_columns = true;
  ordered.needs_groups_of_columns = asymmetric.has_zeros = true;
  const auto without = [](const char* name) { return [=](Files& f) { f.erase(name); }; };
  const auto shaped = [](const char* name, const Shape& shape) {
    return [=](Files& f) { f[name].shape = shape; };
  };
  const auto typed = [](const char* name, StorageType type) {
    return [=](Files& f) { f[name].dtype = type; };
  };
  const auto holding = [](const char* name, const std::string& bytes) {
    return [=](Files& f) { f[name].bytes = bytes; };
  };
  const std::vector<BadParts> kBad{
      {fp8, fp8_files, without("m.weight_scale_inv"), "'m.weight_scale_inv' is missing"},
      {fp8, fp8_files, shaped("m.weight_scale_inv", {1, 4}), "shape (1, 4) where the others need"},
      {fp8, fp8_files, shaped("m.weight_scale_inv", {}), "where the others need (2, 2)"},
      {fp8, fp8_files, typed("m.weight_scale_inv", StorageType::u8), "is of the type U8"},
      {fp8, fp8_files, typed("m.weight", StorageType::i8), "'m.weight' is of the type I8"},
      {fp8, fp8_files, typed("m.weight", StorageType::f32), "which is not quantised"},
      {fp8, fp8_files, shaped("m.weight", {9}), "which no quantised matrix has"},
      {fp8, fp8_files, shaped("m.weight", {0, 3}), "which no quantised matrix has"},
      {gptq, gptq_files, without("m.qzeros"), "'m.qzeros' is missing"},
      {gptq, gptq_files, without("m.scales"), "'m.scales' is missing"},
      {ordered, gptq_files, without("m.g_idx"), "orders columns by activations"},
      {gptq, gptq_files, shaped("m.qzeros", {1, 2}), "where the others need (1, 1)"},
      {gptq, gptq_files, shaped("m.scales", {2, 4}), "where the others need (1, 8)"},
      {gptq, gptq_files, shaped("m.qweight", {8, 1}), "has 1 columns, no multiple of 8"},
      {gptq, gptq_files, typed("m.qweight", StorageType::f32), "'m.qweight' is of the type F32"},
      {gptq, gptq_files, typed("m.g_idx", StorageType::i64), "'m.g_idx' is of the type I64"},
      {gptq, gptq_files, holding("m.g_idx", words({0, 0, 0, 1, 0, 0, 0, 0})), "the group 1 of 1"},
      {gptq, gptq_files, holding("m.g_idx", words(std::vector<std::uint32_t>(8, ~0u))), "group -1"},
      {gptq, gptq_files, [](Files& f) { f["m.weight"] = f["m.scales"]; },
       "'m.weight' is there beside 'm.qweight'"},
      {packed, packed_files, without("m.weight_shape"), "'m.weight_shape' is missing"},
      {packed, packed_files, holding("m.weight_shape", std::string(16, '\xff')), "holds -1"},
      {packed, packed_files, holding("m.weight_shape", std::string(16, '\x7f')), "holds 918"},
      {packed, packed_files,
       holding("m.weight_shape", raw(std::int64_t{2}) + raw(std::int64_t{24})), "need (2, 3)"},
      {packed, packed_files,
       holding("m.weight_shape", raw(std::int64_t{2}) + raw(std::int64_t{15})), "no whole groups"},
      {moved, packed_files, [](Files&) {}, "'m.weight_g_idx' is missing"},
      {asymmetric, packed_files, [](Files&) {}, "'m.weight_zero_point' is missing"},
      {packed, packed_files, [](Files& f) { f["m.weight_zero_point"] = f["m.weight_packed"]; },
       "says symmetric"},
  };
  for (const BadParts& bad : kBad) {
    Files files = bad.files();
    bad.change(files);
    const std::string message = error_of([&] { find(bad.quantization, files); });
    EXPECT_TRUE(contains(message, bad.message)) << bad.message << "\n" << message;
  }
}

}  // namespace
}  // namespace tovamill
