// Models in the parts that llama-gguf-split writes: NAME-00001-of-00003.gguf and so on.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include "io/model/gguf_model.h"
#include "tests/support/error_of.h"
#include "tests/support/models/file_builders.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;
using testing::GgufBuilder;
using testing::raw;
using testing::TemporaryDirectory;
namespace fs = std::filesystem;

constexpr int kParts = 3;

// What a part says of itself and has; the tensors of part n are "n.a" and "n.b".
struct PartSpec {
  std::uint16_t number = 0, count = kParts;
  std::int32_t n_tensors = 2 * kParts;
  std::function<void(GgufBuilder&)> more = [](GgufBuilder&) {};
};

GgufBuilder part(const PartSpec& spec) {
  GgufBuilder file;
  file.raw_value("split.no", 2, raw(spec.number)).raw_value("split.count", 2, raw(spec.count));
  file.raw_value("split.tensors.count", 5, raw(spec.n_tensors));
  if (spec.number == 0) file.text("general.architecture", "llama").u32("llama.block_count", 3);
  const std::string name = std::to_string(spec.number);
  file.tensor({name + ".a", StorageType::f32, {2, 3}, std::string(24, static_cast<char>('a'))});
  file.tensor({name + ".b", StorageType::q8_0, {2, 32}, std::string(68, static_cast<char>('b'))});
  spec.more(file);
  return file;
}

class SplitGguf : public ::testing::Test {
 protected:
  std::string path_of(int number, int count = kParts, const std::string& stem = "m") const {
    char name[32];
    std::snprintf(name, sizeof name, "-%05d-of-%05d.gguf", number + 1, count);
    return (fs::path(directory_.path()) / (stem + name)).string();
  }
  void write(const PartSpec& spec) { write_as(path_of(spec.number), spec); }
  void write_as(const std::string& path, const PartSpec& spec) {
    std::ofstream(path, std::ios::binary) << part(spec).bytes();
  }
  void write_all() {
    for (std::uint16_t number = 0; number < kParts; ++number) write({.number = number});
  }
  std::string refusal(int opened = 0, ExitCode code = ExitCode::bad_data) {
    return error_of([&] { GgufModel(path_of(opened)); }, code);
  }
  // The message where the last part is another.
  std::string refusal_of_last(const PartSpec& spec) {
    write_all();
    write_as(path_of(kParts - 1), spec);
    return refusal();
  }

  TemporaryDirectory directory_;
};

TEST_F(SplitGguf, AnyPartOrTheFolderOpensAllParts) {
  write_all();
  const std::string digest = GgufModel(path_of(0)).digest();
  for (int opened = 0; opened < kParts; ++opened) {
    const GgufModel model(path_of(opened));
    EXPECT_EQ(model.path(), path_of(0));
    EXPECT_EQ(model.file_paths(), (std::vector{path_of(0), path_of(1), path_of(2)}));
    EXPECT_EQ(model.tensor_names().size(), 2u * kParts);
    EXPECT_EQ(static_cast<char>(model.find_tensor("2.b")->data[67]), 'b');
    EXPECT_EQ(model.config()["llama.block_count"], 3);
    EXPECT_EQ(model.digest(), digest);
  }
  const auto opened = ModelFiles::open(directory_.path(), ModelFiles::Parts::all);
  EXPECT_EQ(opened->file_paths().size(), 1u * kParts);
}

TEST_F(SplitGguf, TheDigestCoversEveryPart) {
  write_all();
  const std::string before = GgufModel(path_of(0)).digest();
  write({.number = 2, .more = [](GgufBuilder& f) { f.u32("split.quirk", 1); }});
  EXPECT_NE(GgufModel(path_of(0)).digest(), before);
}

TEST_F(SplitGguf, AFolderOfSeveralModelsIsRefused) {
  write_all();
  EXPECT_EQ(gguf_of_directory(directory_.path()), path_of(0));
  write_as(path_of(0, 1, "other"), {.count = 1, .n_tensors = 2});
  EXPECT_TRUE(contains(error_of([&] { gguf_of_directory(directory_.path()); }, ExitCode::no_input),
                       "has 2 GGUF models: give one of them"));
}

TEST_F(SplitGguf, AMissingPartIsNamed) {
  write_all();
  for (int missing = 0; missing < kParts; ++missing) {
    fs::rename(path_of(missing), path_of(missing) + ".away");
    const std::string message = refusal((missing + 1) % kParts, ExitCode::no_input);
    EXPECT_TRUE(contains(message, path_of(missing) + ": does not exist: it is part " +
                                      std::to_string(missing + 1) + " of 3"))
        << message;
    fs::rename(path_of(missing) + ".away", path_of(missing));
  }
}

TEST_F(SplitGguf, AFileThatIsWholeIsNoPart) {
  write_as(path_of(0), {.count = 1, .n_tensors = 2});
  EXPECT_EQ(GgufModel(path_of(0)).file_paths().size(), 1u);
  std::ofstream(path_of(1), std::ios::binary) << GgufBuilder().text("a", "b").bytes();
  EXPECT_EQ(GgufModel(path_of(1)).file_paths().size(), 1u);
}

TEST_F(SplitGguf, APartOfAnotherNameIsRefused) {
  const std::string path = (fs::path(directory_.path()) / "m.gguf").string();
  write_as(path, {});
  EXPECT_TRUE(contains(error_of([&] { GgufModel model(path); }),
                       "is one of 3 parts of a split model, but is not named so"));
  write_as(path_of(0, 4), {});
  EXPECT_TRUE(contains(error_of([&] { GgufModel model(path_of(0, 4)); }), "is not named so"));
}

TEST_F(SplitGguf, PartsThatContradictEachOtherAreRefused) {
  const std::pair<PartSpec, std::string> cases[] = {
      {{.number = 7}, "split.no is 7, where its name and the other parts say 2"},
      {{.number = 2, .count = 4}, "split.count is 4, where"},
      {{.number = 2, .count = 1}, "split.count is 1, where"},
      {{.number = 2, .n_tensors = 7}, "split.tensors.count is 7, where"},
      {{.number = 2, .n_tensors = -1}, "split.tensors.count is not a whole number"},
      {{.number = 2,
        .more =
            [](GgufBuilder& f) {
              f.tensor({"0.a", StorageType::f16, {1}, "\1\1"});
            }},
       "tensor '0.a' is there twice: also in"},
      {{.number = 2,
        .more =
            [](GgufBuilder& f) {
              f.tensor({"2.c", StorageType::f16, {1}, "\1\1"});
            }},
       "split.tensors.count is 6, but the 3 parts have 7 tensors"},
      {{.number = 2, .more = [](GgufBuilder& f) { f.text("general.architecture", "qwen2"); }},
       "has a 'general.architecture' other than the first part's"},
      {{.number = 2, .more = [](GgufBuilder& f) { f.u32("llama.quirk", 1); }},
       "has a 'llama.quirk' other than the first part's, which has none"},
  };
  for (const auto& [spec, message] : cases) {
    const std::string said = refusal_of_last(spec);
    EXPECT_TRUE(contains(said, message)) << said << "\n  for " << message;
  }
  write_all();
  write({.more = [](GgufBuilder& f) { f.claimed_values = 1000; }});
  EXPECT_TRUE(contains(refusal(), "m-00001-of-00003.gguf"));
  write_as(path_of(0), {.number = 0, .count = 3, .n_tensors = 5});
  EXPECT_TRUE(contains(refusal(), "split.tensors.count"));
}

TEST_F(SplitGguf, WhatAPartLacksIsRefused) {
  write_all();
  GgufBuilder bare;
  bare.tensor({"2.a", StorageType::f16, {1}, "\1\1"});
  std::ofstream(path_of(2), std::ios::binary) << bare.bytes();
  EXPECT_TRUE(contains(refusal(), "split.count is missing"));
  std::ofstream(path_of(2), std::ios::binary) << "";
  EXPECT_TRUE(contains(refusal(), "m-00003-of-00003.gguf"));
}

TEST_F(SplitGguf, AChangedPartLoadsOrIsRefused) {
  std::mt19937 random(3);
  int n_loaded = 0;
  constexpr int kRounds = 1500;
  for (int round = 0; round < kRounds; ++round) {
    write_all();
    const auto number = static_cast<std::uint16_t>(random() % kParts);
    std::string content = part({.number = number}).bytes();
    const std::size_t at = random() % content.size();
    if (round % 5 == 0) {
      content.resize(at);
    } else {
      content[at] = static_cast<char>(random());
    }
    std::ofstream(path_of(number), std::ios::binary) << content;
    try {
      const GgufModel model(path_of(static_cast<int>(random() % kParts)));
      model.digest();
      ++n_loaded;
    } catch (const Error& e) {
      EXPECT_TRUE(e.code() == ExitCode::bad_data || e.code() == ExitCode::no_input) << e.what();
    }
  }
  EXPECT_GT(n_loaded, 0);
  EXPECT_LT(n_loaded, kRounds);
}

}  // namespace
}  // namespace tovamill
