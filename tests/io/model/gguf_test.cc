#include "io/model/gguf.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/error_of.h"
#include "tests/support/models/file_builders.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;
using testing::gguf_string;
using testing::GgufBuilder;
using testing::raw;
using testing::TemporaryDirectory;

struct Loaded {
  MappedFile file;
  TensorTable table;
  GgufContents contents;
};

Loaded load(const TemporaryDirectory& directory, const std::string& content) {
  Loaded loaded{MappedFile(directory.write("m.gguf", content)), {}, {}};
  loaded.contents = read_gguf(loaded.file, loaded.table);
  return loaded;
}

constexpr std::uint64_t kHuge = std::uint64_t{1} << 63;
constexpr std::uint64_t kAll = ~std::uint64_t{0};

GgufBuilder valid() {
  GgufBuilder file;
  file.text("general.architecture", "llama").u32("llama.block_count", 2);
  file.texts("tokenizer.ggml.tokens", {"a", "b", "c"});
  file.tensor({"one", StorageType::f32, {2, 3}, std::string(24, '\1')});
  file.tensor({"two", StorageType::q8_0, {2, 32}, std::string(68, '\2')});
  return file;
}

TEST(GgufTest, ReadsEveryTypeOfValue) {
  GgufBuilder file;
  file.raw_value("u8", 0, raw(std::uint8_t{200})).raw_value("i8", 1, raw(std::int8_t{-3}));
  file.raw_value("u16", 2, raw(std::uint16_t{60000})).raw_value("i16", 3, raw(std::int16_t{-300}));
  file.u32("u32", 4'000'000'000u).raw_value("i32", 5, raw(std::int32_t{-70000}));
  file.f32("f32", 0.5f).boolean("yes", true).boolean("no", false);
  file.text("text", std::string("\xff\x00 z", 4)).text("nothing", "");
  file.raw_value("u64", 10, raw(~std::uint64_t{0}))
      .raw_value("i64", 11, raw(std::int64_t{-1} << 40));
  file.raw_value("f64", 12, raw(0.1)).f32("nan", std::nanf(""));
  file.texts("texts", {"a", "", "\xfe"}).i32s("i32s", {1, -2}).f32s("f32s", {});
  // [[1, 2], []] as bytes
  file.raw_value("nested", 9,
                 raw(9u) + raw(std::uint64_t{2}) + raw(0u) + raw(std::uint64_t{2}) + "\1\2" +
                     raw(0u) + raw(std::uint64_t{0}));
  const TemporaryDirectory directory;
  for (const std::uint32_t version : {2u, 3u}) {
    file.version = version;
    const nlohmann::json m = load(directory, file.bytes()).contents.metadata;
    EXPECT_EQ(m.size(), 19u);
    EXPECT_EQ(m["u8"], 200);
    EXPECT_EQ(m["i8"], -3);
    EXPECT_EQ(m["u16"], 60000);
    EXPECT_EQ(m["i16"], -300);
    EXPECT_EQ(m["u32"], 4'000'000'000u);
    EXPECT_EQ(m["i32"], -70000);
    EXPECT_EQ(m["f32"], 0.5);
    EXPECT_EQ(m["yes"], true);
    EXPECT_EQ(m["no"], false);
    EXPECT_EQ(m["text"].get<std::string>(), std::string("\xff\x00 z", 4));
    EXPECT_EQ(m["nothing"], "");
    EXPECT_EQ(m["u64"].get<std::uint64_t>(), ~std::uint64_t{0});
    EXPECT_EQ(m["i64"], std::int64_t{-1} << 40);
    EXPECT_EQ(m["f64"], 0.1);
    EXPECT_TRUE(std::isnan(m["nan"].get<double>()));
    EXPECT_EQ(m["texts"][2].get<std::string>(), "\xfe");
    EXPECT_EQ(m["i32s"], (nlohmann::json{1, -2}));
    EXPECT_EQ(m["f32s"].size(), 0u);
    EXPECT_EQ(m["nested"], nlohmann::json::parse("[[1,2],[]]"));
  }
}

TEST(GgufTest, FindsTensorsWithTheOutermostDimensionFirst) {
  const TemporaryDirectory directory;
  const Loaded loaded = load(directory, valid().bytes());
  const TensorView one = loaded.table.find("one").value(), two = loaded.table.find("two").value();
  EXPECT_EQ(one.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(static_cast<int>(one.data[0]), 1);
  EXPECT_EQ(two.storage, StorageType::q8_0);
  EXPECT_EQ(two.n_bytes, 68u);
  EXPECT_EQ(static_cast<int>(two.data[0]), 2);
  EXPECT_EQ(loaded.contents.header.size(), valid().header().size());
}

TEST(GgufTest, HonoursTheAlignment) {
  for (const std::uint32_t alignment : {1u, 8u, 64u, 4096u}) {
    const TemporaryDirectory directory;
    GgufBuilder aligned;
    aligned.alignment = alignment;
    aligned.u32("general.alignment", alignment);
    aligned.tensor({"x", StorageType::f16, {1}, "\1\1"})
        .tensor({"y", StorageType::f16, {1}, "\2\2"});
    const Loaded loaded = load(directory, aligned.bytes());
    EXPECT_EQ(static_cast<int>(loaded.table.find("x")->data[0]), 1);
    EXPECT_EQ(static_cast<int>(loaded.table.find("y")->data[0]), 2);
  }
}

TEST(GgufTest, ATypeThatIsNotOursIsRefusedOnUse) {
  GgufBuilder file = valid();
  file.raw_tensor("nv", 1, {64}, 40, 0)
      .raw_tensor("q8", 1, {256}, 15, 0)
      .raw_tensor("future", 1, {7}, 99, 0);
  const TemporaryDirectory directory;
  const Loaded loaded = load(directory, file.bytes());
  EXPECT_EQ(loaded.table.tensors().size(), 2u);
  const auto message = [&](const char* name) { return error_of([&] { loaded.table.find(name); }); };
  EXPECT_TRUE(contains(message("nv"), "m.gguf: tensor 'nv' has the element type NVFP4"));
  EXPECT_TRUE(contains(message("q8"), "Q8_K"));
  EXPECT_TRUE(contains(message("future"), "number 99"));
}

struct BadFile {
  std::string name;
  std::function<void(GgufBuilder&)> spoil;  // a valid file
  std::string message;
};

std::vector<BadFile> bad_values() {
  const auto array = [](std::uint32_t type, std::uint64_t count, const std::string& rest = "") {
    return raw(type) + raw(count) + rest;
  };
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += array(9, 1);
  std::vector<BadFile> cases = {
      {"magic", [](auto& f) { f.magic = "GGUX"; }, "not a GGUF file"},
      {"older format", [](auto& f) { f.magic = "tjgg"; }, "older than GGUF"},
      {"version 0", [](auto& f) { f.version = 0; }, "GGUF version 0"},
      {"version 1", [](auto& f) { f.version = 1; }, "GGUF version 1, which is not supported"},
      {"version 4", [](auto& f) { f.version = 4; }, "GGUF version 4"},
      {"big-endian", [](auto& f) { f.version = 3u << 24; }, "big-endian"},
      {"2^63 tensors", [](auto& f) { f.claimed_tensors = kHuge; }, "byte 8: the number of tensors"},
      {"2^64-1 tensors", [](auto& f) { f.claimed_tensors = kAll; }, "the number of tensors"},
      {"more tensors than bytes", [](auto& f) { f.claimed_tensors = 1000; },
       "more than the rest of the file"},
      {"one tensor more", [](auto& f) { f.claimed_tensors = 3; }, "byte "},
      {"2^63 values", [](auto& f) { f.claimed_values = kHuge; },
       "byte 16: the number of metadata values"},
      {"2^64-1 values", [](auto& f) { f.claimed_values = kAll; }, "the number of metadata values"},
      {"more values than bytes", [](auto& f) { f.claimed_values = 1000; },
       "more than the rest of the file"},
      {"one value more", [](auto& f) { f.claimed_values = 4; }, "byte "},
      {"one value less", [](auto& f) { f.claimed_values = 2; }, "byte "},
      {"a key twice", [](auto& f) { f.u32("llama.block_count", 2); },
       "'llama.block_count' is there twice"},
      {"a long key", [](auto& f) { f.u32(std::string(70'000, 'k'), 2); }, "key is too long"},
      {"control characters in a key", [](auto& f) { f.u32("a\n\x1b", 1).u32("a\n\x1b", 1); },
       R"('a\x0A\x1B')"},
      {"unknown type", [](auto& f) { f.raw_value("v", 13, raw(0u)); },
       "'v' has the unknown type 13"},
      {"type 2^32-1", [](auto& f) { f.raw_value("v", ~0u, raw(0u)); }, "unknown type 4294967295"},
      {"bool of 2", [](auto& f) { f.raw_value("v", 7, "\2"); }, "'v' is neither true nor false"},
      {"string of 2^63", [](auto& f) { f.raw_value("v", 8, raw(kHuge)); },
       "'v' claims 9,223,372,036,854,775,808 bytes"},
      {"string of 2^64-1", [](auto& f) { f.raw_value("v", 8, raw(kAll)); },
       "claims 18,446,744,073,709,551,615 bytes"},
      {"string longer than the file",
       [](auto& f) { f.raw_value("v", 8, raw(std::uint64_t{5000})); }, "claims 5,000 bytes"},
      {"array of an unknown type", [=](auto& f) { f.raw_value("v", 9, array(77, 1)); },
       "an array of an unknown type"},
      {"array of 2^63", [=](auto& f) { f.raw_value("v", 9, array(0, kHuge)); },
       "the length of the metadata value 'v'"},
      {"array of 2^64-1", [=](auto& f) { f.raw_value("v", 9, array(12, kAll)); }, "the length of"},
      {"array of 2^61 u64", [=](auto& f) { f.raw_value("v", 9, array(10, kHuge >> 2)); },
       "the length of"},
      {"array of 2^24 bytes", [=](auto& f) { f.raw_value("v", 9, array(0, 1u << 24)); },
       "the length of"},
      {"array of 5000 strings", [=](auto& f) { f.raw_value("v", 9, array(8, 5000)); },
       "the length of"},
      {"array nested 1000 deep", [=](auto& f) { f.raw_value("v", 9, deep); },
       "nests arrays too deeply"},
      {"string in an array too long", [=](auto& f) { f.raw_value("v", 9, array(8, 1, raw(kAll))); },
       "claims"},
  };
  for (const std::uint32_t alignment : {0u, 3u, 48u, 0x80000001u, 1u << 31}) {
    cases.push_back({"alignment " + std::to_string(alignment),
                     [=](auto& f) { f.u32("general.alignment", alignment); },
                     "general.alignment is not a power of two"});
  }
  cases.push_back({"alignment is text", [](auto& f) { f.text("general.alignment", "32"); },
                   "general.alignment"});
  cases.push_back({"alignment beyond the file",
                   [](auto& f) { f.u32("general.alignment", 1u << 20); },
                   "not a multiple of the alignment"});
  return cases;
}

std::vector<BadFile> bad_tensors() {
  const auto tensor = [](const std::string& name, std::uint32_t n_dims,
                         std::vector<std::uint64_t> dims, std::uint32_t type, std::uint64_t offset,
                         const std::string& message) {
    return BadFile{name, [=](GgufBuilder& f) { f.raw_tensor("t", n_dims, dims, type, offset); },
                   message};
  };
  return {
      tensor("no dimensions", 0, {}, 0, 128, "'t' has 0 dimensions, not 1 to 4"),
      tensor("five dimensions", 5, {1, 1, 1, 1, 1}, 0, 128, "has 5 dimensions"),
      tensor("2^31 dimensions", 1u << 31, {1}, 0, 128, "has 2147483648 dimensions"),
      tensor("2^32-1 dimensions", ~0u, {1}, 0, 128, "has 4294967295 dimensions"),
      tensor("a zero", 2, {4, 0}, 0, 128, "'t' has a dimension of 0"),
      tensor("2^63", 1, {kHuge}, 0, 128, "has a dimension of 9223372036854775808"),
      tensor("2^64-1", 1, {kAll}, 0, 128, "has a dimension of 18446744073709551615"),
      tensor("product 2^64", 2, {std::uint64_t{1} << 32, std::uint64_t{1} << 32}, 0, 0,
             "its shape is too large"),
      tensor("product wraps to 4", 2, {(std::uint64_t{1} << 62) + 1, 4}, 0, 0,
             "its shape is too large"),
      tensor("bytes 2^64", 1, {std::uint64_t{1} << 62}, 0, 0, "its shape is too large"),
      tensor("four large dimensions", 4, {1u << 20, 1u << 20, 1u << 20, 1u << 20}, 0, 0,
             "its shape is too large"),
      tensor("half a block", 1, {16}, 8, 0, "rows of 16 elements, not a multiple of the 32"),
      tensor("rows of half a K block", 2, {128, 2}, 12, 0,
             "not a multiple of the 256 in a block of Q4_K"),
      tensor("offset not aligned", 1, {1}, 0, 4,
             "'t' starts at data byte 4, not a multiple of the alignment 32"),
      tensor("offset beyond the end", 1, {1}, 0, 1u << 20, "beyond the end of the file"),
      tensor("offset 2^63", 1, {1}, 0, kHuge, "beyond the end of the file"),
      tensor("offset near 2^64", 1, {1}, 0, kAll - 31, "beyond the end of the file"),
      tensor("offset beyond the end, other type", 256, {}, 23, 0, "has 256 dimensions"),
      tensor("end beyond the end", 1, {64}, 0, 64, "needs 256 bytes from data byte 64 on"),
      tensor("starts at the end", 1, {1}, 0, 128, "'t': "),
      tensor("overlap", 1, {1}, 0, 0, "overlap at data byte 0"),
      tensor("overlap with the middle", 1, {1}, 0, 64, "'two' and 't' overlap at data byte 64"),
      {"a name twice",
       [](auto& f) {
         f.tensor({"one", StorageType::f32, {1}, raw(1.0f)});
       },
       "'one' is there twice"},
      {"a name twice, other type", [](auto& f) { f.raw_tensor("one", 1, {1}, 99, 0); },
       "'one' is there twice"},
      {"a long name", [](auto& f) { f.raw_tensor(std::string(70'000, 'n'), 1, {1}, 0, 0); },
       "too long"},
      {"other type beyond the end", [](auto& f) { f.raw_tensor("t", 1, {1}, 99, 1u << 20); },
       "beyond the end"},
  };
}

TEST(GgufTest, RefusesBadFiles) {
  const TemporaryDirectory directory;
  ASSERT_NO_THROW(load(directory, valid().bytes()));
  auto cases = bad_values();
  for (BadFile& bad : bad_tensors()) cases.push_back(std::move(bad));
  for (const BadFile& bad : cases) {
    SCOPED_TRACE(bad.name);
    GgufBuilder file = valid();
    bad.spoil(file);
    const std::string message = error_of([&] { load(directory, file.bytes()); });
    EXPECT_TRUE(contains(message, "m.gguf: ")) << message;
    EXPECT_TRUE(contains(message, bad.message)) << message;
  }
}

TEST(GgufTest, RefusesEveryTruncation) {
  const TemporaryDirectory directory;
  const std::string whole = valid().bytes();
  for (std::size_t n = 0; n < whole.size(); ++n) {
    SCOPED_TRACE(n);
    error_of([&] { load(directory, whole.substr(0, n)); });
  }
}

}  // namespace
}  // namespace tovamill
