// Packed weights that several processes share: same bits, one copy, and nobody depends on the life
// of another.
#include "workers/load/shared_weights.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <list>
#include <optional>
#include <sstream>

#include "io/files/file_descriptor.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/child_process.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/temporary_directory.h"
#include "workers/load/loaded_model.h"
#include "workers/options/option_values.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::ChildProcess;
using testing::contains;
using testing::error_of;
using testing::TemporaryDirectory;
using testing::TinyModel;
using Role = WeightSharing::Role;

constexpr std::uint64_t kMemory = std::uint64_t{4} << 30;  // bytes, said to be free
constexpr std::uint64_t kIdentity = 77;

// --- the store alone

std::unique_ptr<SharedWeights> two_pieces(WeightsPlace& place) {
  auto leader = SharedWeights::create(1 << 20, kIdentity);
  std::memset(leader->store().take(100), 1, 100);
  std::memset(leader->store().take(5000), 2, 5000);
  place = leader->seal();
  return leader;
}

TEST(SharedWeights, FollowerReadsWhatTheLeaderWrote) {
  WeightsPlace place;
  const auto leader = two_pieces(place);
  std::string why;
  const auto follower = SharedWeights::attach(place, kIdentity, why);
  ASSERT_NE(follower, nullptr) << why;
  EXPECT_TRUE(follower->store().is_filled());
  const std::byte* first = follower->store().take(100);
  EXPECT_FALSE(follower->all_taken());
  const std::byte* second = follower->store().take(5000);
  EXPECT_TRUE(follower->all_taken());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(second) % 64, 0u);
  EXPECT_TRUE(first[0] == std::byte{1} && first[99] == std::byte{1});
  EXPECT_TRUE(second[0] == std::byte{2} && second[4999] == std::byte{2});
  const std::string more = error_of([&] { follower->store().take(1); }, ExitCode::internal);
  EXPECT_TRUE(contains(more, "a piece of 1 bytes does not fit the 0 that are left")) << more;
}

TEST(SharedWeights, OtherPiecesOfTheSameSumAreNoticed) {
  WeightsPlace place;
  const auto leader = two_pieces(place);
  std::string why;
  const auto follower = SharedWeights::attach(place, kIdentity, why);
  ASSERT_NE(follower, nullptr) << why;
  follower->store().take(5000);
  follower->store().take(100);
  EXPECT_FALSE(follower->all_taken());
}

TEST(SharedWeights, LeaderThatTakesTooMuchIsOutOfMemory) {
  const auto leader = SharedWeights::create(100'000, kIdentity);
  leader->store().take(60'000);
  EXPECT_THROW(leader->store().take(90'000), OutOfMemory);
  EXPECT_THROW(leader->store().take(SIZE_MAX), OutOfMemory);
}

TEST(SharedWeights, NobodyWritesOrResizesWhatIsSealed) {
  WeightsPlace place;
  const auto leader = two_pieces(place);
  const std::string path = "/proc/" + std::to_string(place.pid) + "/fd/" + std::to_string(place.fd);
  EXPECT_EQ(fs::file_size(path), place.n_bytes);
  EXPECT_LT(place.n_bytes, 100'000u) << "trimmed to what was taken";
  const FileDescriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_GE(file.get(), 0);
  EXPECT_NE(::ftruncate(file.get(), 0), 0);
  EXPECT_NE(::ftruncate(file.get(), 1 << 20), 0);
  EXPECT_LT(::pwrite(file.get(), "x", 1, 0), 0);
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0), MAP_FAILED);
}

TEST(SharedWeights, RefusesWhatIsNotTheLeaders) {
  WeightsPlace place;
  const auto leader = two_pieces(place);
  const auto reason = [](const WeightsPlace& p, std::uint64_t identity = kIdentity) {
    std::string why;
    EXPECT_EQ(SharedWeights::attach(p, identity, why), nullptr);
    return why;
  };
  EXPECT_TRUE(contains(reason({}), "no rank of this host shares"));
  EXPECT_TRUE(contains(reason(place, kIdentity + 1), "has other weights"));
  WeightsPlace other = place;
  other.identity += 1;
  EXPECT_TRUE(contains(reason(other, kIdentity + 1), "holds other weights"));
  other = place;
  other.n_bytes += 4096;
  EXPECT_TRUE(contains(reason(other), "bytes, not"));
  other = place;
  other.fd = 1;
  EXPECT_TRUE(contains(reason(other), "is another file"));
  other.fd = 9999;
  EXPECT_TRUE(contains(reason(other), "cannot be read"));
  const auto unsealed = SharedWeights::create(1000, kIdentity);
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    std::error_code gone;  // the listing's own descriptor
    if (fd != place.fd && contains(fs::read_symlink(entry.path(), gone), "tovamill-weights"))
      other.fd = fd;
  }
  other.n_bytes = fs::file_size("/proc/self/fd/" + std::to_string(other.fd));
  EXPECT_TRUE(contains(reason(other), "is not sealed"));
}

// --- models

std::string score(LoadedModel& m) {
  std::vector<std::int32_t> ids = testing::tiny_ids(testing::words(60, 5));
  ids.resize(100, 50);
  std::vector<std::int32_t> targets(ids.begin() + 1, ids.end());
  targets.push_back(-1);
  const auto state = m.backend->make_state();
  const StepBlock block{.state = state.get(), .n_tokens = static_cast<std::int32_t>(ids.size())};
  const StepOutput out =
      m.runner->run({.blocks = std::span(&block, 1), .ids = ids, .targets = targets});
  return {reinterpret_cast<const char*>(out.nll.data()), out.nll.size_bytes()};
}

RunOptions options_for(const std::string& model,
                       std::optional<ComputeType> dtype = ComputeType::f32) {
  RunOptions options = testing::tiny_options(model, "", "");
  options.dtype = dtype;
  return options;
}

// Bytes that this process holds and that no file can give back, its share of shared ones.
std::uint64_t held_bytes() {
  std::ifstream rollup("/proc/self/smaps_rollup");
  std::uint64_t kilobytes = 0;
  for (std::string line; std::getline(rollup, line);) {
    std::istringstream words(line);
    std::string key;
    std::uint64_t n = 0;
    words >> key >> n;
    if (key == "Pss_Anon:" || key == "Pss_Shmem:") kilobytes += n;
  }
  return kilobytes * 1024;
}

std::string as_text(const WeightsPlace& p) { return {reinterpret_cast<const char*>(&p), sizeof p}; }
WeightsPlace as_place(const std::string& text) {
  WeightsPlace p;
  if (text.size() != sizeof p) {
    ADD_FAILURE() << text;
    return p;
  }
  std::memcpy(&p, text.data(), sizeof p);
  return p;
}

// A rank: loads the model, then answers "place", "note", "score", "private" and "held".
void rank(const ChildProcess::Link& link, const RunOptions& options, const WeightSharing& how,
          int n_threads) {
  ModelMetadata head = open_model(options.model);
  const std::uint64_t before = held_bytes();
  LoadedModel m = load_model(std::move(head), options, n_threads, kMemory, how);
  for (std::string question; link.read(question);) {
    if (question == "place") link.write(as_text(m.weights_place));
    if (question == "note") link.write(m.sharing_note);
    if (question == "score") link.write(score(m));
    if (question == "private") link.write(std::to_string(m.private_weight_bytes));
    if (question == "held") link.write(std::to_string(held_bytes() - before));
  }
}

class SharedModel : public ::testing::Test {
 protected:
  std::string model(const TinyModel& tiny = {}, const std::string& name = "model") const {
    write_hf_model(tiny, d.path() / name);
    return d.path() / name;
  }
  ChildProcess& start(const RunOptions& options, const WeightSharing& how, int n_threads = 1) {
    return children_.emplace_back(
        [&](const ChildProcess::Link& link) { rank(link, options, how, n_threads); });
  }
  static std::string score_alone(const RunOptions& options) {
    LoadedModel m = load_model(open_model(options.model), options, 1, kMemory);
    EXPECT_EQ(m.sharing_note, "");
    EXPECT_GT(m.private_weight_bytes, 0u);
    return score(m);
  }

  TemporaryDirectory d;
  std::list<ChildProcess> children_;
};

TEST_F(SharedModel, FollowersGiveTheSameBitsWithOtherNumbersOfThreads) {
  for (const std::string architecture : {"llama", "qwen2"}) {
    for (const std::optional<ComputeType> dtype :
         {std::optional(ComputeType::f32), std::optional(ComputeType::bf16),
          std::optional<ComputeType>()}) {
      SCOPED_TRACE(architecture + " " + text_of(dtype));
      const RunOptions options = options_for(model({.architecture = architecture}), dtype);
      ChildProcess& leader = start(options, {.role = Role::leader}, 2);
      const WeightsPlace place = as_place(leader.ask("place"));
      if (place.pid == 0 && dtype == ComputeType::bf16) continue;  // a CPU without it
      EXPECT_EQ(place.pid, leader.pid());
      const std::string expected = leader.ask("score");
      for (const int n_threads : {1, 2, 3}) {
        ChildProcess& follower =
            start(options, {.role = Role::follower, .place = place}, n_threads);
        const std::string note = follower.ask("note");
        EXPECT_TRUE(contains(note, "weights of process " + std::to_string(leader.pid()))) << note;
        EXPECT_EQ(follower.ask("score"), expected);
      }
      EXPECT_EQ(score_alone(options), expected);
    }
  }
}

TEST_F(SharedModel, FollowersOutliveTheLeaderAndLeaveNothingBehind) {
  const RunOptions options = options_for(model());
  ChildProcess& leader = start(options, {.role = Role::leader});
  const WeightsPlace place = as_place(leader.ask("place"));
  const std::string expected = leader.ask("score");
  ChildProcess& follower = start(options, {.role = Role::follower, .place = place});
  EXPECT_TRUE(contains(follower.ask("note"), "weights of process"));
  leader.kill();
  EXPECT_EQ(follower.ask("score"), expected);

  ChildProcess& late = start(options, {.role = Role::follower, .place = place});
  const std::string note = late.ask("note");
  EXPECT_TRUE(contains(note, "weights of its own: /proc/")) << note;
  EXPECT_EQ(late.ask("score"), expected);
  for (const auto& entry : fs::directory_iterator("/dev/shm"))
    EXPECT_FALSE(contains(entry.path(), "tovamill")) << entry.path();
}

TEST_F(SharedModel, FollowerOfAnotherModelOrTypePacksItsOwn) {
  const RunOptions options = options_for(model());
  const LoadedModel leader =
      load_model(open_model(options.model), options, 1, kMemory, {.role = Role::leader});
  ASSERT_EQ(leader.weights_place.pid, ::getpid());
  const WeightSharing how{.role = Role::follower, .place = leader.weights_place};
  const RunOptions other = options_for(model({.seed = 2}, "other"));
  LoadedModel follower = load_model(open_model(other.model), other, 1, kMemory, how);
  EXPECT_EQ(follower.sharing_note,
            "weights of its own: the leader has other weights, or packs them in another way");
  EXPECT_GT(follower.private_weight_bytes, 0u);
  EXPECT_EQ(score(follower), score_alone(other));
  RunOptions reference = options;
  reference.device = DeviceKind::reference;
  const LoadedModel slow = load_model(open_model(options.model), reference, 1, kMemory, how);
  EXPECT_TRUE(contains(slow.sharing_note, "weights of its own")) << slow.sharing_note;
}

TEST_F(SharedModel, AutomaticTypeIsTheLeaders) {
  const RunOptions bf16 = options_for(model(), ComputeType::bf16);
  const LoadedModel leader =
      load_model(open_model(bf16.model), bf16, 1, kMemory, {.role = Role::leader});
  if (leader.weights_place.pid == 0) GTEST_SKIP() << leader.sharing_note;
  const RunOptions automatic = options_for(bf16.model, std::nullopt);
  const LoadedModel follower = load_model(open_model(bf16.model), automatic, 1, kMemory,
                                          {.role = Role::follower, .place = leader.weights_place});
  EXPECT_EQ(follower.backend->device().dtype_name(), "bf16");
  EXPECT_EQ(follower.private_weight_bytes, 0u);
}

// Widths that fill oneDNN's blocks badly must still fit the file.
TEST_F(SharedModel, OddSizesFitTheUpperBound) {
  for (const std::int32_t hidden : {8, 33, 65, 257}) {
    for (const std::int32_t vocab : {300, 513, 1025}) {
      const TinyModel tiny{.hidden_size = hidden,
                           .intermediate_size = 2 * hidden + 1,
                           .n_heads = 2,
                           .n_kv_heads = 1,
                           .head_dim = 10,
                           .vocab_size = vocab};
      for (const ComputeType dtype : {ComputeType::f32, ComputeType::bf16}) {
        const RunOptions options = options_for(model(tiny), dtype);
        const LoadedModel m =
            load_model(open_model(options.model), options, 1, kMemory, {.role = Role::leader});
        EXPECT_TRUE(contains(m.sharing_note, "weights shared")) << m.sharing_note;
      }
    }
  }
}

TEST_F(SharedModel, RanksOfAHostDivideTheMemory) {
  const RunOptions options = options_for(model());
  const auto load = [&](std::uint64_t available, const WeightSharing& how) {
    return load_model(open_model(options.model), options, 1, available, how);
  };
  const LoadedModel leader = load(kMemory, {.role = Role::leader});
  const std::uint64_t each = leader.backend->state_bytes(),
                      fixed = leader.backend->workspace_bytes() + leader.runner->buffer_bytes(),
                      weights = leader.private_weight_bytes;
  // Enough for the workspace and ten streams of one rank; four share four times that.
  const std::uint64_t ten = (fixed + 10 * each + each / 2) / 8 * 10;
  const WeightSharing follower{
      .role = Role::follower, .place = leader.weights_place, .n_ranks_on_host = 4};
  EXPECT_EQ(load(4 * ten, follower).plan.n_streams, 10);
  EXPECT_EQ(load(4 * ten + weights, {.role = Role::leader, .n_ranks_on_host = 4}).plan.n_streams,
            10);
  EXPECT_EQ(load(4 * (ten + weights), {.n_ranks_on_host = 4}).plan.n_streams, 10);
  EXPECT_EQ(load(ten + weights, {}).plan.n_streams, 10);
  const std::string message = error_of([&] { load(ten, follower); }, ExitCode::configuration);
  EXPECT_TRUE(contains(message, "one stream takes")) << message;
}

TEST_F(SharedModel, FourProcessesHoldLittleMoreThanOneCopy) {
  const TinyModel tiny{.n_layers = 4,
                       .hidden_size = 512,
                       .intermediate_size = 1280,
                       .n_heads = 8,
                       .n_kv_heads = 4,
                       .head_dim = 64,
                       .vocab_size = 3000};
  RunOptions options = options_for(model(tiny));
  options.streams = 1;
  options.block = 128;
  // In a process of its own: this one must hold next to nothing. What the ranks inherit of it
  // counts by the number of processes that have it, which changes while they begin.
  const double copy = std::stod(start(options, {}).ask("private"));
  children_.clear();
  const auto sum_held = [&](const std::function<ChildProcess&(int)>& start_rank) {
    std::vector<ChildProcess*> ranks;
    for (int r = 0; r < 4; ++r) ranks.push_back(&start_rank(r));
    for (ChildProcess* r : ranks) r->ask("score");
    std::uint64_t sum = 0;
    for (ChildProcess* r : ranks) sum += std::stoull(r->ask("held"));
    children_.clear();
    return static_cast<double>(sum);
  };
  EXPECT_GT(copy, 40e6);
  const double own = sum_held([&](int) -> ChildProcess& { return start(options, {}); });
  WeightsPlace place;
  const double shared = sum_held([&](int r) -> ChildProcess& {
    if (r > 0) return start(options, {.role = Role::follower, .place = place});
    ChildProcess& leader = start(options, {.role = Role::leader});
    place = as_place(leader.ask("place"));
    return leader;
  });
  RecordProperty("copies_own", std::to_string(own / copy));
  RecordProperty("copies_shared", std::to_string(shared / copy));
  EXPECT_GT(own, 3.9 * copy);
  // What they hold beside weights depends on oneDNN (2 MB each with 2.6, 8 MB with 3.7) and is no
  // part of the claim: without it there is one copy.
  const double besides = own - 4.0 * copy;
  EXPECT_LT(shared - besides, 1.3 * copy);
}

}  // namespace
}  // namespace tovamill
