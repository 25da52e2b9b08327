// The logits of a step: who gets which, in which order, and that they are those of the scores.

#include "engine/model/forward.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/model/model_config.h"
#include "io/model/model_files.h"
#include "tests/support/attention/devices.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/temporary_directory.h"

namespace tovamill::testing {
namespace {

constexpr std::int32_t kMaxRows = 100, kMaxBlocks = 3, kVocab = 300;

// A tiny model on a backend, ready for steps.
class LoadedTiny {
 public:
  LoadedTiny(const std::string& path, DeviceKind device)
      : files_(ModelFiles::open(path, ModelFiles::Parts::weights_only)),
        config_(config_from_hf(files_->config(), path)),
        weights_(collect_weights(
            config_, [&](const std::string& name) { return files_->find_tensor(name); }, path)) {
    BackendOptions options;
    options.shape = config_.shape;
    options.cache = {.cache_size = 16};
    options.dtype = ComputeType::f32;
    options.n_threads = 2;
    options.device_bytes = kTestDeviceBytes;
    options.max_rows = options.max_block = kMaxRows;
    backend_ = make_backend(device, options);
    model_ = pack_model(config_, weights_, backend_->device());
    forward_ = std::make_unique<Forward>(model_, *backend_, kMaxRows, kMaxBlocks, kMaxRows);
    for (std::int32_t b = 0; b < kMaxBlocks; ++b) states_.push_back(backend_->make_state());
  }

  struct Result {
    std::vector<std::size_t> order;          // the i of each call
    std::vector<std::vector<float>> logits;  // of each call
    std::vector<float> nll;
    std::vector<std::int32_t> highest;  // of the rows wanted
  };

  // New streams of `block_tokens` tokens each, ids from 0 on; targets may be empty.
  Result step(const std::vector<std::int32_t>& block_tokens,
              const std::vector<std::int32_t>& targets, const std::vector<std::int32_t>& logit_rows,
              const std::vector<std::int32_t>& argmax_rows = {}) {
    std::vector<StepBlock> blocks;
    std::vector<std::int32_t> ids;
    for (std::size_t b = 0; b < block_tokens.size(); ++b) {
      backend_->reset(*states_[b]);
      blocks.push_back({.state = states_[b].get(),
                        .first_row = static_cast<std::int32_t>(ids.size()),
                        .n_tokens = block_tokens[b]});
      for (std::int32_t i = 0; i < block_tokens[b]; ++i)
        ids.push_back(static_cast<std::int32_t>((ids.size() * 7 + b) % kVocab));
    }
    Result result;
    const StepOutput out = forward_->run({.blocks = blocks,
                                          .ids = ids,
                                          .targets = targets,
                                          .logit_rows = logit_rows,
                                          .take_logits =
                                              [&](std::size_t i, std::span<float> row) {
                                                result.order.push_back(i);
                                                result.logits.emplace_back(row.begin(), row.end());
                                                std::ranges::fill(row, NAN);  // as the callee may
                                              },
                                          .argmax_rows = argmax_rows,
                                          .take_argmax =
                                              [&](std::size_t i, std::int32_t id) {
                                                EXPECT_EQ(i, result.highest.size());
                                                result.highest.push_back(id);
                                              }});
    result.nll.assign(out.nll.begin(), out.nll.end());
    return result;
  }
  std::uint64_t buffer_bytes() const { return forward_->buffer_bytes(); }

 private:
  std::unique_ptr<ModelFiles> files_;
  ModelConfig config_;
  ModelWeights weights_;
  std::unique_ptr<Backend> backend_;
  Model model_;
  std::unique_ptr<Forward> forward_;
  std::vector<std::unique_ptr<StreamState>> states_;
};

class ForwardLogits : public ::testing::TestWithParam<DeviceKind> {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::make_unique<TemporaryDirectory>();
    TinyModel model = narrow_model();
    model.vocab_size = kVocab;
    write_hf_model(model, directory_->path() / "tiny");
  }
  static void TearDownTestSuite() { directory_.reset(); }
  void SetUp() override {
    if (devices({GetParam()}).empty()) GTEST_SKIP() << "no GPU";
    tiny_ = std::make_unique<LoadedTiny>((directory_->path() / "tiny").string(), GetParam());
  }
  static std::unique_ptr<TemporaryDirectory> directory_;
  std::unique_ptr<LoadedTiny> tiny_;
};
std::unique_ptr<TemporaryDirectory> ForwardLogits::directory_;

std::vector<std::int32_t> first_rows(std::int32_t n) {
  std::vector<std::int32_t> rows;
  for (std::int32_t r = 0; r < n; ++r) rows.push_back(r);
  return rows;
}

// More rows than exist at one time; every one is asked for, and scored beside.
TEST_P(ForwardLogits, ComeInOrderAndAreThoseOfTheScores) {
  const std::vector<std::int32_t> lengths = {40, 1, 36}, rows = first_rows(77);
  ASSERT_GT(rows.size(), 2u * kLogitRows);
  std::vector<std::int32_t> targets(rows.size());
  for (std::size_t r = 0; r < targets.size(); ++r)
    targets[r] = r % 3 == 1 ? -1 : static_cast<std::int32_t>(r * 11 % kVocab);
  const LoadedTiny::Result result = tiny_->step(lengths, targets, rows);
  ASSERT_EQ(result.order.size(), rows.size());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    EXPECT_EQ(result.order[r], r);
    const std::vector<float>& logits = result.logits[r];
    ASSERT_EQ(logits.size(), static_cast<std::size_t>(kVocab));
    double sum = 0;
    for (float l : logits) sum += std::exp(static_cast<double>(l));
    if (targets[r] < 0) {
      EXPECT_EQ(result.nll[r], 0.0f);
    } else {
      const float target = logits[static_cast<std::size_t>(targets[r])];
      // Logits are of order 1; the NLL's sum of 300 exponentials is in float32.
      EXPECT_NEAR(static_cast<double>(result.nll[r]), std::log(sum) - static_cast<double>(target),
                  1e-5);
    }
  }
}

TEST_P(ForwardLogits, OfSomeRowsOfSomeBlocksHaveTheSameBits) {
  const std::vector<std::int32_t> lengths = {40, 1, 36};
  const LoadedTiny::Result all = tiny_->step(lengths, {}, first_rows(77));
  // The last token of the first stream, the only one of the second, none of the third.
  const std::vector<std::int32_t> wanted = {39, 40};
  const LoadedTiny::Result some = tiny_->step(lengths, {}, wanted);
  ASSERT_EQ(some.order, (std::vector<std::size_t>{0, 1}));
  for (std::size_t i = 0; i < wanted.size(); ++i)
    EXPECT_EQ(some.logits[i], all.logits[static_cast<std::size_t>(wanted[i])]);
  EXPECT_NE(some.logits[0], some.logits[1]);
}

TEST_P(ForwardLogits, DoNotChangeTheScoresNorNeedThem) {
  const std::vector<std::int32_t> lengths = {9, 5};
  std::vector<std::int32_t> targets(14, 3);
  const LoadedTiny::Result scored = tiny_->step(lengths, targets, {}),
                           both = tiny_->step(lengths, targets, {8, 13}),
                           logits = tiny_->step(lengths, {}, {8, 13}),
                           neither = tiny_->step(lengths, {}, {});
  EXPECT_EQ(scored.nll, both.nll);
  EXPECT_EQ(logits.logits, both.logits);
  EXPECT_TRUE(scored.order.empty());
  EXPECT_EQ(logits.nll, std::vector<float>(14, 0.0f));
  EXPECT_EQ(neither.nll, std::vector<float>(14, 0.0f));
  EXPECT_TRUE(neither.order.empty());
}

// A step of more rows than logits exist at one time, alone and beside rows whose logits are wanted.
TEST_P(ForwardLogits, TheHighestAreThoseOfTheLogits) {
  const std::vector<std::int32_t> lengths = {40, 1, 36}, rows = first_rows(77);
  const LoadedTiny::Result all = tiny_->step(lengths, {}, rows),
                           highest = tiny_->step(lengths, {}, {}, rows),
                           both = tiny_->step(lengths, {}, {2, 40}, {3, 76});
  ASSERT_EQ(highest.highest.size(), rows.size());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const std::vector<float>& logits = all.logits[r];
    EXPECT_EQ(highest.highest[r], std::ranges::max_element(logits) - logits.begin()) << r;
  }
  EXPECT_EQ(both.highest, (std::vector<std::int32_t>{highest.highest[3], highest.highest[76]}));
  EXPECT_EQ(both.logits[1], all.logits[40]);
}

TEST_P(ForwardLogits, AreCountedInTheBuffersBeforeTheyAreThere) {
  const std::uint64_t before = tiny_->buffer_bytes();
  tiny_->step({2}, {}, {1});
  EXPECT_EQ(tiny_->buffer_bytes(), before);
  EXPECT_GE(before, std::uint64_t{kLogitRows} * kVocab * sizeof(float));
}

INSTANTIATE_TEST_SUITE_P(Devices, ForwardLogits,
                         ::testing::Values(DeviceKind::cpu, DeviceKind::reference,
                                           DeviceKind::cuda),
                         [](const auto& info) { return std::string(name_of(info.param)); });

// Both backends give the same logits, within the rounding of float32.
TEST(ForwardLogitsOfBackends, AgreeWithTheReference) {
  TemporaryDirectory directory;
  TinyModel model;
  model.vocab_size = kVocab;
  write_hf_model(model, directory.path() / "tiny");
  const std::string path = (directory.path() / "tiny").string();
  LoadedTiny cpu(path, DeviceKind::cpu), reference(path, DeviceKind::reference);
  const LoadedTiny::Result actual = cpu.step({33, 20}, {}, {0, 31, 32, 33, 52}),
                           truth = reference.step({33, 20}, {}, {0, 31, 32, 33, 52});
  ASSERT_EQ(actual.logits.size(), truth.logits.size());
  for (std::size_t i = 0; i < truth.logits.size(); ++i) {
    double largest = 0;
    for (std::size_t o = 0; o < truth.logits[i].size(); ++o) {
      EXPECT_NEAR(static_cast<double>(actual.logits[i][o]), static_cast<double>(truth.logits[i][o]),
                  1e-4)
          << i << ' ' << o;
      largest = std::max(largest, std::abs(static_cast<double>(truth.logits[i][o])));
    }
    EXPECT_GT(largest, 0.1);
  }
}

}  // namespace
}  // namespace tovamill::testing
