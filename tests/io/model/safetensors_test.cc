#include "io/model/safetensors.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/error_of.h"
#include "tests/support/models/file_builders.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;
using testing::raw;
using testing::safetensors_file;
using testing::TemporaryDirectory;

struct Loaded {
  MappedFile file;
  TensorTable table;
};

Loaded load(const TemporaryDirectory& directory, const std::string& content) {
  Loaded loaded{MappedFile(directory.write("m.safetensors", content)), {}};
  read_safetensors(loaded.file, loaded.table);
  return loaded;
}

TEST(SafetensorsTest, FindsTensorsInHeaderOrder) {
  const TemporaryDirectory directory;
  const Loaded loaded = load(
      directory, safetensors_file({{"b", StorageType::f32, {2, 1}, raw(1.5f) + raw(-2.0f)},
                                   {"a", StorageType::bf16, {1}, raw(std::uint16_t{0x3F80})}}));
  ASSERT_EQ(loaded.table.tensors().size(), 2u);
  EXPECT_EQ(loaded.table.tensors()[0].name, "b");
  const TensorView b = loaded.table.find("b").value();
  EXPECT_EQ(b.shape, (std::vector<std::int64_t>{2, 1}));
  float value = 0;
  dequantize_row(b, 1, &value);
  EXPECT_EQ(value, -2.0f);
  dequantize_row(loaded.table.find("a").value(), 0, &value);
  EXPECT_EQ(value, 1.0f);
  EXPECT_FALSE(loaded.table.find("c"));
}

TEST(SafetensorsTest, AllowsWhatTheFormatAllows) {
  const TemporaryDirectory directory;
  for (const char* header : {
           R"({})",
           R"({"__metadata__":{"any":"thing"}})",
           R"({"empty":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]}})",
           R"({"scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})",
           R"({"gap":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
           R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"extra":[1,{"a":null}]}}   )",
       }) {
    EXPECT_NO_THROW(load(directory, safetensors_file(header, std::string(8, '\0')))) << header;
  }
}

TEST(SafetensorsTest, ATypeThatIsNotOursIsRefusedOnUse) {
  const TemporaryDirectory directory;
  const Loaded loaded = load(
      directory, safetensors_file(R"({"i":{"dtype":"U64","shape":[1],"data_offsets":[0,8]},)"
                                  R"("f":{"dtype":"F8_E5M2","shape":[2],"data_offsets":[8,10]},)"
                                  R"("n":{"dtype":"F4","shape":[3],"data_offsets":[10,12]}})",
                                  std::string(12, '\0')));
  EXPECT_TRUE(loaded.table.tensors().empty());
  const auto message = [&](const char* name) { return error_of([&] { loaded.table.find(name); }); };
  EXPECT_TRUE(contains(message("i"), "'i' has the element type U64, which is not supported"));
  EXPECT_TRUE(contains(message("f"), "F8_E5M2"));
  EXPECT_TRUE(contains(message("n"), "F4"));
}

// Parts of quantised matrices: RowReaders alone make numbers of them.
TEST(SafetensorsTest, RawTypesAreNoNumbers) {
  const TemporaryDirectory directory;
  const std::pair<const char*, int> kRaw[] = {{"U8", 1},  {"I8", 1},      {"I32", 4},
                                              {"I64", 8}, {"F8_E4M3", 1}, {"F8_E8M0", 1}};
  for (const auto& [type, n_bytes] : kRaw) {
    const std::string header = std::string(R"({"t":{"dtype":")") + type +
                               R"(","shape":[2],"data_offsets":[0,)" + std::to_string(2 * n_bytes) +
                               "]}}";
    const Loaded loaded = load(directory, safetensors_file(header, std::string(16, '\0')));
    const TensorView tensor = loaded.table.find("t").value();
    EXPECT_EQ(block_format(tensor.storage).name, type);
    EXPECT_TRUE(is_raw(tensor.storage));
    float out[2];
    EXPECT_TRUE(contains(error_of([&] { dequantize_row(tensor, 0, out); }, ExitCode::internal),
                         "no numbers"));
  }
}

struct BadHeader {
  std::string name;
  std::string header;  // in front of 16 bytes of data
  std::string message;
};

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return std::string("\"")
      .append(name)
      .append(R"(":{"dtype":)")
      .append(dtype)
      .append(R"(,"shape":)")
      .append(shape)
      .append(R"(,"data_offsets":)")
      .append(offsets)
      .append("}");
}

std::string object(const std::string& first, const std::string& second = "") {
  return std::string("{")
      .append(first)
      .append(second.empty() ? "" : ",")
      .append(second)
      .append("}");
}

// Entries that are broken by themselves.
std::vector<BadHeader> bad_entries() {
  const auto one = [](const std::string& dtype, const std::string& shape,
                      const std::string& offsets) {
    return object(entry("t", dtype, shape, offsets));
  };
  const std::string f32 = "\"F32\"";
  const std::string deep = std::string(2000, '[') + std::string(2000, ']');
  return {
      {"empty", "", "not valid JSON"},
      {"not JSON", "hello", "not valid JSON"},
      {"cut JSON", R"({"t":{"dtype":"F32")", "not valid JSON"},
      {"text after JSON", "{} {}", "not valid JSON"},
      {"NUL", std::string("{\"t\0\":1}", 8), "not valid JSON"},
      {"array", "[]", "not a JSON object"},
      {"number", "7", "not a JSON object"},
      {"not UTF-8 name", object(entry("\xff\xfe", f32, "[4]", "[0,16]")), "not valid JSON"},
      {"deep", R"({"t":)" + deep + "}", "not valid JSON"},
      {"deep metadata", R"({"__metadata__":)" + deep + "}", "not valid JSON"},
      {"entry is a number", R"({"t":1})", "'t': its entry is not an object"},
      {"entry is null", R"({"t":null})", "its entry is not an object"},
      {"no dtype", R"({"t":{"shape":[4],"data_offsets":[0,16]}})", "dtype is missing"},
      {"no shape", R"({"t":{"dtype":"F32","data_offsets":[0,16]}})", "shape is missing"},
      {"no offsets", R"({"t":{"dtype":"F32","shape":[4]}})", "data_offsets is missing"},
      {"dtype twice", R"({"t":{"dtype":"F32","dtype":"F16","shape":[4],"data_offsets":[0,16]}})",
       "dtype is there twice"},
      {"offsets twice",
       R"({"t":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"data_offsets":[0,16]}})",
       "data_offsets is there twice"},
      {"dtype is a number", one("5", "[4]", "[0,16]"), "dtype is not a string"},
      {"shape is a number", one(f32, "4", "[0,16]"), "shape is not an array"},
      {"shape holds text", one(f32, R"(["4"])", "[0,16]"), "shape holds something other"},
      {"shape holds a fraction", one(f32, "[4.0]", "[0,16]"), "shape holds something other"},
      {"shape holds null", one(f32, "[null]", "[0,16]"), "shape holds something other"},
      {"negative shape", one(f32, "[-4]", "[0,16]"), "shape holds something other"},
      {"negative shape twice", one(f32, "[-2,-2]", "[0,16]"), "shape holds something other"},
      {"shape 2^63", one(f32, "[9223372036854775808]", "[0,16]"), "shape holds something other"},
      {"shape 2^64", one(f32, "[18446744073709551616]", "[0,16]"), "not valid JSON"},
      {"shape overflows", one(f32, "[4294967296,4294967296,4]", "[0,16]"),
       "its shape is too large"},
      {"shape wraps to fit", one(f32, "[4611686018427387905,4]", "[0,16]"),
       "its shape is too large"},
      {"bytes overflow", one(f32, "[4611686018427387904]", "[0,16]"), "its shape is too large"},
      {"zero hides an overflow", one(f32, "[0,4294967296,4294967296]", "[0,0]"),
       "its shape is too large"},
      {"too many dimensions", one(f32, "[1,1,1,1,1,1,1,1,4]", "[0,16]"),
       "shape has too many entries"},
      {"shape too small", one(f32, "[3]", "[0,16]"),
       "has 16 bytes where its shape and F32 need 12"},
      {"shape too large", one(f32, "[5]", "[0,16]"),
       "has 16 bytes where its shape and F32 need 20"},
      {"zero shape, some bytes", one(f32, "[0]", "[0,16]"), "need 0"},
      {"wrong dtype", one("\"F16\"", "[4]", "[0,16]"),
       "has 16 bytes where its shape and F16 need 8"},
      {"other dtype, wrong size", one("\"I8\"", "[4]", "[0,16]"), "need 4"}};
}

// Offsets and names that do not go with the file or with each other.
std::vector<BadHeader> bad_offsets() {
  const auto one = [](const std::string& dtype, const std::string& shape,
                      const std::string& offsets) {
    return object(entry("t", dtype, shape, offsets));
  };
  const std::string f32 = "\"F32\"";
  return {
      {"one offset", one(f32, "[4]", "[0]"), "data_offsets is not a pair"},
      {"three offsets", one(f32, "[4]", "[0,8,16]"), "data_offsets has too many entries"},
      {"offsets are text", one(f32, "[4]", R"("0,16")"), "data_offsets is not an array"},
      {"negative offset", one(f32, "[4]", "[-16,0]"), "data_offsets holds something other"},
      {"offsets reversed", one(f32, "[4]", "[16,0]"), "not within the 16 bytes"},
      {"end beyond the file", one(f32, "[5]", "[0,20]"), "not within the 16 bytes"},
      {"begin beyond the file", one(f32, "[4]", "[16,32]"), "not within the 16 bytes"},
      {"end near 2^63", one(f32, "[4]", "[9223372036854775791,9223372036854775807]"), "not within"},
      {"the same name twice",
       object(entry("t", f32, "[1]", "[0,4]"), entry("t", f32, "[1]", "[4,8]")),
       "'t' is there twice"},
      {"the same name, escaped",
       object(entry("t", f32, "[1]", "[0,4]"), entry("\\u0074", f32, "[1]", "[4,8]")),
       "'t' is there twice"},
      {"overlap", object(entry("t", f32, "[2]", "[0,8]"), entry("u", f32, "[2]", "[4,12]")),
       "'t' and 'u' overlap at data byte 4"},
      {"the same bytes", object(entry("t", f32, "[4]", "[0,16]"), entry("u", f32, "[4]", "[0,16]")),
       "overlap"},
      {"one inside the other",
       object(entry("t", f32, "[1]", "[4,8]"), entry("u", f32, "[4]", "[0,16]")),
       "'u' and 't' overlap"},
      {"overlap with a type that is not ours",
       object(entry("t", "\"I8\"", "[8]", "[0,8]"), entry("u", f32, "[4]", "[0,16]")), "overlap"},
      {"control characters in a name", R"({"a\u0007\n\u001b[31m":1})", R"('a\x07\x0A\x1B[31m')"},
      {"a long name", R"({")" + std::string(5000, 'n') + R"(":1})", std::string(80, 'n') + "...'"},
  };
}

TEST(SafetensorsTest, RefusesBadHeaders) {
  const TemporaryDirectory directory;
  std::vector<BadHeader> all = bad_entries();
  for (BadHeader& bad : bad_offsets()) all.push_back(std::move(bad));
  for (const BadHeader& bad : all) {
    SCOPED_TRACE(bad.name);
    const std::string message =
        error_of([&] { load(directory, safetensors_file(bad.header, std::string(16, '\0'))); });
    EXPECT_TRUE(contains(message, "m.safetensors: ")) << message;
    EXPECT_TRUE(contains(message, bad.message)) << message;
  }
}

TEST(SafetensorsTest, RefusesBadLengths) {
  const TemporaryDirectory directory;
  const auto message = [&](const std::string& content) {
    return error_of([&] { load(directory, content); });
  };
  EXPECT_TRUE(contains(message(""), "has 0 bytes, too few"));
  EXPECT_TRUE(contains(message("1234567"), "has 7 bytes, too few"));
  EXPECT_TRUE(
      contains(message(raw(std::uint64_t{3}) + "{}"), "claims a header of 3 bytes but has 10"));
  EXPECT_TRUE(contains(message(raw(std::uint64_t{100'000'001}) + "{}"), "over the limit"));
  EXPECT_TRUE(contains(message(raw(~std::uint64_t{0}) + "{}"), "over the limit"));
  EXPECT_TRUE(contains(message(raw(std::uint64_t{1} << 63) + "{}"), "over the limit"));
}

TEST(SafetensorsTest, RefusesEveryTruncation) {
  const TemporaryDirectory directory;
  const std::string whole =
      safetensors_file({{"a", StorageType::f32, {2}, std::string(8, '\1')},
                        {"b", StorageType::f16, {2, 2}, std::string(8, '\2')}});
  ASSERT_NO_THROW(load(directory, whole));
  for (std::size_t n = 0; n < whole.size(); ++n) {
    SCOPED_TRACE(n);
    error_of([&] { load(directory, whole.substr(0, n)); });
  }
}

}  // namespace
}  // namespace tovamill
