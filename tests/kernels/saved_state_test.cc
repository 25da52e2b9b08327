// A state that is saved between two steps and loaded elsewhere goes on as if nothing had happened,
// to the bit; what is not such a state is refused.
#include "kernels/saved_state.h"

#include <gtest/gtest.h>

#include <algorithm>
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
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/temporary_directory.h"

namespace tovamill::testing {
namespace {

constexpr std::int32_t kMaxRows = 256;

std::vector<std::int32_t> random_ids(std::size_t n, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::int32_t> ids(n);
  for (auto& id : ids) id = static_cast<std::int32_t>(random() % 290);
  return ids;
}

// What a device leaves behind of a part of a document.
struct Trace {
  std::vector<float> nll, weights;
  std::vector<std::int32_t> events;     // (position, step, group) of each eviction
  std::vector<std::int32_t> positions;  // held at the end, layer by layer and group by group
  bool operator==(const Trace&) const = default;
};

// A model on a backend of its own, for one stream at a time.
class OneStream {
 public:
  OneStream(const std::string& path, DeviceKind device, ComputeType dtype,
            const CacheOptions& cache, int n_threads)
      : files_(ModelFiles::open(path, ModelFiles::Parts::weights_only)),
        config_(config_from_hf(files_->config(), path)),
        n_eviction_groups_(n_eviction_groups(cache, config_.shape)),
        backend_(make_backend(device, {.shape = config_.shape,
                                       .cache = cache,
                                       .dtype = dtype,
                                       .n_threads = n_threads,
                                       .max_rows = kMaxRows,
                                       .max_block = kMaxRows,
                                       .device_bytes = kTestDeviceBytes})),
        model_(pack_model(
            config_,
            collect_weights(
                config_, [&](const std::string& name) { return files_->find_tensor(name); }, path),
            backend_->device())),
        forward_(model_, *backend_, kMaxRows, 1, kMaxRows),
        state_(backend_->make_state()) {}

  // Tokens [begin, end) of a document in steps of `block`.
  Trace run(const std::vector<std::int32_t>& ids, std::size_t begin, std::size_t end,
            std::size_t block) {
    Trace trace;
    for (; begin < end; begin += block) {
      const std::size_t n = std::min(block, end - begin);
      std::vector<std::int32_t> targets(n);
      for (std::size_t i = 0; i < n; ++i)
        targets[i] = begin + i + 1 < ids.size() ? ids[begin + i + 1] : -1;
      const StepBlock step{.state = state_.get(),
                           .first_row = 0,
                           .n_tokens = static_cast<std::int32_t>(n),
                           .position = static_cast<std::int64_t>(begin)};
      const StepOutput out = forward_.run({.blocks = std::span(&step, 1),
                                           .ids = std::span(ids).subspan(begin, n),
                                           .targets = targets});
      trace.nll.insert(trace.nll.end(), out.nll.begin(), out.nll.end());
      for (std::size_t l = 0; l < model_.layers.size(); ++l) {
        for (const Eviction& e : out.at(l, 0).evictions) {
          trace.events.insert(trace.events.end(), {e.position, e.step, e.group});
          trace.weights.push_back(e.weight);
        }
      }
    }
    trace.positions = positions();
    return trace;
  }

  std::vector<std::int32_t> positions() const {
    std::vector<std::int32_t> all;
    for (std::int32_t l = 0; l < config_.shape.n_layers; ++l) {
      for (std::int32_t g = 0; g < n_eviction_groups_; ++g) {
        for (const std::int32_t p : backend_->read_positions(*state_, l, g)) all.push_back(p);
      }
    }
    return all;
  }
  std::vector<std::byte> save() const {
    std::vector<std::byte> bytes;
    backend_->save(*state_, bytes);
    return bytes;
  }
  std::int64_t load(std::span<const std::byte> bytes) { return backend_->load(*state_, bytes); }
  void reset() { backend_->reset(*state_); }

 private:
  std::unique_ptr<ModelFiles> files_;
  ModelConfig config_;
  std::int32_t n_eviction_groups_;
  std::unique_ptr<Backend> backend_;
  Model model_;
  Forward forward_;
  std::unique_ptr<StreamState> state_;
};

class SavedState : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::make_unique<TemporaryDirectory>();
    TinyModel model = narrow_model();
    write_hf_model(model, directory_->path() / "tiny");
    model.n_kv_heads = 4;
    write_hf_model(model, directory_->path() / "other");
  }
  static void TearDownTestSuite() { directory_.reset(); }
  static std::string model(const std::string& name = "tiny") {
    return (directory_->path() / name).string();
  }

  // Stops a document of `n` tokens after `n_blocks` blocks, and goes on with it on another device
  // that is fresh and on one that has worked on another document.
  static void expect_undisturbed(DeviceKind device, ComputeType dtype, std::size_t n,
                                 std::size_t block, std::size_t n_blocks) {
    const std::vector<std::int32_t> ids = random_ids(n, 1), others = random_ids(n + 130, 2);
    const std::size_t cut = block * n_blocks;
    std::size_t n_settings = 0;
    for (const NamedCache& p : policies_and_positions(40)) {
      if (!runs_on(device, n_settings++, kFirst)) continue;
      SCOPED_TRACE(p.name + " " + std::string(name_of(device)) + " " + std::string(name_of(dtype)) +
                   " in blocks of " + std::to_string(block));
      OneStream first(model(), device, dtype, p.cache, 1);
      first.run(ids, 0, cut, block);
      const std::vector<std::byte> saved = first.save();
      const std::vector<std::int32_t> held = first.positions();
      const Trace expected = first.run(ids, cut, n, block);
      for (const int n_threads : {1, 2}) {
        OneStream second(model(), device, dtype, p.cache, n_threads);
        if (n_threads == 1) second.run(others, 0, others.size(), block);
        ASSERT_EQ(second.load(saved), static_cast<std::int64_t>(cut));
        EXPECT_EQ(second.positions(), held);
        EXPECT_EQ(second.save(), saved);
        EXPECT_TRUE(second.run(ids, cut, n, block) == expected);
      }
    }
  }

  static std::unique_ptr<TemporaryDirectory> directory_;
};
std::unique_ptr<TemporaryDirectory> SavedState::directory_;

TEST_F(SavedState, GoesOnToTheBitOnTheCpu) {
  for (const auto& [block, n_blocks] : {std::pair{256u, 2u}, {100u, 3u}, {100u, 0u}})
    expect_undisturbed(DeviceKind::cpu, ComputeType::f32, 560, block, n_blocks);
  expect_undisturbed(DeviceKind::cpu, ComputeType::f32, 90, 7, 9);
}

TEST_F(SavedState, GoesOnToTheBitInBf16) {
  try {
    for (const auto& [block, n_blocks] : {std::pair{256u, 2u}, {100u, 3u}})
      expect_undisturbed(DeviceKind::cpu, ComputeType::bf16, 560, block, n_blocks);
  } catch (const Error& e) {
    GTEST_SKIP() << e.what();  // a CPU that cannot multiply bf16
  }
}

TEST_F(SavedState, GoesOnToTheBitInTheReference) {
  for (const auto& [block, n_blocks] : {std::pair{256u, 1u}, {100u, 2u}})
    expect_undisturbed(DeviceKind::reference, ComputeType::f32, 300, block, n_blocks);
}

TEST_F(SavedState, GoesOnToTheBitOnAGpu) {
  if (devices({DeviceKind::cuda}).empty()) GTEST_SKIP() << "no GPU";
  expect_undisturbed(DeviceKind::cuda, ComputeType::f32, 300, 256, 1);
  expect_undisturbed(DeviceKind::cuda, ComputeType::bf16, 300, 100, 2);
}

// An unbounded state takes as much room as its tokens need, not as its owner had.
TEST_F(SavedState, GrowsAFullState) {
  const CacheOptions cache{.policy = Policy::full};
  for (const DeviceKind device : devices({DeviceKind::cpu, DeviceKind::cuda})) {
    // An emulated GPU grows once, too.
    const std::size_t n = runs_on(device, 1, kNever) ? 1792 : 300;
    const std::vector<std::int32_t> ids = random_ids(n + 20, 3);
    OneStream first(model(), device, ComputeType::f32, cache, 2),
        second(model(), device, ComputeType::f32, cache, 3);
    first.run(ids, 0, n, 256);
    const std::vector<std::byte> saved = first.save();
    ASSERT_EQ(second.load(saved), static_cast<std::int64_t>(n));
    EXPECT_EQ(second.save(), saved);
    EXPECT_TRUE(second.run(ids, n, n + 20, 256) == first.run(ids, n, n + 20, 256));
  }
}

TEST_F(SavedState, OfOtherOptionsIsRefused) {
  const CacheOptions cache{.policy = Policy::h2o, .cache_size = 40};
  const std::vector<std::int32_t> ids = random_ids(60, 4);
  for (const DeviceKind device : devices({DeviceKind::cpu, DeviceKind::cuda})) {
    SCOPED_TRACE(name_of(device));
    OneStream first(model(), device, ComputeType::f32, cache, 1);
    first.run(ids, 0, 60, 60);
    const std::vector<std::byte> saved = first.save();
    const auto refused = [&](const std::string& path, DeviceKind other_device, CacheOptions other) {
      OneStream second(model(path), other_device, ComputeType::f32, other, 1);
      second.run(ids, 0, 20, 20);
      error_of([&] { second.load(saved); });
      EXPECT_TRUE(second.positions().empty()) << "a state that was refused is empty";
    };
    refused("other", device, cache);
    refused("tiny", DeviceKind::reference, cache);
    CacheOptions other = cache;
    other.cache_size = 41;
    refused("tiny", device, other);
    other = cache;
    other.policy = Policy::tova;
    refused("tiny", device, other);
    other = cache;
    other.positions = Positions::in_state;
    refused("tiny", device, other);
    other = cache;
    other.recent = 3;
    refused("tiny", device, other);
  }
}

TEST_F(SavedState, OfAnotherTypeIsRefused) {
  const CacheOptions cache{.cache_size = 40};
  try {
    for (const DeviceKind device : devices({DeviceKind::cpu, DeviceKind::cuda})) {
      OneStream first(model(), device, ComputeType::f32, cache, 1),
          second(model(), device, ComputeType::bf16, cache, 1);
      error_of([&] { second.load(first.save()); });
    }
  } catch (const Error& e) {
    GTEST_SKIP() << e.what();  // a CPU that cannot multiply bf16
  }
}

// Flipped bits are refused, or change numbers only: the document can go on.
TEST_F(SavedState, ThatIsDamagedDoesNoHarm) {
  const std::vector<std::int32_t> ids = random_ids(300, 5);
  std::size_t n_policies = 0;
  for (const NamedCache& p : policies_and_positions(40)) {
    if (p.cache.positions == Positions::absolute) continue;
    ++n_policies;
    for (const DeviceKind device :
         devices({DeviceKind::cpu, DeviceKind::reference, DeviceKind::cuda})) {
      if (!runs_on(device, n_policies - 1, kFirst)) continue;
      const std::size_t end = device == DeviceKind::cuda ? 90 : ids.size();
      SCOPED_TRACE(p.name + " " + std::string(name_of(device)));
      CacheOptions cache = p.cache;
      if (is_bounded(cache)) cache.cache_size = 12;
      OneStream stream(model(), device, ComputeType::f32, cache, 1);
      stream.run(ids, 0, 70, 70);
      const std::vector<std::byte> saved = stream.save();
      std::mt19937 random(6);
      for (std::size_t n = 0; n < saved.size(); n += 1 + random() % 200)
        error_of([&] { stream.load(std::span(saved).first(n)); });
      std::vector<std::byte> longer = saved;
      longer.push_back(std::byte{0});
      error_of([&] { stream.load(longer); });
      std::size_t n_loaded = 0;
      for (std::size_t at = 0; at < saved.size(); at += 1 + random() % (at < 600 ? 8 : 200)) {
        std::vector<std::byte> flipped = saved;
        flipped[at] ^= static_cast<std::byte>(1u << random() % 8);
        try {
          stream.load(flipped);
        } catch (const BadData&) {
          EXPECT_TRUE(stream.positions().empty());
          continue;
        }
        ++n_loaded;
        if (n_loaded % 24 == 0) stream.run(ids, 70, end, 130);
      }
      EXPECT_GT(n_loaded, 0u) << "keys and values may be any numbers";
      ASSERT_EQ(stream.load(saved), 70);
      EXPECT_EQ(stream.save(), saved);
    }
  }
}

TEST(CheckPositions, RefusesWhatNoGroupCanHold) {
  const CacheOptions tova{.policy = Policy::tova, .cache_size = 4};
  const StateCounts counts{.n_tokens = 9, .n_held = 4};
  check_positions(tova, {.size = tova.cache_size}, counts, {});
  check_positions(tova, {.size = tova.cache_size}, counts, {8, 0, 3, 5});
  error_of([&] { check_positions(tova, {.size = tova.cache_size}, counts, {8, 0, 3, 8}); });
  error_of([&] { check_positions(tova, {.size = tova.cache_size}, counts, {9, 0, 3, 8}); });
  error_of([&] { check_positions(tova, {.size = tova.cache_size}, counts, {-1, 0, 3, 8}); });
  const CacheOptions window{.policy = Policy::window, .cache_size = 4, .sinks = 1};
  check_positions(window, {.size = window.cache_size}, counts, {8, 0, 7, 6});
  error_of([&] { check_positions(window, {.size = window.cache_size}, counts, {8, 0, 7, 5}); });
  check_positions(window, {.size = window.cache_size}, {.n_tokens = 9, .n_held = 4, .pin = 2},
                  {8, 0, 7, 1});
  error_of([&] {
    check_positions(window, {.size = window.cache_size}, {.n_tokens = 9, .n_held = 4, .pin = 2},
                    {8, 0, 7, 6});
  });
  check_positions(window, {.size = window.cache_size}, {.n_tokens = 9, .n_held = 5},
                  {8, 0, 7, 5, 3});
}

}  // namespace
}  // namespace tovamill::testing
