// What must not change a document's numbers: the size of the blocks, the threads, the other streams
// of a step (kernels/README.md, "Blocks", "Reproducibility");
// and what every bounded policy attends to in all (kernels/README.md, "Policies").

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/model/forward.h"
#include "engine/model/model_config.h"
#include "io/model/model_files.h"
#include "kernels/types/error.h"
#include "tests/support/attention/devices.h"
#include "tests/support/attention/policies.h"
#include "tests/support/attention/run_document.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/temporary_directory.h"

namespace tovamill::testing {
namespace {

// Per-token NLL of float32 runs that add up in another order; 1e-3 are allowed against
// float64 (kernels/README.md, "Tolerances").
constexpr double kTokenTolerance = 2e-4;

std::vector<std::int32_t> random_ids(std::size_t n, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::int32_t> ids(n);
  for (auto& id : ids) id = static_cast<std::int32_t>(random() % 290);
  return ids;
}

// Tokens that queries 0..n-1 attend to in all, over the state of one deciding group
// (kernels/README.md, "Policies").
std::uint64_t attended_in_all(std::uint64_t k, std::uint64_t n) {
  return k * (k + 1) / 2 + (k + 1) * (n - k);
}

class Streams : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::make_unique<TemporaryDirectory>();
    write_hf_model(narrow_model(), directory_->path() / "tiny");
  }
  static void TearDownTestSuite() { directory_.reset(); }
  static std::string model() { return (directory_->path() / "tiny").string(); }
  static std::unique_ptr<TemporaryDirectory> directory_;
};
std::unique_ptr<TemporaryDirectory> Streams::directory_;

using AttendedTokens = Streams;

// The same on each fast device.
class OnDevices : public Streams, public ::testing::WithParamInterface<DeviceKind> {
 protected:
  void SetUp() override {
    if (devices({GetParam()}).empty()) GTEST_SKIP() << "no GPU";
  }
  static DeviceKind device() { return GetParam(); }
  static RunResult run(const std::vector<std::int32_t>& ids, RunSetting setting) {
    setting.device = device();
    return run_document(model(), ids, setting);
  }
};
using BlockSizes = OnDevices;
using SameBits = OnDevices;

TEST(AttendedTokensFormula, GivesThePublishedMeans) {
  const auto mean = [](std::uint64_t k) {
    return static_cast<double>(attended_in_all(k, 4096)) / 4096;
  };
  EXPECT_NEAR(mean(256), 248.97, 0.005);
  EXPECT_NEAR(mean(512), 480.94, 0.005);
  EXPECT_NEAR(mean(1024), 896.88, 0.005);
  EXPECT_NEAR(mean(2048), 1536.75, 0.005);
}

TEST_F(AttendedTokens, AreTheSameForEveryBoundedPolicy) {
  const std::size_t n = 700;
  const std::vector<std::int32_t> ids = random_ids(n, 1);
  for (std::int32_t k : {5, 48}) {
    for (const NamedCache& p : bounded_policies(k)) {
      for (const DeviceKind device : {DeviceKind::cpu, DeviceKind::reference}) {
        if (device == DeviceKind::reference && k != 5) continue;
        const RunResult run = run_document(model(), ids, {.device = device, .cache = p.cache});
        const std::uint64_t expected = attended_in_all(static_cast<std::uint64_t>(k), n);
        for (std::uint64_t attended : run.attended)
          EXPECT_EQ(attended, expected * static_cast<std::uint64_t>(run.n_eviction_groups))
              << p.name << ' ' << name_of(device);
        // The same from the eviction steps of each layer and group: token j was attended by queries
        // j to eviction_step[j].
        for (std::size_t g = 0; g < static_cast<std::size_t>(run.n_layers * run.n_eviction_groups);
             ++g) {
          std::uint64_t sum = 0;
          std::int32_t n_left = 0;
          for (std::size_t j = 0; j < n; ++j) {
            const std::int32_t eviction_step = run.eviction_step[g * n + j];
            n_left += eviction_step < 0;
            sum += static_cast<std::uint64_t>(
                       eviction_step < 0 ? n - 1 : static_cast<std::size_t>(eviction_step)) -
                   j + 1;
          }
          EXPECT_EQ(sum, expected) << p.name << ' ' << name_of(device) << " layer and group " << g;
          EXPECT_EQ(n_left, k) << p.name << ' ' << name_of(device);
        }
      }
    }
  }
}

TEST_F(AttendedTokens, OfAFullStateAreAllBefore) {
  const RunResult run =
      run_document(model(), random_ids(300, 1), {.cache = {.policy = Policy::full}});
  for (std::uint64_t attended : run.attended) EXPECT_EQ(attended, 300u * 301 / 2);
}

// Every policy with one of the positions.
std::vector<NamedCache> policies_in_turn() {
  const std::vector<NamedCache> all = policies_and_positions(40);
  std::vector<NamedCache> some;
  for (std::size_t i = 0; i < all.size() / 3; ++i) some.push_back(all[3 * i + i % 3]);
  return some;
}

TEST_P(BlockSizes, GiveTheSameNllAndDeaths) {
  const std::vector<std::int32_t> ids = random_ids(400, 2);
  std::size_t n_policies = 0, n_settings = 0;
  for (const NamedCache& p : policies_and_positions(40)) {
    if (!runs_on(device(), n_policies++, kFirst)) continue;
    const RunResult expected = run(ids, {.n_threads = 1, .block = 256, .cache = p.cache});
    for (std::int32_t block : {100, 1, 7, 64, 300}) {
      if (!runs_on(device(), n_settings++, kFirst)) continue;
      const RunResult run = OnDevices::run(ids, {.n_threads = 1, .block = block, .cache = p.cache});
      double worst = 0;
      for (std::size_t i = 0; i < expected.nll.size(); ++i) {
        const double difference =
            std::abs(static_cast<double>(run.nll[i]) - static_cast<double>(expected.nll[i]));
        if (!(difference <= worst)) worst = difference;
      }
      EXPECT_LE(worst, kTokenTolerance) << p.name << " in blocks of " << block;
      EXPECT_EQ(run.eviction_step, expected.eviction_step) << p.name << " in blocks of " << block;
      EXPECT_EQ(run.attended, expected.attended) << p.name << " in blocks of " << block;
    }
  }
}

void expect_same_bits(const RunResult& a, const RunResult& b, const std::string& what) {
  EXPECT_EQ(a.nll, b.nll) << what;
  EXPECT_EQ(a.eviction_step, b.eviction_step) << what;
}

// Tiles of queries end at multiples of 64 where the policy scans on the CPU, else of 256.
TEST_P(SameBits, InBlocksOfWholeTiles) {
  const std::vector<std::int32_t> ids = random_ids(600, 3);
  std::size_t n_policies = 0;
  for (const NamedCache& p : policies_and_positions(40)) {
    if (!runs_on(device(), n_policies++, kNever)) continue;
    const RunResult expected = run(ids, {.n_threads = 1, .block = 256, .cache = p.cache});
    for (std::int32_t block : {64, 128, 192, 512}) {
      const bool has_small_tiles = device() == DeviceKind::cpu && needs_scan(p.cache.policy);
      if (!has_small_tiles && block % kRopeSegmentTokens != 0) continue;
      expect_same_bits(run(ids, {.n_threads = 1, .block = block, .cache = p.cache}), expected,
                       p.name + " in blocks of " + std::to_string(block));
    }
  }
}

TEST_P(SameBits, WithOneTwoAndThreeThreads) {
  const std::vector<std::int32_t> ids = random_ids(400, 4);
  std::size_t n_policies = 0;
  for (const ComputeType dtype : {ComputeType::f32, ComputeType::bf16}) {
    for (const NamedCache& p : policies_in_turn()) {
      if (!runs_on(device(), n_policies++, kNever)) continue;
      try {
        const RunResult expected = run(ids, {.dtype = dtype, .n_threads = 1, .cache = p.cache});
        for (int n_threads : {2, 3}) {
          const RunResult run =
              OnDevices::run(ids, {.dtype = dtype, .n_threads = n_threads, .cache = p.cache});
          expect_same_bits(run, expected,
                           p.name + " " + std::string(name_of(dtype)) + " with " +
                               std::to_string(n_threads) + " threads");
        }
      } catch (const Error& e) {
        GTEST_SKIP() << e.what();  // a CPU that cannot multiply bf16
      }
    }
  }
}

// A model on a backend, and streams that go through it side by side.
class SideBySide {
 public:
  static constexpr std::int32_t kMaxRows = 600, kMaxBlocks = 5;

  SideBySide(const std::string& path, DeviceKind device, const CacheOptions& cache)
      : files_(ModelFiles::open(path, ModelFiles::Parts::weights_only)),
        config_(config_from_hf(files_->config(), path)),
        weights_(collect_weights(
            config_, [&](const std::string& name) { return files_->find_tensor(name); }, path)),
        backend_(make_backend(device, {.shape = config_.shape,
                                       .cache = cache,
                                       .dtype = ComputeType::f32,
                                       .n_threads = 2,
                                       .max_rows = kMaxRows,
                                       .max_block = 256,
                                       .device_bytes = kTestDeviceBytes})),
        model_(pack_model(config_, weights_, backend_->device())),
        forward_(model_, *backend_, kMaxRows, kMaxBlocks, 256) {}

  struct Stream {
    std::vector<std::int32_t> ids;
    std::int32_t block = 0;  // tokens a step
    std::size_t first_step = 0;
    std::unique_ptr<StreamState> state = nullptr;
    std::size_t done = 0;
    std::vector<float> nll = {};
    std::vector<std::int32_t> events =
        {};  // (position, step, group) of each eviction, layer by layer in each block
  };

  void run(std::vector<Stream>& streams) {
    for (Stream& s : streams) s.state = backend_->make_state();
    const auto left = [](const Stream& s) { return s.done < s.ids.size(); };
    for (std::size_t step = 0; std::any_of(streams.begin(), streams.end(), left); ++step) {
      std::vector<StepBlock> blocks;
      std::vector<Stream*> owners;
      std::vector<std::int32_t> ids, targets;
      for (Stream& s : streams) {
        if (!left(s) || step < s.first_step) continue;
        const std::size_t n = std::min(static_cast<std::size_t>(s.block), s.ids.size() - s.done);
        blocks.push_back({.state = s.state.get(),
                          .first_row = static_cast<std::int32_t>(ids.size()),
                          .n_tokens = static_cast<std::int32_t>(n),
                          .position = static_cast<std::int64_t>(s.done)});
        owners.push_back(&s);
        for (std::size_t i = s.done; i < s.done + n; ++i) {
          ids.push_back(s.ids[i]);
          targets.push_back(i + 1 < s.ids.size() ? s.ids[i + 1] : -1);
        }
        s.done += n;
      }
      const StepOutput out = forward_.run({.blocks = blocks, .ids = ids, .targets = targets});
      for (std::size_t b = 0; b < blocks.size(); ++b) {
        const auto rows = out.nll.subspan(static_cast<std::size_t>(blocks[b].first_row),
                                          static_cast<std::size_t>(blocks[b].n_tokens));
        owners[b]->nll.insert(owners[b]->nll.end(), rows.begin(), rows.end());
        for (std::size_t l = 0; l < model_.layers.size(); ++l) {
          for (const Eviction& e : out.at(l, b).evictions)
            owners[b]->events.insert(owners[b]->events.end(), {e.position, e.step, e.group});
        }
      }
    }
  }

 private:
  std::unique_ptr<ModelFiles> files_;
  ModelConfig config_;
  ModelWeights weights_;
  std::unique_ptr<Backend> backend_;
  Model model_;
  Forward forward_;
};

TEST_P(SameBits, AloneAndBesideStreamsOfOtherLengths) {
  std::size_t n_policies = 0, n_settings = 0;
  for (const NamedCache& p : policies_in_turn()) {
    if (!runs_on(device(), n_policies++, kFirst)) continue;
    SideBySide side(model(), device(), p.cache);
    for (std::int32_t block : {100, 256}) {
      if (!runs_on(device(), n_settings++, kFirst)) continue;
      // An emulated GPU takes a part of each text.
      const std::size_t part = runs_on(device(), 1, kNever) ? 1 : 4;
      const auto watched = [&] {
        return SideBySide::Stream{.ids = random_ids(450 / part, 5), .block = block};
      };
      std::vector<SideBySide::Stream> alone, many;
      alone.push_back(watched());
      side.run(alone);
      many.push_back({.ids = random_ids(150 / part, 6), .block = 37});
      many.push_back({.ids = random_ids(9, 7), .block = 1});
      many.push_back(watched());
      many.push_back({.ids = random_ids(500 / part, 8), .block = 200, .first_step = 1});
      many.push_back(watched());
      many.back().first_step = 2;
      side.run(many);
      for (std::size_t i : {2u, 4u}) {
        EXPECT_EQ(many[i].nll, alone[0].nll) << p.name << " in blocks of " << block;
        EXPECT_EQ(many[i].events, alone[0].events) << p.name << " in blocks of " << block;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, BlockSizes, ::testing::Values(DeviceKind::cpu, DeviceKind::cuda),
                         [](const auto& info) { return std::string(name_of(info.param)); });
INSTANTIATE_TEST_SUITE_P(Devices, SameBits, ::testing::Values(DeviceKind::cpu, DeviceKind::cuda),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace tovamill::testing
