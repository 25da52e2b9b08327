// Model files from rank 0 to others over an in-process broadcast.
#include "workers/load/model_copy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <barrier>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <thread>
#include <vector>

#include "io/model/model_files.h"
#include "kernels/types/format.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::contains;
using testing::error_of;
using testing::TemporaryDirectory;
using testing::TinyModel;

using Messages = std::vector<std::vector<std::byte>>;

// A collective of threads.
class Threads {
 public:
  explicit Threads(int n) : arrived_(n), read_(n) {}
  Broadcast of(int rank) {
    return [this, rank](std::span<std::byte> bytes) {
      if (rank == 0) sent_ = bytes;
      arrived_.arrive_and_wait();
      if (rank != 0) {
        EXPECT_EQ(bytes.size(), sent_.size());
        std::memcpy(bytes.data(), sent_.data(), std::min(bytes.size(), sent_.size()));
      }
      read_.arrive_and_wait();
    };
  }

 private:
  std::span<std::byte> sent_;
  std::barrier<> arrived_, read_;
};

// What rank 0 sends, until it fails.
Messages recorded(const std::string& path, const std::function<void(std::size_t)>& after = {}) {
  Messages all;
  const Broadcast record = [&](std::span<std::byte> bytes) {
    all.emplace_back(bytes.begin(), bytes.end());
    if (after) after(all.size());
  };
  try {
    send_model(path, record);
  } catch (const Error&) {
  }
  return all;
}

ModelCopy replayed(const Messages& messages, const std::string& parent) {
  std::size_t next = 0;
  const Broadcast replay = [&](std::span<std::byte> bytes) {
    ASSERT_LT(next, messages.size()) << "a message too many is waited for";
    const auto& message = messages[next++];
    ASSERT_EQ(message.size(), bytes.size());
    std::copy(message.begin(), message.end(), bytes.begin());
  };
  struct AtEnd {
    const std::size_t& next;
    std::size_t all;
    ~AtEnd() { EXPECT_EQ(next, all) << "this rank would keep the others waiting"; }
  } at_end{next, messages.size()};
  return receive_model(replay, parent);
}

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class ModelCopyTest : public ::testing::Test {
 protected:
  ModelCopyTest() { fs::create_directories(parent()); }
  std::string hf() const { return d.path() / "model"; }
  std::string gguf() const { return d.path() / "tiny.gguf"; }
  std::string parent() const { return d.path() / "temporary"; }
  bool nothing_left() const { return fs::is_empty(parent()); }
  // Weights of more than one message.
  static TinyModel large() {
    TinyModel model;
    model.hidden_size = 512;
    model.vocab_size = 10'000;
    return model;
  }
  static std::string digest(const std::string& path) {
    return ModelFiles::open(path, ModelFiles::Parts::all)->digest();
  }

  TemporaryDirectory d;
};

TEST_F(ModelCopyTest, ThreeRanksGetTheShardsOfADirectory) {
  write_hf_model(large(), hf(), 2);
  d.write("model/README.md", "not part of the model");
  const std::string expected = digest(hf());
  Threads threads(4);
  std::vector<std::thread> ranks;
  std::vector<std::string> digests(4), failures(4);
  for (int rank = 1; rank < 4; ++rank) {
    ranks.emplace_back([&, rank] {
      const auto r = static_cast<std::size_t>(rank);
      try {
        const Broadcast broadcast = threads.of(rank);
        std::unique_ptr<ModelFiles> files;
        {
          const ModelCopy copy = receive_model(broadcast, parent());
          std::set<std::string> names;
          for (const auto& entry : fs::directory_iterator(copy.path()))
            names.insert(entry.path().filename());
          EXPECT_EQ(names,
                    (std::set<std::string>{"config.json", "tokenizer.json", "tokenizer_config.json",
                                           "generation_config.json", "model.safetensors.index.json",
                                           "model-00001-of-00002.safetensors",
                                           "model-00002-of-00002.safetensors"}));
          for (const std::string& name : names)
            EXPECT_EQ(read(fs::path(copy.path()) / name), read(fs::path(hf()) / name)) << name;
          files = ModelFiles::open(copy.path(), ModelFiles::Parts::all);
        }
        digests[r] = files->digest();  // the mappings stay when the directory is gone
      } catch (const std::exception& e) {
        failures[r] = e.what();
      }
    });
  }
  send_model(hf(), threads.of(0));
  for (std::thread& t : ranks) t.join();
  for (std::size_t r = 1; r < 4; ++r) EXPECT_EQ(digests[r], expected) << failures[r];
  EXPECT_TRUE(nothing_left());
}

TEST_F(ModelCopyTest, AGgufFileKeepsItsNameAndContents) {
  write_gguf_model(large(), gguf());
  const ModelCopy copy = replayed(recorded(gguf()), parent());
  EXPECT_EQ(fs::path(copy.path()).filename(), "tiny.gguf");
  EXPECT_EQ(read(copy.path()), read(gguf()));
  EXPECT_EQ(digest(copy.path()), digest(gguf()));
}

TEST_F(ModelCopyTest, ASingleFileWinsOverAnIndexAsItDoesWhenOpened) {
  write_hf_model(TinyModel{}, hf(), 2);
  write_hf_model(TinyModel{}, hf(), 1);
  const ModelCopy copy = replayed(recorded(hf()), parent());
  EXPECT_EQ(digest(copy.path()), digest(hf()));
  EXPECT_FALSE(fs::exists(fs::path(copy.path()) / "model-00001-of-00002.safetensors"));
}

TEST_F(ModelCopyTest, AModelThatRankZeroCannotOpenIsEverybodysError) {
  write_hf_model(TinyModel{}, hf(), 2);
  fs::remove(fs::path(hf()) / "model-00002-of-00002.safetensors");
  const std::string here =
      error_of([&] { send_model(hf(), [](std::span<std::byte>) {}); }, ExitCode::no_input);
  const std::string there =
      error_of([&] { replayed(recorded(hf()), parent()); }, ExitCode::no_input);
  EXPECT_EQ(there, "rank 0 could not send the model: " + here);
  EXPECT_TRUE(nothing_left());
}

TEST_F(ModelCopyTest, AFileThatEndsHalfWayIsEverybodysError) {
  write_gguf_model(large(), gguf());
  const Messages messages = recorded(gguf(), [&](std::size_t n) {
    if (n == 4) fs::resize_file(gguf(), (8u << 20) + 5);  // after its first 8 MiB
  });
  const std::string there = error_of([&] { replayed(messages, parent()); }, ExitCode::io);
  EXPECT_TRUE(contains(there, "rank 0 could not send the model")) << there;
  EXPECT_TRUE(contains(there, "tiny.gguf: became shorter while it was read")) << there;
  EXPECT_TRUE(nothing_left());
}

TEST_F(ModelCopyTest, ARankThatCannotWriteTakesPartToTheEnd) {
  write_gguf_model(large(), gguf());
  const Messages messages = recorded(gguf());
  const std::string missing = d.path() / "missing";
  const std::string message =
      error_of([&] { replayed(messages, missing); }, ExitCode::cannot_create);
  EXPECT_TRUE(contains(message, missing + ": a directory for the model cannot be made")) << message;
}

TEST_F(ModelCopyTest, NamesThatLeaveTheDirectoryAreRefused) {
  write_gguf_model(TinyModel{}, gguf());
  for (const std::string& name :
       {std::string("../x.gguf"), std::string("/tiny.ggu"), std::string("a/b.ggufx"),
        std::string("..ny.gguf"), std::string("tiny\0gguf", 9)}) {
    Messages messages = recorded(gguf());
    auto& list = messages.at(1);
    const std::string old = "tiny.gguf";
    const auto at = std::search(list.begin(), list.end(), old.begin(), old.end(),
                                [](std::byte a, char b) { return a == std::byte(b); });
    ASSERT_NE(at, list.end());
    std::transform(name.begin(), name.end(), at, [](char c) { return std::byte(c); });
    const std::string message = error_of([&] { replayed(messages, parent()); });
    EXPECT_TRUE(contains(message, "is not a plain file name")) << message;
    EXPECT_TRUE(nothing_left());
  }
}

TEST_F(ModelCopyTest, AModelLargerThanTheDiskIsRefusedWithBothNumbers) {
  write_gguf_model(TinyModel{}, gguf());
  Messages messages = recorded(gguf());
  auto& list = messages.at(1);
  messages.resize(2);
  const std::uint64_t huge = std::uint64_t{1} << 59;  // the list ends with the size
  std::memcpy(list.data() + list.size() - sizeof huge, &huge, sizeof huge);
  // Chunks would follow; rank 0 fails instead, which is told first.
  const std::string text = "gone";
  struct {
    std::uint32_t magic;
    std::int32_t failure;
    std::uint64_t n_bytes;
  } frame{0, 74, text.size()};
  std::memcpy(&frame.magic, messages[0].data(), sizeof frame.magic);
  const auto* bytes = reinterpret_cast<const std::byte*>(&frame);
  messages.emplace_back(bytes, bytes + sizeof frame);
  messages.emplace_back(reinterpret_cast<const std::byte*>(text.data()),
                        reinterpret_cast<const std::byte*>(text.data()) + text.size());
  const std::string message =
      error_of([&] { replayed(messages, parent()); }, ExitCode::cannot_create);
  EXPECT_TRUE(contains(message, "the model takes " + with_thousands(huge) + " bytes")) << message;
  EXPECT_TRUE(nothing_left());
}

TEST_F(ModelCopyTest, MessagesOfAnotherBuildAreRefused) {
  write_gguf_model(TinyModel{}, gguf());
  Messages messages = recorded(gguf());
  messages.resize(1);
  messages[0][0] ^= std::byte{1};
  error_of([&] { replayed(messages, parent()); }, ExitCode::internal);
  messages[0][0] ^= std::byte{1};
  messages[0][15] = std::byte{1};  // a list of 2^56 bytes
  error_of([&] { replayed(messages, parent()); }, ExitCode::internal);
}

}  // namespace
}  // namespace tovamill
