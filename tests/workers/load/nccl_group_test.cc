// Weights that one rank reads for all GPUs of a job.
#include <gtest/gtest.h>

#include "tests/support/attention/emulated_nccl.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/temporary_directory.h"
#include "workers/load/loaded_model.h"
#include "workers/load/model_parts.h"

namespace tovamill {
namespace {

constexpr std::uint64_t kBytes = std::uint64_t{160} << 20;

// NLL of a text's tokens.
std::vector<float> nll_of(const Model& model, Backend& backend) {
  const std::vector<std::int32_t> ids = testing::tiny_ids(testing::words(40, 3));
  std::vector<std::int32_t> targets(ids.begin() + 1, ids.end());
  targets.push_back(-1);
  const auto n = static_cast<std::int32_t>(ids.size());
  Forward forward(model, backend, n, 1, n);
  const auto state = backend.make_state();
  const StepBlock block{.state = state.get(), .n_tokens = n};
  const StepOutput out =
      forward.run({.blocks = std::span(&block, 1), .ids = ids, .targets = targets});
  return {out.nll.begin(), out.nll.end()};
}

class NcclGroup : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::nccl_is_emulated()) GTEST_SKIP() << "needs a process and a GPU for each rank";
    std::string why;
    id_ = make_nccl_group_id(why).value();
    testing::TinyModel model;
    model.attention_bias = true;
    write_hf_model(model, d.path() / "model");
    model.seed += 1;
    write_hf_model(model, d.path() / "other");
  }
  void TearDown() override {
    testing::break_nccl(0);
    EXPECT_EQ(testing::n_nccl_communicators(), 0);
  }
  NcclGroupPlace place(int rank, double timeout_s = 0.05) const {
    return {.id = id_, .rank = rank, .n_ranks = 2, .timeout_s = timeout_s};
  }
  LoadedModel load(const std::string& name, int rank) const {
    RunOptions o = testing::tiny_options(d.path() / name, d.path() / "corpus", d.path() / "run");
    o.device = DeviceKind::cuda;
    return load_model_on_gpu(open_model(o.model), o, 2, {.n_bytes = kBytes, .group = place(rank)});
  }
  testing::TemporaryDirectory d;
  NcclGroupId id_;
};

// A model whose weights are nothing but zeros where the rank does not read.
TEST_F(NcclGroup, OnlyOneRankReads) {
  const ModelMetadata head = open_model(d.path() / "model");
  ModelWeights weights = weights_of(*head.files, head.config);
  const std::vector<std::byte> zeros(1 << 20);
  std::vector<float> nll[2];
  for (const int rank : {0, 1}) {
    const auto backend = make_backend(DeviceKind::cuda, {.shape = head.config.shape,
                                                         .cache = {.cache_size = 16},
                                                         .dtype = ComputeType::f32,
                                                         .device_bytes = kBytes,
                                                         .group = place(rank)});
    const Model model = pack_model(head.config, weights, backend->device());
    nll[rank] = nll_of(model, *backend);
    const auto forget = [&](TensorView& t) {
      ASSERT_LE(t.n_bytes, zeros.size());
      if (t.data != nullptr) t.data = zeros.data();
    };
    forget(weights.embedding);
    forget(weights.head);
    for (LayerWeights& l : weights.layers) {
      for (TensorView* t : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down, &l.q_bias, &l.k_bias,
                            &l.v_bias, &l.o_bias})
        forget(*t);
    }
  }
  EXPECT_EQ(nll[0], nll[1]);
}

TEST_F(NcclGroup, RanksSayThatTheyShare) {
  const LoadedModel first = load("model", 0), second = load("model", 1);
  EXPECT_EQ(first.sharing_note, "weights read once for 2 GPUs");
  EXPECT_EQ(second.sharing_note, first.sharing_note);
  EXPECT_EQ(nll_of(first.model, *first.backend), nll_of(second.model, *second.backend));
}

TEST_F(NcclGroup, ARankWithAnotherModelReadsItsOwn) {
  load("model", 0);
  const LoadedModel other = load("other", 1);
  EXPECT_NE(other.sharing_note.find("another than that of the rank that reads"), std::string::npos)
      << other.sharing_note;
  id_ = {};
  EXPECT_EQ(nll_of(other.model, *other.backend),
            nll_of(load("other", 0).model, *load("other", 0).backend));
}

TEST_F(NcclGroup, WhereARankDiesEachReadsItsOwn) {
  const LoadedModel whole = load("model", 0);
  const std::vector<float> nll = nll_of(whole.model, *whole.backend);
  for (const int n : {1, 2, 7}) {
    std::string why;
    id_ = make_nccl_group_id(why).value();
    testing::break_nccl(n);
    const LoadedModel alone = load("model", 0);
    EXPECT_NE(alone.sharing_note.find("weights of its own: NCCL: "), std::string::npos)
        << alone.sharing_note;
    EXPECT_EQ(nll_of(alone.model, *alone.backend), nll) << n;
  }
}

// Nothing was ever sent: as where the rank that reads stands still.
TEST_F(NcclGroup, WhereNothingComesTheWaitEnds) {
  const LoadedModel alone = load("model", 1);
  EXPECT_NE(alone.sharing_note.find("weights of its own: NCCL: "), std::string::npos);
}

}  // namespace
}  // namespace tovamill
