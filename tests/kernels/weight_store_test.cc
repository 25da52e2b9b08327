// Packed weights in a store: a backend with a filled store gives the same bits as the one that
// filled it, and never reads the model's tensors.
#include "kernels/weight_store.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/step/backend.h"
#include "kernels/types/error.h"
#include "tests/support/error_of.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;

constexpr std::int32_t kHidden = 65, kIntermediate = 330, kVocab = 1100, kRows = 40;

// A list of pieces; filled once `refill` was called.
class ListStore final : public WeightStore {
 public:
  std::byte* take(std::size_t n_bytes) override {
    if (is_filled_) {
      if (next_ == pieces_.size() || pieces_[next_].size() != n_bytes)
        throw Error(ExitCode::internal, "another sequence of pieces");
      return pieces_[next_++].data();
    }
    pieces_.emplace_back(n_bytes);
    return pieces_.back().data();
  }
  bool is_filled() const override { return is_filled_; }

  void refill() {
    is_filled_ = true;
    next_ = 0;
  }
  bool all_taken() const { return next_ == pieces_.size(); }
  std::vector<std::size_t> sizes() const {
    std::vector<std::size_t> all;
    for (const auto& p : pieces_) all.push_back(p.size());
    return all;
  }
  std::vector<std::string> contents() const {
    std::vector<std::string> all;
    for (const auto& p : pieces_)
      all.emplace_back(reinterpret_cast<const char*>(p.data()), p.size());
    return all;
  }
  std::byte* piece(std::size_t i) const { return pieces_[i].data(); }

 private:
  std::vector<cpu::AlignedBytes> pieces_;
  std::size_t next_ = 0;
  bool is_filled_ = false;
};

// Address space that cannot be read.
class Unreadable {
 public:
  Unreadable() : memory_(mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}
  ~Unreadable() { munmap(memory_, kBytes); }
  TensorView view(TensorView like) const {
    EXPECT_LE(like.n_bytes, kBytes);
    like.data = static_cast<const std::byte*>(memory_);
    return like;
  }

 private:
  static constexpr std::size_t kBytes = 64u << 20;
  void* memory_;
};

struct Tensors {
  TensorView q, k, bias, gate, up, head;
};

struct Packed {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Matrix> qk, gate_up, head;
};

class WeightStoreTest : public ::testing::TestWithParam<ComputeType> {
 protected:
  void SetUp() override {
    try {
      make_backend(1, nullptr);
    } catch (const Error& e) {
      GTEST_SKIP() << e.what();
    }
    tensors_ = {.q = random({48, kHidden}),
                .k = random({16, kHidden}),
                .bias = random({48}),
                .gate = random({kIntermediate, kHidden}),
                .up = random({kIntermediate, kHidden}),
                .head = random({kVocab, kHidden})};
  }

  std::unique_ptr<Backend> make_backend(int n_threads, WeightStore* store) const {
    BackendOptions o;
    o.shape = {.n_layers = 1,
               .hidden_size = kHidden,
               .intermediate_size = kIntermediate,
               .n_heads = 2,
               .n_kv_heads = 1,
               .head_dim = 16,
               .vocab_size = kVocab,
               .trained_context = 512,
               .ropes = {std::vector<double>(8, 0.1)},
               .layers = {{}}};
    o.dtype = GetParam();
    o.n_threads = n_threads;
    o.max_rows = kRows;
    o.max_block = kRows;
    o.weights = store;
    return make_cpu_backend(o);
  }

  // Three kinds of matrices: stacked parts of which one has a bias, gate and up, one of several
  // chunks of which the last is narrower.
  Packed pack(int n_threads, WeightStore* store, const Tensors& t) const {
    Packed p;
    p.backend = make_backend(n_threads, store);
    p.qk = p.backend->device().pack({.parts = {t.q, t.k},
                                     .biases = {t.bias, TensorView{}},
                                     .rotated = {true, true},
                                     .rotary = {.interleaved = true},
                                     .head_dim = 16});
    p.gate_up = p.backend->device().pack_gated({t.gate, t.up});
    p.head = p.backend->device().pack({.parts = {t.head}});
    return p;
  }

  // Everything that comes out of the three products, as bytes.
  std::string gemm(Packed& p) {
    std::mt19937 random(7);
    const std::vector<float> x = values(random, kRows * kHidden);
    p.backend->begin_step({}, kRows);
    auto in = p.backend->device().make_buffer(kRows, kHidden, BufferType::compute);
    auto& rows = static_cast<cpu::CpuBuffer&>(*in);
    for (std::int32_t r = 0; r < kRows; ++r) {
      for (std::int32_t c = 0; c < kHidden; ++c) {
        const float v = x[static_cast<std::size_t>(r * kHidden + c)];
        if (GetParam() == ComputeType::bf16) {
          rows.bf16(r)[c] = bf16_from_float(v);
        } else {
          rows.f32(r)[c] = v;
        }
      }
    }
    auto qk = p.backend->device().make_buffer(kRows, 64, BufferType::full);
    auto gated = p.backend->device().make_buffer(kRows, kIntermediate, BufferType::compute);
    p.backend->project(*in, *p.qk, *qk);
    p.backend->project_gated(*in, *p.gate_up, Activation::silu, *gated);
    std::vector<std::int32_t> targets;
    for (std::int32_t r = 0; r < kRows; ++r) targets.push_back(r * 27);
    std::vector<float> nll(kRows);
    p.backend->target_nll(*in, *p.head, targets, nll);
    std::string all(reinterpret_cast<const char*>(nll.data()), nll.size() * 4);
    for (const Buffer* b : {qk.get(), gated.get()}) {
      const auto& bytes = static_cast<const cpu::CpuBuffer&>(*b);
      all.append(reinterpret_cast<const char*>(bytes.bytes.data()), kRows * bytes.row_bytes);
    }
    return all;
  }

  static std::vector<float> values(std::mt19937& random, std::int64_t n) {
    std::vector<float> v(static_cast<std::size_t>(n));
    for (float& x : v) x = std::uniform_real_distribution<float>(-1, 1)(random);
    return v;
  }
  TensorView random(std::vector<std::int64_t> shape) {
    std::int64_t n = 1;
    for (const std::int64_t extent : shape) n *= extent;
    memory_.push_back(values(random_, n));
    return {.name = "random",
            .storage = StorageType::f32,
            .shape = std::move(shape),
            .data = reinterpret_cast<const std::byte*>(memory_.back().data()),
            .n_bytes = memory_.back().size() * 4};
  }

  std::mt19937 random_{3};
  std::vector<std::vector<float>> memory_;
  Tensors tensors_;
};

TEST_P(WeightStoreTest, FilledStoreGivesTheSameBitsWithoutReadingTheTensors) {
  Packed alone = pack(2, nullptr, tensors_);
  const std::string expected = gemm(alone);
  ListStore store;
  Packed first = pack(2, &store, tensors_);
  EXPECT_EQ(gemm(first), expected);

  const Unreadable none;
  const Tensors unreadable{.q = none.view(tensors_.q),
                           .k = none.view(tensors_.k),
                           .bias = none.view(tensors_.bias),
                           .gate = none.view(tensors_.gate),
                           .up = none.view(tensors_.up),
                           .head = none.view(tensors_.head)};
  const auto before = store.contents();
  store.refill();
  Packed second = pack(1, &store, unreadable);
  EXPECT_TRUE(store.all_taken());
  EXPECT_EQ(gemm(second), expected);
  EXPECT_EQ(store.contents(), before) << "a filled store is not written";
}

TEST_P(WeightStoreTest, PackedBytesDoNotDependOnTheNumberOfThreads) {
  ListStore one;
  pack(1, &one, tensors_);
  for (const int n_threads : {2, 3, 8}) {
    ListStore several;
    pack(n_threads, &several, tensors_);
    EXPECT_EQ(several.sizes(), one.sizes()) << n_threads << " threads";
    EXPECT_EQ(several.contents(), one.contents()) << n_threads << " threads";
  }
}

TEST_P(WeightStoreTest, RefusesAMatrixPackedInAnotherWay) {
  ListStore store;
  pack(1, &store, tensors_);
  store.piece(1)[8] ^= std::byte{1};  // the number of its layout
  store.refill();
  const std::string message = error_of([&] { pack(1, &store, tensors_); }, ExitCode::internal);
  EXPECT_TRUE(contains(message, "660 x 65 is packed in another way")) << message;
}

INSTANTIATE_TEST_SUITE_P(Types, WeightStoreTest,
                         ::testing::Values(ComputeType::f32, ComputeType::bf16),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace tovamill
