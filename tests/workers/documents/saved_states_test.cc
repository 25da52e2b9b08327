// Files of states: found as they were kept, or not at all.
#include "workers/documents/saved_states.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "kernels/types/error.h"
#include "tests/support/error_of.h"
#include "tests/support/temporary_directory.h"
#include "workers/run/run_guard.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;

using testing::contains;
using testing::error_of;
using testing::TemporaryDirectory;

using Bytes = std::vector<std::byte>;

Bytes bytes(const std::string& text) {
  const auto all = std::as_bytes(std::span(text));
  return Bytes(all.begin(), all.end());
}

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void write(const fs::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

// Writing stops at a size, as on a full disk.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t n_bytes) {
    old_handler_ = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{n_bytes, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SmallDisk() {
    setrlimit(RLIMIT_FSIZE, &old_);
    signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  void (*old_handler_)(int) = nullptr;
};

class SavedStatesTest : public ::testing::Test {
 protected:
  std::string run() const { return d.path().string(); }
  std::vector<fs::path> files() const {
    std::vector<fs::path> all;
    if (!fs::exists(states_directory(run()))) return all;
    for (const auto& entry : fs::directory_iterator(states_directory(run())))
      all.push_back(entry.path());
    return all;
  }

  TemporaryDirectory d;
};

TEST_F(SavedStatesTest, AreFoundByAnyProcessOfTheRun) {
  const SavedStates here(run(), "{\"policy\": \"tova\"}"), there(run(), "{\"policy\": \"tova\"}");
  EXPECT_FALSE(here.find("/c/a.txt", 0));
  EXPECT_TRUE(files().empty()) << "nothing is made before something is kept";
  const Bytes state = bytes(std::string(100'000, 'x') + "end");
  here.save("/c/a.txt", 0, state);
  here.save("/c/a.txt", 7, bytes("seven"));
  here.save("/c/b.jsonl", 7, {});
  EXPECT_EQ(there.find("/c/a.txt", 0), state);
  EXPECT_EQ(there.find("/c/a.txt", 7), bytes("seven"));
  EXPECT_EQ(there.find("/c/b.jsonl", 7), Bytes());
  EXPECT_FALSE(there.find("/c/b.jsonl", 0));
  there.save("/c/a.txt", 0, bytes("newer"));
  EXPECT_EQ(here.find("/c/a.txt", 0), bytes("newer"));
  EXPECT_EQ(files().size(), 3u);
  for (const fs::path& file : files()) {
    EXPECT_EQ(file.extension(), ".state");
    EXPECT_EQ(file.stem().string().size(), 32u);
  }
}

TEST_F(SavedStatesTest, AreForgottenOneByOneAndAllAtOnce) {
  const SavedStates states(run(), "f");
  states.remove("/c/a.txt", 0);
  states.save("/c/a.txt", 0, bytes("a"));
  states.save("/c/b.txt", 0, bytes("b"));
  states.remove("/c/a.txt", 0);
  EXPECT_FALSE(states.find("/c/a.txt", 0));
  EXPECT_TRUE(states.find("/c/b.txt", 0));
  write(fs::path(states_directory(run())) / "0123.state.17-5-5.tmp", "of a process that died");
  SavedStates::remove_all(run());
  EXPECT_FALSE(fs::exists(states_directory(run())));
  SavedStates::remove_all(run());
  EXPECT_FALSE(states.find("/c/b.txt", 0));
}

TEST_F(SavedStatesTest, OfAnotherRunOrDocumentAreNotFound) {
  const SavedStates states(run(), "f");
  states.save("/c/a.txt", 0, bytes("a"));
  const fs::path a = files().at(0);
  EXPECT_FALSE(SavedStates(run(), "g").find("/c/a.txt", 0));
  EXPECT_FALSE(SavedStates(run(), "").find("/c/a.txt", 0));
  EXPECT_TRUE(SavedStates(run(), "f").find("/c/a.txt", 0));
  // A file under the name of another document.
  states.save("/c/b.txt", 0, bytes("b"));
  const fs::path b = files().at(0) == a ? files().at(1) : files().at(0);
  fs::copy_file(a, b, fs::copy_options::overwrite_existing);
  EXPECT_FALSE(states.find("/c/b.txt", 0));
  EXPECT_TRUE(states.find("/c/a.txt", 0));
}

TEST_F(SavedStatesTest, ThatAreDamagedAreNotFound) {
  const SavedStates states(run(), "fingerprint");
  states.save("/c/a.txt", 3, bytes("the state of a document"));
  const fs::path path = files().at(0);
  const std::string whole = read(path);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    write(path, whole.substr(0, n));
    EXPECT_FALSE(states.find("/c/a.txt", 3)) << "cut at byte " << n;
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = whole;
      flipped[n] = static_cast<char>(flipped[n] ^ (1 << bit));
      write(path, flipped);
      EXPECT_FALSE(states.find("/c/a.txt", 3)) << "bit " << bit << " of byte " << n;
    }
  }
  write(path, whole + '\0');
  EXPECT_FALSE(states.find("/c/a.txt", 3));
  write(path, whole);
  EXPECT_EQ(states.find("/c/a.txt", 3), bytes("the state of a document"));
  fs::remove(path);
  fs::create_directory(path);
  EXPECT_FALSE(states.find("/c/a.txt", 3));
  const std::string message =
      error_of([&] { states.save("/c/a.txt", 3, bytes("again")); }, ExitCode::io);
  EXPECT_TRUE(contains(message, "renaming to")) << message;
  EXPECT_EQ(files().size(), 1u) << "no temporary is left behind";
}

TEST_F(SavedStatesTest, AFullDiskIsSaidAndCostsNothing) {
  const SavedStates states(run(), "f");
  states.save("/c/a.txt", 0, bytes("before"));
  {
    const SmallDisk disk(5000);
    const std::string message =
        error_of([&] { states.save("/c/a.txt", 0, Bytes(20'000)); }, ExitCode::io);
    EXPECT_TRUE(contains(message, "File too large")) << message;
  }
  EXPECT_EQ(files().size(), 1u) << "no temporary is left behind";
  EXPECT_EQ(states.find("/c/a.txt", 0), bytes("before"));
}

TEST_F(SavedStatesTest, ADirectoryThatCannotBeMadeIsSaid) {
  write(d.path() / "states", "a file");
  error_of([&] { SavedStates(run(), "f").save("/c/a.txt", 0, {}); }, ExitCode::cannot_create);
  error_of([&] { SavedStates(run() + "/absent", "f").save("/c/a.txt", 0, {}); },
           ExitCode::cannot_create);
}

TEST_F(SavedStatesTest, BelongToARunDirectory) {
  const SavedStates states(run(), "f");
  states.save("/c/a.txt", 0, bytes("a"));
  write(fs::path(states_directory(run())) / "0123.state.17-5-5.tmp", "");
  prepare_run_directory(run());
  write(fs::path(states_directory(run())) / "of-america.csv", "");
  const std::string message =
      error_of([&] { prepare_run_directory(run()); }, ExitCode::configuration);
  EXPECT_TRUE(contains(message, "states/of-america.csv")) << message;
  fs::remove(fs::path(states_directory(run())) / "of-america.csv");
  clear_run_directory(run());
  EXPECT_FALSE(fs::exists(states_directory(run())));
}

}  // namespace
}  // namespace tovamill
