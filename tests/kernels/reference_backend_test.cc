// The reference backend on values made by hand, small enough to be followed on paper; exact where
// floating point is.

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/reference/backend.h"

namespace tovamill::reference {
namespace {

TensorView view(const std::vector<float>& values, std::vector<std::int64_t> shape) {
  return {.name = "hand-made",
          .storage = StorageType::f32,
          .shape = std::move(shape),
          .data = reinterpret_cast<const std::byte*>(values.data()),
          .n_bytes = values.size() * 4};
}

ReferenceBuffer buffer(std::int32_t cols, std::vector<double> values) {
  ReferenceBuffer b;
  b.cols = cols;
  b.values = std::move(values);
  return b;
}

ModelShape tiny_shape() {
  return {.n_layers = 1,
          .hidden_size = 2,
          .intermediate_size = 2,
          .n_heads = 2,
          .n_kv_heads = 1,
          .head_dim = 2,
          .vocab_size = 4,
          .trained_context = 512,
          .norm_eps = 0.0f,
          .ropes = {{0.0}},
          .layers = {{}}};
}

class ReferenceBackendTest : public ::testing::Test {
 protected:
  void begin(std::int32_t n_rows) { backend_.begin_step({}, n_rows); }
  ReferenceBackend backend_{{.shape = tiny_shape(), .cache = {}}};
};

TEST_F(ReferenceBackendTest, EmbedCopiesRows) {
  const std::vector<float> table = {0, 1, 2, 3, 4, 5};
  ReferenceBuffer out = buffer(2, std::vector<double>(6));
  const std::vector<std::int32_t> ids = {2, 0, 2};
  backend_.embed(ids, view(table, {3, 2}), 1.0f, out);
  EXPECT_EQ(out.values, (std::vector<double>{4, 5, 0, 1, 4, 5}));
}

TEST_F(ReferenceBackendTest, RmsNormDividesByTheRootMeanSquare) {
  begin(2);
  const NormWeights weight{.weight = {1, 2, 1, 0.5f}, .bias = {}};
  ReferenceBuffer out = buffer(4, std::vector<double>(8));
  backend_.norm(buffer(4, {2, 2, 2, -2, 4, 0, 0, 0}), weight, out);
  EXPECT_EQ(out.values, (std::vector<double>{1, 2, 1, -0.5, 2, 0, 0, 0}));
}

TEST_F(ReferenceBackendTest, ProjectStacksPartsAndAddsBiases) {
  begin(2);
  const std::vector<float> first = {1, 2, 3, 4}, second = {0, -1}, bias = {10, 20};
  const auto w = backend_.device().pack(
      {.parts = {view(first, {2, 2}), view(second, {1, 2})}, .biases = {view(bias, {2}), {}}});
  EXPECT_EQ(w->n_out(), 3);
  EXPECT_EQ(w->n_in(), 2);
  const ReferenceBuffer x = buffer(2, {1, 1, 2, -1});
  ReferenceBuffer out = buffer(3, std::vector<double>(6, 99));
  backend_.project(x, *w, out);
  EXPECT_EQ(out.values, (std::vector<double>{13, 27, -1, 10, 22, 1}));
  backend_.project_add(x, *w, out);
  EXPECT_EQ(out.values, (std::vector<double>{26, 54, -2, 20, 44, 2}));
}

TEST_F(ReferenceBackendTest, PackUndoesLlamaCppsRotaryLayout) {
  begin(1);
  // One head of 4: the file's rows are the pairs (0, 2), (1, 3) one after another.
  const std::vector<float> rows = {0, 2, 1, 3}, bias = {0, 20, 10, 30};
  const auto w = backend_.device().pack({.parts = {view(rows, {4, 1})},
                                         .biases = {view(bias, {4})},
                                         .rotated = {true},
                                         .rotary = {.interleaved = true},
                                         .head_dim = 4});
  ReferenceBuffer out = buffer(4, std::vector<double>(4));
  backend_.project(buffer(1, {1}), *w, out);
  EXPECT_EQ(out.values, (std::vector<double>{0, 11, 22, 33}));
}

TEST_F(ReferenceBackendTest, PackPutsRotatedDimensionsFirstInBothHalves) {
  begin(1);
  // One head of 8, of which the first 4 are rotated: 0 with 2, 1 with 3; times 10.
  const std::vector<float> rows = {0, 1, 2, 3, 4, 5, 6, 7};
  const auto w = backend_.device().pack({.parts = {view(rows, {8, 1})},
                                         .rotated = {true},
                                         .rotary = {.rotary_dim = 4, .factor = 10},
                                         .head_dim = 8});
  ReferenceBuffer out = buffer(8, std::vector<double>(8));
  backend_.project(buffer(1, {1}), *w, out);
  EXPECT_EQ(out.values, (std::vector<double>{0, 10, 4, 5, 20, 30, 6, 7}));
}

TEST_F(ReferenceBackendTest, ProjectGatedIsSiluOfTheGateTimesUp) {
  begin(1);
  const std::vector<float> gate = {0, 0, 1, 0}, up = {5, 5, 0, 3};
  const auto w = backend_.device().pack_gated({view(gate, {2, 2}), view(up, {2, 2})});
  ReferenceBuffer out = buffer(2, std::vector<double>(2));
  backend_.project_gated(buffer(2, {2, 1}), *w, Activation::silu, out);
  EXPECT_EQ(out.values, (std::vector<double>{0, 2 / (1 + std::exp(-2.0)) * 3}));
}

TEST_F(ReferenceBackendTest, TargetNllIsLogSumExpMinusTheTarget) {
  const std::vector<float> head = {0, 0, 0, 1000};
  const auto w = backend_.device().pack({.parts = {view(head, {4, 1})}});
  const ReferenceBuffer x = buffer(1, {0, 1, 1, 1});
  const std::vector<std::int32_t> targets = {2, 3, 0, -1};
  std::vector<float> nll(4, 99.0f);
  backend_.target_nll(x, *w, targets, nll);
  EXPECT_EQ(nll, (std::vector<float>{std::log(4.0f), 0.0f, 1000.0f, 0.0f}));
}

TEST_F(ReferenceBackendTest, ReadLogitsGivesTheRowsAskedForInTheirOrder) {
  const std::vector<float> head = {1, 2, -3}, bias = {0, 0.5f, 0};
  const auto w =
      backend_.device().pack({.parts = {view(head, {3, 1})}, .biases = {view(bias, {3})}});
  const ReferenceBuffer x = buffer(1, {0, 1, 2, 3});
  const std::vector<std::int32_t> rows = {3, 0, 1};
  std::vector<float> logits(9);
  backend_.read_logits(x, *w, rows, logits);
  EXPECT_EQ(logits, (std::vector<float>{3, 6.5f, -9, 0, 0.5f, 0, 1, 2.5f, -3}));
}

TEST(ReferenceRotate, TurnsHalfSplitPairs) {
  const double quarter = std::acos(0.0);
  std::vector<double> head = {1, 2, 3, 4};
  rotate(head.data(), 4, 1.0, {quarter, 0.0});
  EXPECT_NEAR(head[0], -3, 1e-15);
  EXPECT_EQ(head[1], 2);
  EXPECT_NEAR(head[2], 1, 1e-15);
  EXPECT_EQ(head[3], 4);
  std::vector<double> still = {1, 2, 3, 4};
  rotate(still.data(), 4, 0.0, {quarter, 1.0});
  EXPECT_EQ(still, (std::vector<double>{1, 2, 3, 4}));
}

// Two query heads on one KV head of size 2, no rotation, two tokens kept. Scores are q . k /
// sqrt(2), so keys of sqrt(2) * log(n) on the axis that a query looks at give weights in the ratio
// n.
TEST(ReferenceAttend, AttendsWithKnownWeightsAndDropsTheLowestMean) {
  ReferenceBackend backend(
      {.shape = tiny_shape(), .cache = {.policy = Policy::tova, .cache_size = 2}});
  const auto state = backend.make_state();
  const double two = std::sqrt(2.0) * std::log(2.0);
  // q of head 0, q of head 1, k, v. Head 0 of the last token weighs 4 : 2 : 1, head 1 weighs 1 : 1
  // : 2.
  ReferenceBuffer qkv = buffer(
      8, {0, 0, 0, 0, 2 * two, 0, 7, 0, 0, 0, 0, 0, two, 0, 14, 0, 1, 0, 0, 1, 0, two, 0, 28});
  ReferenceBuffer out = buffer(4, std::vector<double>(12));
  const StepBlock block{.state = state.get(), .first_row = 0, .n_tokens = 3, .position = 0};
  backend.begin_step({&block, 1}, 3);
  std::vector<BlockEvents> events(1);
  backend.attend(0, {}, qkv, out, events);
  EXPECT_EQ(out.row(0)[0], 7.0);
  EXPECT_EQ(out.row(0)[1], 0.0);
  EXPECT_EQ(out.row(1)[0], 10.5);  // equal weights
  const double* last = out.row(2);
  EXPECT_DOUBLE_EQ(last[0], 4.0 / 7 * 7 + 2.0 / 7 * 14);
  EXPECT_DOUBLE_EQ(last[1], 1.0 / 7 * 28);
  EXPECT_DOUBLE_EQ(last[2], 0.25 * 7 + 0.25 * 14);
  EXPECT_DOUBLE_EQ(last[3], 0.5 * 28);
  // Means: (4/7 + 1/4) / 2, (2/7 + 1/4) / 2, (1/7 + 1/2) / 2: the middle one leaves.
  ASSERT_EQ(events[0].evictions.size(), 1u);
  EXPECT_EQ(events[0].evictions[0].position, 1);
  EXPECT_EQ(events[0].evictions[0].step, 2);
  EXPECT_EQ(events[0].evictions[0].group, 0);
  EXPECT_FLOAT_EQ(events[0].evictions[0].weight, (2.0f / 7 + 0.25f) / 2);
  EXPECT_EQ(events[0].n_attended, 1u + 2u + 3u);
  EXPECT_EQ(backend.read_positions(*state, 0, 0), (std::vector<std::int32_t>{0, 2}));
  backend.reset(*state);
  EXPECT_TRUE(backend.read_positions(*state, 0, 0).empty());
}

// Nothing leaves of four tokens; the fifth's query, which weighs them 4 : 2 : 8 : 2 : 1, brings the
// state down at once: the lowest weight first, the older of equals first.
TEST(ReferenceAttend, BringsAGrownStateDownToTheHighestWeightsOfOneQuery) {
  const std::vector<double> ratios = {4, 2, 8, 2, 1};
  struct Case {
    std::int32_t cache_size, pin;
    std::vector<std::int32_t> gone, kept;
  };
  for (const Case& c : {Case{2, 0, {4, 1, 3}, {0, 2}}, Case{3, 2, {4, 3}, {0, 1, 2}},
                        Case{3, 0, {4, 1}, {0, 2, 3}}, Case{5, 0, {}, {0, 1, 2, 3, 4}}}) {
    ReferenceBackend backend(
        {.shape = tiny_shape(), .cache = {.policy = Policy::tova, .cache_size = c.cache_size}});
    const auto state = backend.make_state();
    std::vector<double> rows;
    for (const double n : ratios)
      rows.insert(rows.end(), {1, 0, 1, 0, std::sqrt(2.0) * std::log(n), 0, n, 0});
    ReferenceBuffer qkv = buffer(8, rows), out = buffer(4, std::vector<double>(20));
    std::vector<BlockEvents> events(1);
    const StepBlock prompt{.state = state.get(),
                           .first_row = 0,
                           .n_tokens = 4,
                           .position = 0,
                           .pin = c.pin,
                           .keeps_all = true};
    backend.begin_step({&prompt, 1}, 4);
    backend.attend(0, {}, qkv, out, events);
    EXPECT_TRUE(events[0].evictions.empty());
    EXPECT_EQ(events[0].n_attended, 1u + 2u + 3u + 4u);
    const StepBlock last{
        .state = state.get(), .first_row = 4, .n_tokens = 1, .position = 4, .pin = c.pin};
    backend.begin_step({&last, 1}, 5);
    backend.attend(0, {}, qkv, out, events);
    EXPECT_DOUBLE_EQ(out.row(4)[0], (16 + 4 + 64 + 4 + 1) / 17.0);
    EXPECT_EQ(events[0].n_attended, 5u);
    ASSERT_EQ(events[0].evictions.size(), c.gone.size());
    for (std::size_t i = 0; i < c.gone.size(); ++i) {
      EXPECT_EQ(events[0].evictions[i].position, c.gone[i]);
      EXPECT_EQ(events[0].evictions[i].step, 4);
      EXPECT_FLOAT_EQ(events[0].evictions[i].weight,
                      static_cast<float>(ratios[static_cast<std::size_t>(c.gone[i])] / 17));
    }
    EXPECT_EQ(backend.read_positions(*state, 0, 0), c.kept);
  }
}

TEST(ReferenceAttend, SlidingWindowHidesKeysOutsideIt) {
  ModelShape shape = tiny_shape();
  shape.layers.at(0).sliding_window = 2;
  ReferenceBackend backend({.shape = shape, .cache = {.policy = Policy::full}});
  const auto state = backend.make_state();
  ReferenceBuffer qkv =
      buffer(8, {0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4, 0});
  ReferenceBuffer out = buffer(4, std::vector<double>(12));
  const StepBlock block{.state = state.get(), .first_row = 0, .n_tokens = 3, .position = 0};
  backend.begin_step({&block, 1}, 3);
  std::vector<BlockEvents> events(1);
  backend.attend(0, {}, qkv, out, events);
  EXPECT_EQ(out.row(2)[0], 3.0);
  EXPECT_EQ(events[0].n_attended, 1u + 2u + 2u);
}

}  // namespace
}  // namespace tovamill::reference
