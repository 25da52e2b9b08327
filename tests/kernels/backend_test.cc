// The fast backends' operations against the reference at odd sizes. Rows and columns that pad a
// buffer hold NaN first: nothing of them may reach a row in use.

#include "kernels/backend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/cpu/step/backend.h"
#include "kernels/reference/backend.h"
#include "kernels/types/error.h"
#include "tests/support/attention/devices.h"
#include "tests/support/attention/near.h"

namespace tovamill {
namespace {

using cpu::CpuBuffer;
using testing::devices;
using testing::kEpsBf16;
using testing::kEpsF32;
using testing::kTestDeviceBytes;
using testing::near;
using testing::runs_on;

constexpr std::int32_t kHidden = 33, kIntermediate = 67, kMaxRows = 300;
// Sums of up to 67 rounded products; errors cancel, and 4 is what random terms stay below.
constexpr double kSumFactor = 4;
// One rounding of a result to bf16 is half an eps of it; both factors of a product are exact in
// bf16 here.
constexpr double kBf16Factor = 1;
// On a GPU gate and up are rounded first: 1/2 eps of each, the gate's taken times up to 4 by the
// SiLU of numbers above -5 (below, what it gives is too small to be seen).
constexpr double kGatedFactorOnGpus = 4;

struct Setting {
  std::int32_t n_rows;
  std::int32_t vocab_size;
  ComputeType dtype;
  DeviceKind device;
};

void PrintTo(const Setting& s, std::ostream* out) {
  *out << name_of(s.device) << ' ' << name_of(s.dtype) << ' ' << s.n_rows << " rows, "
       << s.vocab_size << " words";
}

class BackendTest : public ::testing::TestWithParam<Setting> {
 protected:
  void SetUp() override {
    const Setting& s = GetParam();
    is_bf16_ = s.dtype == ComputeType::bf16;
    options_.shape = {.n_layers = 1,
                      .hidden_size = kHidden,
                      .intermediate_size = kIntermediate,
                      .n_heads = 2,
                      .n_kv_heads = 1,
                      .head_dim = 16,
                      .vocab_size = s.vocab_size,
                      .trained_context = 512,
                      .ropes = {std::vector<double>(8, 0.1)},
                      .layers = {{}}};
    options_.cache = {.cache_size = 8};
    options_.dtype = s.dtype;
    options_.n_threads = 2;
    options_.max_rows = kMaxRows;
    options_.max_block = kMaxRows;
    options_.device_bytes = kTestDeviceBytes;
    if (devices({s.device}).empty()) GTEST_SKIP() << "no GPU";
    try {
      fast_ = make_backend(s.device, options_);
    } catch (const Error& e) {
      if (!is_bf16_ || e.code() != ExitCode::configuration) throw;
      GTEST_SKIP() << e.what();  // a CPU that cannot multiply bf16
    }
    reference_ = make_reference_backend(options_);
    fast_->begin_step({}, s.n_rows);
    reference_->begin_step({}, s.n_rows);
  }

  void TearDown() override {
    if (fast_ != nullptr) fast_->finish_step();
  }

  // Values that bf16 holds exactly, so that both backends read the same.
  std::vector<float> random(std::int64_t n, float spread = 1.0f) {
    std::vector<float> v(static_cast<std::size_t>(n));
    for (float& x : v)
      x = float_from_bf16(
          bf16_from_float(std::uniform_real_distribution<float>(-spread, spread)(random_)));
    return v;
  }
  static TensorView view(const std::vector<float>& values, std::vector<std::int64_t> shape) {
    return {.name = "random",
            .storage = StorageType::f32,
            .shape = std::move(shape),
            .data = reinterpret_cast<const std::byte*>(values.data()),
            .n_bytes = values.size() * 4};
  }

  // A buffer of each backend with the same rows; all else of the fast one's is NaN.
  struct Pair {
    std::unique_ptr<Buffer> fast, reference;
    std::int32_t cols;
    const Backend& backend;
    // Rows as they are now; to be read once, and then compared.
    std::vector<float> actual(std::int32_t n) const {
      std::vector<float> rows(static_cast<std::size_t>(n) * static_cast<std::size_t>(cols));
      backend.device().read_rows(*fast, 0, rows);
      return rows;
    }
    double expected(std::int32_t r, std::int32_t c) const {
      return static_cast<const reference::ReferenceBuffer&>(*reference).row(r)[c];
    }
  };
  Pair make(std::int32_t cols, BufferType type, const std::vector<float>& rows = {}) {
    Pair p{fast_->device().make_buffer(kMaxRows, cols, type),
           reference_->device().make_buffer(kMaxRows, cols, type), cols, *fast_};
    if (auto* c = dynamic_cast<CpuBuffer*>(p.fast.get()))
      std::memset(c->bytes.data(), 0xff, c->bytes.size());  // NaN in float32 and in bf16
    const std::vector<float> nan(
        static_cast<std::size_t>(kMaxRows) * static_cast<std::size_t>(cols),
        std::numeric_limits<float>::quiet_NaN());
    fast_->device().write_rows(*p.fast, 0, nan);
    if (!rows.empty()) fast_->device().write_rows(*p.fast, 0, rows);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto r = static_cast<std::int32_t>(i) / cols, col = static_cast<std::int32_t>(i) % cols;
      static_cast<reference::ReferenceBuffer&>(*p.reference).row(r)[col] =
          static_cast<double>(rows[i]);
    }
    return p;
  }

  // Both backends anew, of a model that differs.
  template <class Change>
  void remake(Change&& change) {
    fast_->finish_step();
    change(options_.shape);
    fast_ = make_backend(GetParam().device, options_);
    reference_ = make_reference_backend(options_);
    fast_->begin_step({}, n_rows());
    reference_->begin_step({}, n_rows());
  }

  // A row's values within so many units of what the reference has, where `bound(e)` is their size.
  template <class Bound>
  void expect_near(const Pair& out, double factor, double eps, Bound&& bound) {
    const std::vector<float> rows = out.actual(n_rows());
    for (std::int32_t r = 0; r < n_rows(); ++r) {
      for (std::int32_t c = 0; c < out.cols; ++c) {
        const double e = out.expected(r, c),
                     a = static_cast<double>(rows[static_cast<std::size_t>(r * out.cols + c)]);
        ASSERT_TRUE(near(a, e, bound(e), factor, eps)) << r << ' ' << c;
      }
    }
  }

  std::int32_t n_rows() const { return GetParam().n_rows; }
  bool is_bf16_ = false;
  BackendOptions options_;
  std::unique_ptr<Backend> fast_, reference_;
  std::mt19937 random_{5};
};

double at(const std::vector<float>& rows, std::int32_t cols, std::int32_t r, std::int32_t c) {
  return static_cast<double>(rows[static_cast<std::size_t>(r * cols + c)]);
}

TEST_P(BackendTest, EmbedCopiesExactly) {
  const std::int32_t vocab = GetParam().vocab_size;
  const std::vector<float> table = random(vocab * kHidden);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(n_rows()));
  for (auto& id : ids) id = static_cast<std::int32_t>(random_() % static_cast<unsigned>(vocab));
  Pair out = make(kHidden, BufferType::full);
  fast_->embed(ids, view(table, {vocab, kHidden}), 1.0f, *out.fast);
  reference_->embed(ids, view(table, {vocab, kHidden}), 1.0f, *out.reference);
  const std::vector<float> out_rows = out.actual(n_rows());
  for (std::int32_t r = 0; r < n_rows(); ++r) {
    for (std::int32_t c = 0; c < kHidden; ++c)
      ASSERT_EQ(at(out_rows, out.cols, r, c), out.expected(r, c));
  }
}

TEST_P(BackendTest, EmbedMultiplies) {
  const std::vector<float> table = random(3 * kHidden);
  const std::vector<std::int32_t> ids(static_cast<std::size_t>(n_rows()), 2);
  Pair out = make(kHidden, BufferType::full);
  fast_->embed(ids, view(table, {3, kHidden}), 5.5f, *out.fast);
  reference_->embed(ids, view(table, {3, kHidden}), 5.5f, *out.reference);
  expect_near(out, 1, kEpsF32, [](double e) { return std::abs(e); });
}

TEST_P(BackendTest, NormsOfEachKindEqualTheReference) {
  for (const NormKind kind : {NormKind::rms, NormKind::layer}) {
    for (const bool has_bias : {false, true}) {
      if (has_bias && kind == NormKind::rms) continue;  // which has none
      SCOPED_TRACE(std::string(kind == NormKind::rms ? "rms" : "layer") +
                   (has_bias ? " with a bias" : ""));
      remake([&](ModelShape& shape) { shape.norm = kind; });
      Pair x = make(kHidden, BufferType::full, random(n_rows() * kHidden)),
           out = make(kHidden, BufferType::compute),
           sum = make(kHidden, BufferType::full, random(n_rows() * kHidden));
      NormWeights norm{.weight = random(kHidden, 2.0f), .bias = {}};
      if (has_bias) norm.bias = random(kHidden);
      fast_->norm(*x.fast, norm, *out.fast);
      reference_->norm(*x.reference, norm, *out.reference);
      const double more = is_bf16_ ? 1e-4 : kind == NormKind::rms && !has_bias ? 0 : 4;
      expect_near(out, is_bf16_ ? kBf16Factor : kSumFactor, is_bf16_ ? kEpsBf16 : kEpsF32,
                  [&](double e) { return std::abs(e) + more; });
      fast_->norm_add(*x.fast, norm, *sum.fast);
      reference_->norm_add(*x.reference, norm, *sum.reference);
      expect_near(sum, kSumFactor, kEpsF32, [](double e) { return std::abs(e) + 4; });
    }
  }
}

TEST_P(BackendTest, ConvertRoundsToTheComputeType) {
  Pair x = make(kHidden, BufferType::full, random(n_rows() * kHidden, 3.0f)),
       out = make(kHidden, BufferType::compute);
  fast_->convert(*x.fast, *out.fast);
  reference_->convert(*x.reference, *out.reference);
  expect_near(out, 0, 0, [](double) { return 0.0; });
}

// Both factors are exact in bf16 and sums are float32 in either tier.
TEST_P(BackendTest, ProjectEqualsTheReferenceWithAndWithoutBias) {
  const std::int32_t n_out = GetParam().vocab_size;
  const std::vector<float> w = random(n_out * kHidden), bias = random(n_out),
                           in = random(n_rows() * kHidden);
  for (bool with_bias : {false, true}) {
    for (bool adds : {false, true}) {
      Device::MatrixSource source{.parts = {view(w, {n_out, kHidden})}};
      if (with_bias) source.biases = {view(bias, {n_out})};
      const auto packed = fast_->device().pack(source),
                 expected = reference_->device().pack(source);
      EXPECT_EQ(packed->n_out(), n_out);
      EXPECT_EQ(packed->n_in(), kHidden);
      Pair x = make(kHidden, BufferType::compute, in);
      Pair out =
          make(n_out, BufferType::full, adds ? random(n_rows() * n_out) : std::vector<float>{});
      if (adds) {
        fast_->project_add(*x.fast, *packed, *out.fast);
        reference_->project_add(*x.reference, *expected, *out.reference);
      } else {
        fast_->project(*x.fast, *packed, *out.fast);
        reference_->project(*x.reference, *expected, *out.reference);
      }
      const std::vector<float> out_rows = out.actual(n_rows());
      for (std::int32_t r = 0; r < n_rows(); ++r) {
        for (std::int32_t o = 0; o < n_out; ++o) {
          double terms = 2;  // the bias and what was there
          for (std::int32_t i = 0; i < kHidden; ++i) {
            terms += std::abs(static_cast<double>(w[static_cast<std::size_t>(o * kHidden + i)]) *
                              static_cast<double>(in[static_cast<std::size_t>(r * kHidden + i)]));
          }
          ASSERT_TRUE(near(at(out_rows, out.cols, r, o), out.expected(r, o), terms, kSumFactor))
              << r << ' ' << o;
        }
      }
    }
  }
}

constexpr Activation kAllActivations[] = {Activation::silu, Activation::gelu, Activation::gelu_tanh,
                                          Activation::relu2};
constexpr Activation kGatedActivations[] = {Activation::silu, Activation::gelu,
                                            Activation::gelu_tanh, Activation::relu2,
                                            Activation::clamped_swiglu};

constexpr Activation kWithoutGate[] = {Activation::silu, Activation::gelu, Activation::gelu_tanh,
                                       Activation::relu2, Activation::xielu};
constexpr Xielu kXieluOfRows{.alpha_p = 0.7f, .alpha_n = 1.3f, .beta = 0.5f, .eps = -1e-6f};

// Terms beside the result in bf16. What GELU gives of numbers around -2 is small and changes faster
// than they; xielu has a zero there. On a GPU sums, of up to about 8, are rounded before their
// biases are added.
double terms_beside(Activation activation, bool has_bias) {
  const bool is_of_both = activation == Activation::clamped_swiglu;  // g (u + 1), u next to -1
  if ((has_bias || is_of_both) && BackendTest::GetParam().device == DeviceKind::cuda) return 8;
  if (activation == Activation::xielu) return 0.15;
  return activation == Activation::gelu || activation == Activation::gelu_tanh ? 0.05 : 0.01;
}

TEST_P(BackendTest, ProjectGatedEqualsTheReference) {
  const std::vector<float> gate = random(kIntermediate * kHidden),
                           up = random(kIntermediate * kHidden), gate_bias = random(kIntermediate),
                           up_bias = random(kIntermediate);
  // Gate and up are sums of 33 terms below 1, mean 1/4: at most about 8 each, and their errors
  // multiply with the other; relu2 takes the gate's times its value once more.
  const double gated_factor =
      GetParam().device == DeviceKind::cuda ? kGatedFactorOnGpus : kBf16Factor;
  Pair x = make(kHidden, BufferType::compute, random(n_rows() * kHidden));
  for (const bool has_bias : {false, true}) {
    Device::GatedSource source{view(gate, {kIntermediate, kHidden}),
                               view(up, {kIntermediate, kHidden})};
    if (has_bias) {
      source.gate_bias = view(gate_bias, {kIntermediate});
      source.up_bias = view(up_bias, {kIntermediate});
    }
    const auto packed = fast_->device().pack_gated(source),
               expected = reference_->device().pack_gated(source);
    for (const Activation activation : kGatedActivations) {
      SCOPED_TRACE("activation " + std::to_string(static_cast<int>(activation)));
      Pair out = make(kIntermediate, BufferType::compute);
      fast_->project_gated(*x.fast, *packed, activation, *out.fast);
      reference_->project_gated(*x.reference, *expected, activation, *out.reference);
      const double more = activation == Activation::relu2 ? 2 : 1;
      expect_near(out, is_bf16_ ? gated_factor * more : kSumFactor, is_bf16_ ? kEpsBf16 : kEpsF32,
                  [&](double e) {
                    return is_bf16_ ? std::abs(e) + terms_beside(activation, has_bias)
                                    : 64 * more * more;
                  });
    }
  }
}

TEST_P(BackendTest, ProjectActivatedEqualsTheReference) {
  const std::vector<float> up = random(kIntermediate * kHidden), bias = random(kIntermediate);
  const double factor = GetParam().device == DeviceKind::cuda ? kGatedFactorOnGpus : kBf16Factor;
  Pair x = make(kHidden, BufferType::compute, random(n_rows() * kHidden));
  for (const bool has_bias : {false, true}) {
    Device::MatrixSource source{.parts = {view(up, {kIntermediate, kHidden})}};
    if (has_bias) source.biases = {view(bias, {kIntermediate})};
    const auto packed = fast_->device().pack(source), expected = reference_->device().pack(source);
    for (const Activation activation : kWithoutGate) {
      SCOPED_TRACE("activation " + std::to_string(static_cast<int>(activation)));
      Pair out = make(kIntermediate, BufferType::compute);
      fast_->project_activated(*x.fast, *packed, activation, kXieluOfRows, *out.fast);
      reference_->project_activated(*x.reference, *expected, activation, kXieluOfRows,
                                    *out.reference);
      expect_near(out, is_bf16_ ? factor : kSumFactor, is_bf16_ ? kEpsBf16 : kEpsF32,
                  [&](double e) {
                    return is_bf16_ ? std::abs(e) + terms_beside(activation, has_bias) : 64;
                  });
    }
  }
}

TEST_P(BackendTest, LogitsAreCappedWhereTheModelDoes) {
  remake([](ModelShape& shape) { shape.logit_cap = 3.0f; });
  const std::int32_t vocab = GetParam().vocab_size;
  const std::vector<float> head = random(vocab * kHidden);
  const Device::MatrixSource source{.parts = {view(head, {vocab, kHidden})}};
  const auto packed = fast_->device().pack(source), expected = reference_->device().pack(source);
  Pair x = make(kHidden, BufferType::compute, random(n_rows() * kHidden));
  std::vector<std::int32_t> targets(static_cast<std::size_t>(n_rows()), vocab - 1);
  std::vector<float> actual(targets.size()), truth(targets.size());
  fast_->target_nll(*x.fast, *packed, targets, actual);
  fast_->finish_step();
  reference_->target_nll(*x.reference, *expected, targets, truth);
  const std::vector<std::int32_t> rows{0};
  std::vector<float> logits(static_cast<std::size_t>(vocab)), exact(logits.size());
  fast_->read_logits(*x.fast, *packed, rows, logits);
  reference_->read_logits(*x.reference, *expected, rows, exact);
  for (std::size_t r = 0; r < targets.size(); ++r)
    ASSERT_TRUE(near(static_cast<double>(actual[r]), static_cast<double>(truth[r]), 2.0 * kHidden,
                     kSumFactor));
  for (std::size_t i = 0; i < logits.size(); ++i) {
    ASSERT_LE(std::abs(logits[i]), 3.0f);
    ASSERT_TRUE(
        near(static_cast<double>(logits[i]), static_cast<double>(exact[i]), kHidden, kSumFactor));
  }
}

TEST_P(BackendTest, TargetNllEqualsTheReference) {
  const std::int32_t vocab = GetParam().vocab_size;
  const std::vector<float> head = random(vocab * kHidden, 2.0f);
  const Device::MatrixSource source{.parts = {view(head, {vocab, kHidden})}};
  const auto packed = fast_->device().pack(source), expected = reference_->device().pack(source);
  Pair x = make(kHidden, BufferType::compute, random(n_rows() * kHidden, 2.0f));
  std::vector<std::int32_t> targets(static_cast<std::size_t>(n_rows()));
  for (std::size_t r = 0; r < targets.size(); ++r)
    targets[r] =
        r % 5 == 3 ? -1 : static_cast<std::int32_t>(random_() % static_cast<unsigned>(vocab));
  targets[0] = vocab - 1;
  std::vector<float> actual(targets.size(), 99.0f), truth(targets.size(), 98.0f);
  fast_->target_nll(*x.fast, *packed, targets, actual);
  fast_->finish_step();
  reference_->target_nll(*x.reference, *expected, targets, truth);
  for (std::size_t r = 0; r < targets.size(); ++r) {
    // Two logits, each a sum of 33 terms of 1 on average, and a logarithm.
    ASSERT_TRUE(near(static_cast<double>(actual[r]), static_cast<double>(truth[r]), 2.0 * kHidden,
                     kSumFactor))
        << r;
  }
}

TEST_P(BackendTest, ReadLogitsEqualsTheReferenceForAnyRows) {
  const std::int32_t vocab = GetParam().vocab_size;
  const std::vector<float> head = random(vocab * kHidden), bias = random(vocab),
                           in = random(n_rows() * kHidden);
  const Device::MatrixSource source{.parts = {view(head, {vocab, kHidden})},
                                    .biases = {view(bias, {vocab})}};
  const auto packed = fast_->device().pack(source), expected = reference_->device().pack(source);
  Pair x = make(kHidden, BufferType::compute, in);
  // The last row first, and one of them twice.
  std::vector<std::int32_t> rows = {n_rows() - 1, 0};
  for (std::int32_t r = 0; r < n_rows(); r += 1 + r / 200) rows.push_back(r);
  const auto width = static_cast<std::size_t>(vocab);
  std::vector<float> actual(rows.size() * width + 1, 99.0f), truth(rows.size() * width, 98.0f);
  fast_->read_logits(*x.fast, *packed, rows, std::span(actual).first(truth.size()));
  reference_->read_logits(*x.reference, *expected, rows, truth);
  EXPECT_EQ(actual.back(), 99.0f);  // what lies behind the logits
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t o = 0; o < width; ++o) {
      // 33 terms below 1 and the bias.
      ASSERT_TRUE(near(static_cast<double>(actual[i * width + o]),
                       static_cast<double>(truth[i * width + o]), kHidden + 1, kSumFactor))
          << rows[i] << ' ' << o;
    }
  }
  fast_->read_logits(*x.fast, *packed, {}, {});
}

TEST_P(BackendTest, ReadLogitsGivesARowTheSameBitsInEveryCall) {
  const std::int32_t vocab = GetParam().vocab_size;
  const std::vector<float> head = random(vocab * kHidden);
  const auto packed = fast_->device().pack({.parts = {view(head, {vocab, kHidden})}});
  Pair x = make(kHidden, BufferType::compute, random(n_rows() * kHidden));
  std::vector<std::int32_t> rows;
  for (std::int32_t r = 0; r < n_rows(); ++r) rows.push_back(r);
  const auto width = static_cast<std::size_t>(vocab);
  std::vector<float> all(rows.size() * width), some(rows.size() * width);
  fast_->read_logits(*x.fast, *packed, rows, all);
  for (std::size_t n = 1; n <= rows.size(); n += 1 + n / 20) {
    const std::size_t first = rows.size() - n;
    fast_->read_logits(*x.fast, *packed, std::span(rows).subspan(first),
                       std::span(some).first(n * width));
    ASSERT_TRUE(std::equal(all.begin() + static_cast<std::ptrdiff_t>(first * width), all.end(),
                           some.begin()))
        << "the last " << n << " rows";
  }
}

// Words 3, 70 and the last have equal logits, words 5 and 6 none that is a number.
TEST_P(BackendTest, ReadHighestIsTheFirstOfTheHighestLogits) {
  const std::int32_t vocab = GetParam().vocab_size;
  std::vector<float> head = random(vocab * kHidden);
  const auto word = [&](std::int32_t w) {
    return std::span(head).subspan(static_cast<std::size_t>(w) * kHidden, kHidden);
  };
  std::ranges::copy(word(3), word(70).begin());
  std::ranges::copy(word(3), word(vocab - 1).begin());
  for (const std::int32_t w : {5, 6}) std::ranges::fill(word(w), std::nanf(""));
  const auto packed = fast_->device().pack({.parts = {view(head, {vocab, kHidden})}});
  std::vector<float> in = random(n_rows() * kHidden);
  // Nothing is closer to a word than the word, and the last row is of no numbers.
  std::ranges::transform(word(3), in.begin(), [](float v) { return 4.0f * v; });
  if (n_rows() > 1) std::fill(in.end() - kHidden, in.end(), std::nanf(""));
  Pair x = make(kHidden, BufferType::compute, in);
  std::vector<std::int32_t> rows;
  for (std::int32_t r = n_rows() - 1; r >= 0; r -= 1 + r / 100) rows.push_back(r);
  if (rows.back() != 0) rows.push_back(0);
  std::vector<std::int32_t> ids(rows.size(), -2);
  if (!fast_->read_argmax(*x.fast, *packed, rows, ids)) {
    EXPECT_EQ(GetParam().device, DeviceKind::cpu);
    EXPECT_EQ(ids, std::vector<std::int32_t>(rows.size(), -2));
    return;
  }
  const auto width = static_cast<std::size_t>(vocab);
  std::vector<float> logits(rows.size() * width);
  fast_->read_logits(*x.fast, *packed, rows, logits);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::int32_t expected = -1;
    float highest = -std::numeric_limits<float>::infinity();
    for (std::size_t o = 0; o < width; ++o) {
      const float l = logits[i * width + o];
      if (std::isnan(l) || (expected >= 0 && l <= highest)) continue;
      highest = l;
      expected = static_cast<std::int32_t>(o);
    }
    EXPECT_EQ(ids[i], expected) << rows[i];
  }
  EXPECT_EQ(ids.back(), 3);
  if (n_rows() > 1) {
    EXPECT_EQ(ids.front(), -1);
  }
}

// A target's NLL is what the row's logits say.
TEST_P(BackendTest, TargetNllIsTheLogSoftmaxOfTheLogits) {
  const std::int32_t vocab = GetParam().vocab_size;
  const std::vector<float> head = random(vocab * kHidden, 2.0f);
  const auto packed = fast_->device().pack({.parts = {view(head, {vocab, kHidden})}});
  Pair x = make(kHidden, BufferType::compute, random(n_rows() * kHidden, 2.0f));
  std::vector<std::int32_t> targets(static_cast<std::size_t>(n_rows())), rows(targets.size());
  for (std::size_t r = 0; r < targets.size(); ++r) {
    rows[r] = static_cast<std::int32_t>(r);
    targets[r] = static_cast<std::int32_t>(random_() % static_cast<unsigned>(vocab));
  }
  const auto width = static_cast<std::size_t>(vocab);
  std::vector<float> nll(targets.size()), logits(rows.size() * width);
  fast_->target_nll(*x.fast, *packed, targets, nll);
  fast_->finish_step();
  fast_->read_logits(*x.fast, *packed, rows, logits);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto line = std::span(logits).subspan(r * width, width);
    const auto highest = static_cast<double>(*std::max_element(line.begin(), line.end()));
    double sum = 0;
    for (float l : line) sum += std::exp(static_cast<double>(l) - highest);
    const auto target = static_cast<double>(line[static_cast<std::size_t>(targets[r])]);
    // Both read the same logits; what differs is the sum of exponentials in float32.
    ASSERT_TRUE(near(static_cast<double>(nll[r]), highest + std::log(sum) - target,
                     std::abs(highest) + std::abs(target) + 2, kSumFactor))
        << r;
  }
}

std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (const DeviceKind device : {DeviceKind::cpu, DeviceKind::cuda}) {
    std::size_t n_settings = 0;
    for (const ComputeType dtype : {ComputeType::f32, ComputeType::bf16}) {
      for (std::int32_t n_rows : {1, 31, 32, 33, 257}) {
        for (std::int32_t vocab : {257, 1031}) {
          if (runs_on(device, n_settings++, 7)) all.push_back({n_rows, vocab, dtype, device});
        }
      }
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Sizes, BackendTest, ::testing::ValuesIn(settings()), [](const auto& info) {
  return std::string(name_of(info.param.device)) + "_" + std::string(name_of(info.param.dtype)) +
         "_" + std::to_string(info.param.n_rows) + "_" + std::to_string(info.param.vocab_size);
});

}  // namespace
}  // namespace tovamill
