// Stages on GPUs of their own, whose rows go by NCCL: each a thread of this process, on emulated
// GPUs. The same bits as a whole model, and an end wherever rows do not come.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <thread>

#include "kernels/types/error.h"
#include "tests/support/attention/emulated_gpu.h"
#include "tests/support/attention/emulated_nccl.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/record_of_text.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/temporary_directory.h"
#include "workers/documents/generate_work.h"
#include "workers/documents/score_work.h"
#include "workers/load/loaded_model.h"
#include "workers/stages/stage_worker.h"

namespace tovamill {
namespace {

using testing::document;

using testing::digits;
using testing::error_of;
using testing::words;

constexpr std::uint64_t kBytes = std::uint64_t{112} << 20;  // of a GPU's memory

// Hands messages over to the other stages' mailboxes at once, but for those that a mailbox has kept
// back.
class NearLine final : public StageMailbox {
 public:
  using All = std::vector<std::unique_ptr<NearLine>>;
  NearLine(int stage, int n_stages, All& channels)
      : StageMailbox(stage, n_stages), channels_(channels) {}
  void send(int stage, Message message) override {
    if (const auto why = why_closed()) throw StageLost(*why);
    channels_.at(static_cast<std::size_t>(stage))->take({this->stage(), std::move(message)});
  }
  void keep_back() {
    const std::lock_guard lock(mutex_);
    keeps_ = true;
  }
  std::size_t n_kept() {
    const std::lock_guard lock(mutex_);
    return kept_.size();
  }
  void release() {
    const std::lock_guard lock(mutex_);
    keeps_ = false;
    for (StageMessage& m : kept_) deliver(m.stage, std::move(m.message));
    kept_.clear();
  }

 private:
  void take(StageMessage m) {
    const std::lock_guard lock(mutex_);
    if (keeps_) return kept_.push_back(std::move(m));
    deliver(m.stage, std::move(m.message));
  }

  All& channels_;
  std::mutex mutex_;
  bool keeps_ = false;
  std::vector<StageMessage> kept_;
};

// Between looks at what other threads have come to.
void pause() { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }

// How the stages of a line are placed.
struct Setting {
  int n_stages = 1;
  bool on_own_gpus = true;
  double timeout_s = 400.0, link_s = 60.0;  // of the stages behind the first
};

// A line of which stage 0 is on the test's thread. A stage that ends by an error closes it, as the
// coordinator does that is told.
class Stages {
 public:
  Stages(const std::string& path, const RunOptions& options, const Setting& setting)
      : setting_(setting), model_(start(path, options)) {}
  LoadedModel& model() { return model_; }
  NearLine& last_line() { return *channels_.back(); }
  // Ends all but stage 0, waits for them and says what the first of them ended by.
  std::string close() {
    close_lines("the test closes it");
    threads_.join();
    return error_;
  }

 private:
  struct Threads {
    ~Threads() { join(); }
    void join() {
      for (std::thread& t : all) t.join();
      all.clear();
    }
    std::vector<std::thread> all;
  };
  static LoadedModel load(const std::string& path, const RunOptions& options,
                          const StagePlace& place) {
    return load_model_on_gpu(open_model(path), options, 1, {.n_bytes = kBytes}, place);
  }
  LoadedModel start(const std::string& path, RunOptions options) {
    options.stages = setting_.n_stages;
    for (int s = 0; s < setting_.n_stages; ++s)
      channels_.push_back(std::make_unique<NearLine>(s, setting_.n_stages, channels_));
    for (int s = 1; s < setting_.n_stages; ++s)
      threads_.all.emplace_back([this, path, options, s] { serve(path, options, place(s)); });
    return load(path, options, place(0));
  }
  StagePlace place(int s) {
    StagePlace place{.rank = s,
                     .stage = s,
                     .n_stages = setting_.n_stages,
                     .channel = channels_[static_cast<std::size_t>(s)].get(),
                     .on_own_gpus = setting_.on_own_gpus};
    place.link_s = setting_.link_s;
    if (s > 0) place.timeout_s = setting_.timeout_s;
    return place;
  }
  void serve(const std::string& path, const RunOptions& options, const StagePlace& place) {
    const LoadedModel model = load(path, options, place);
    try {
      StageWorker(model.model, *model.backend, *model.forward, place).serve();
    } catch (const StageLost& e) {
      close_lines(e.what());
    }
  }
  void close_lines(const std::string& why) {
    const std::lock_guard lock(mutex_);
    if (error_.empty()) error_ = why;
    for (auto& channel : channels_) channel->close(error_);
  }

  const Setting setting_;
  NearLine::All channels_;
  std::mutex mutex_;
  std::string error_;
  Threads threads_;
  LoadedModel model_;  // goes first, and lets the others end
};

class LinkedStages : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::nccl_is_emulated()) GTEST_SKIP() << "needs a process and a GPU for each stage";
    testing::break_nccl_sends(0);
    testing::TinyModel tiny;
    tiny.n_layers = 3;
    write_hf_model(tiny, d.path() / "model");
  }
  void TearDown() override {
    testing::break_nccl_sends(0);
    testing::refuse_nccl(false);
    EXPECT_EQ(testing::n_nccl_communicators(), 0);
  }
  std::string path() const { return d.path() / "model"; }
  static RunOptions options() {
    RunOptions o = testing::tiny_options("", "", "");
    o.device = DeviceKind::cuda;
    o.trace_state = o.token_nll = o.nll_by_position = o.analyze = true;
    o.streams = 4;
    o.block = 8;
    return o;
  }

  // The records of documents of which several are in every step.
  static std::vector<std::vector<std::byte>> scores(LoadedModel& model, const RunOptions& o) {
    ScoreWork work(model, o);
    std::vector<std::unique_ptr<DocumentInFlight>> open;
    for (int n = 0; n < 4; ++n) {
      CorpusRecord record = document(digits(18 + 7 * static_cast<std::size_t>(n), 3), n);
      open.push_back(work.open(record));
    }
    const auto any_left = [&] {
      return std::any_of(open.begin(), open.end(), [](const auto& x) { return !x->finished(); });
    };
    while (any_left()) work.step();
    std::vector<std::vector<std::byte>> records;
    for (auto& x : open) {
      records.push_back(encode(x->finish(0)));
      work.close(std::move(x));
    }
    return records;
  }

  // A step of a stream's first tokens.
  struct Step {
    explicit Step(LoadedModel& m, std::uint64_t seed = 4)
        : model(m), state(m.states->make_state()), ids(testing::tiny_ids(digits(8, seed))) {}
    void submit() const {
      const StepBlock b{.state = state.get(), .n_tokens = static_cast<std::int32_t>(ids.size())};
      model.runner->submit({.blocks = std::span(&b, 1), .ids = ids, .targets = ids});
    }
    LoadedModel& model;
    std::unique_ptr<StreamState> state;
    std::vector<std::int32_t> ids;
  };
  static std::vector<float> collect(LoadedModel& model) {
    const StepOutput out = model.runner->collect();
    return {out.nll.begin(), out.nll.end()};
  }
  static std::vector<float> nll(LoadedModel& model, std::uint64_t seed = 4) {
    const Step step(model, seed);
    step.submit();
    return collect(model);
  }

  testing::TemporaryDirectory d;
};

TEST_F(LinkedStages, ScoreToTheBitAsAWholeModel) {
  const RunOptions o = options();
  Stages whole(path(), o, {});
  const auto expected = scores(whole.model(), o);
  for (const int n : {2, 3}) {
    testing::set_gpu_order(static_cast<std::uint64_t>(n));
    testing::break_nccl_sends(0);
    Stages linked(path(), o, {.n_stages = n});
    EXPECT_EQ(linked.model().rows_note, "rows by NCCL");
    EXPECT_TRUE(scores(linked.model(), o) == expected) << n << " stages";
    EXPECT_GT(testing::n_nccl_sends(), 4 * (n - 1));
  }
  testing::break_nccl_sends(0);
  Stages in_messages(path(), o, {.n_stages = 2, .on_own_gpus = false});
  EXPECT_EQ(in_messages.model().rows_note, "");
  EXPECT_TRUE(scores(in_messages.model(), o) == expected);
  EXPECT_EQ(testing::n_nccl_sends(), 0);
}

// Steps of single tokens, which are graphs between the rows that come and those that go.
TEST_F(LinkedStages, WriteTheSameTexts) {
  RunOptions o = options();
  o.trace_state = o.token_nll = false;
  o.job_kind = Job::generate;
  o.generation.max_new_tokens = 8;
  const auto text = [&](LoadedModel& model) {
    GenerateWork work(model, o);
    CorpusRecord record = document(words(10, 7));
    record.questions = {"what is it?"};
    std::unique_ptr<DocumentInFlight> x = work.open(record);
    while (!x->finished()) work.step();
    return encode(x->finish(0));
  };
  Stages whole(path(), o, {});
  const auto expected = text(whole.model());
  testing::take_gpu_counts();
  Stages linked(path(), o, {.n_stages = 3});
  EXPECT_TRUE(text(linked.model()) == expected);
  EXPECT_GT(testing::take_gpu_counts()->n_graphs_launched, 6u);
}

// The last stage does not hear of the steps until all are in flight: those before it have reckoned
// the next ones in the same buffers by then.
TEST_F(LinkedStages, RowsStayWhereTheyAreUntilTheyHaveLeft) {
  Stages whole(path(), options(), {});
  for (const int n : {2, 3}) {
    Stages linked(path(), options(), {.n_stages = n});
    LoadedModel& model = linked.model();
    std::vector<Step> steps;
    for (int i = 0; i <= n; ++i) steps.emplace_back(model, static_cast<std::uint64_t>(i));
    linked.last_line().keep_back();
    for (const Step& s : steps) s.submit();
    while (linked.last_line().n_kept() < steps.size()) pause();
    testing::work_off_gpu();
    linked.last_line().release();
    for (int i = 0; i <= n; ++i)
      EXPECT_EQ(collect(model), nll(whole.model(), static_cast<std::uint64_t>(i))) << i;
  }
}

TEST_F(LinkedStages, WithoutNcclRowsGoInMessages) {
  testing::refuse_nccl(true);
  Stages whole(path(), options(), {}), cut(path(), options(), {.n_stages = 2});
  EXPECT_EQ(cut.model().rows_note, "rows in messages: NCCL: emulated error");
  EXPECT_EQ(nll(cut.model()), nll(whole.model()));
}

// The second link: stage 0 had one, and gives it up.
TEST_F(LinkedStages, WhereALinkIsMissingAllRowsGoInMessages) {
  testing::break_nccl_sends(2);
  Stages whole(path(), options(), {}), cut(path(), options(), {.n_stages = 3, .link_s = 0.3});
  EXPECT_NE(cut.model().rows_note.find("rows in messages: "), std::string::npos);
  EXPECT_NE(cut.model().rows_note.find("the other stage does not come"), std::string::npos)
      << cut.model().rows_note;
  EXPECT_EQ(nll(cut.model()), nll(whole.model()));
  EXPECT_EQ(testing::n_nccl_communicators(), 0);
}

TEST_F(LinkedStages, RowsThatDoNotComeEndTheLine) {
  Stages cut(path(), options(), {.n_stages = 2, .timeout_s = 0.5});
  const Step first(cut.model());
  testing::break_nccl_sends(1);
  EXPECT_THROW(
      {
        first.submit();
        cut.model().runner->collect();
      },
      StageLost);
  EXPECT_NE(cut.close().find("rows of the stage before: nothing has gone"), std::string::npos);
}

// Stage 0 hears of it while it waits for what follows.
TEST_F(LinkedStages, AnErrorOfNcclEndsTheLine) {
  Stages cut(path(), options(), {.n_stages = 2});
  const Step first(cut.model());
  testing::break_nccl_sends(1, true);
  const std::string why = error_of(
      [&] {
        first.submit();
        cut.model().runner->collect();
      },
      ExitCode::stopped);
  EXPECT_NE(why.find("rows to the next stage: remote process exited"), std::string::npos) << why;
  cut.close();
}

// As where a rank of it is gone. Stage 1 has its rows and cannot be rid of its own, for which stage
// 2 waits on the device.
TEST_F(LinkedStages, NobodyWaitsForRowsOfALineThatIsClosed) {
  Stages cut(path(), options(), {.n_stages = 3});
  EXPECT_FALSE(nll(cut.model()).empty());
  const Step step(cut.model());
  testing::break_nccl_sends(2);
  testing::take_gpu_counts();
  step.submit();
  for (std::uint64_t n_waits = 0; n_waits < 2; pause())
    n_waits += testing::take_gpu_counts()->n_waits;
  EXPECT_EQ(cut.close(), "the test closes it");
  EXPECT_THROW(cut.model().runner->collect(), StageLost);
}

TEST_F(LinkedStages, RowsOfAStepThatWasMissedAreNotTheNextOnes) {
  Stages whole(path(), options(), {});
  Device& device = whole.model().backend->device();
  const auto rows = device.link_activations({.hidden_size = 64});
  ASSERT_NE(rows, nullptr);
  rows->miss();
  const auto buffer = device.make_buffer(4, 64, BufferType::full);
  EXPECT_THROW(rows->receive(*buffer, 4), StageLost);
}

TEST(LinkOrders, HoldAnIdOrNone) {
  NcclGroupId id;
  id.bytes.back() = std::byte{7};
  EXPECT_EQ(link_id(decode_order(encode(link_order(id)))).value().bytes, id.bytes);
  EXPECT_FALSE(link_id(decode_order(encode(link_order(std::nullopt)))).has_value());
  StateOrder order = link_order(id);
  order.parts.front().pop_back();
  EXPECT_THROW(link_id(order), BadData);
  order.parts.assign(2, std::vector<std::byte>(id.bytes.size()));
  EXPECT_THROW(link_id(order), BadData);
}

// Two ends of a link.
class LinkedDevices : public LinkedStages {
 protected:
  std::unique_ptr<Backend> device() const {
    return make_backend(DeviceKind::cuda, {.shape = config_.shape,
                                           .cache = {.cache_size = 16},
                                           .dtype = ComputeType::f32,
                                           .device_bytes = kBytes});
  }
  const ModelConfig config_ = [this] {
    write_hf_model(testing::TinyModel{}, d.path() / "other");
    return open_model(d.path() / "other").config;
  }();
};

TEST_F(LinkedDevices, WithoutWorkNothingIsLate) {
  std::string why;
  const std::optional<NcclGroupId> id = make_nccl_group_id(why);
  const ActivationLinksPlace place{.hidden_size = config_.shape.hidden_size, .timeout_s = 0.001};
  const auto a = device(), b = device();
  std::unique_ptr<ActivationTransfer> to;
  std::thread other([&] {
    ActivationLinksPlace p = place;
    p.behind = id;
    to = a->device().link_activations(p);
  });
  ActivationLinksPlace p = place;
  p.before = id;
  const std::unique_ptr<ActivationTransfer> from = b->device().link_activations(p);
  other.join();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_NO_THROW(from->check());
  EXPECT_NO_THROW(to->check());
}

TEST_F(LinkedDevices, WhoeverComesAloneGivesUp) {
  std::string why;
  const auto a = device();
  const ActivationLinksPlace place{
      .before = make_nccl_group_id(why), .hidden_size = config_.shape.hidden_size, .join_s = 0.05};
  EXPECT_THROW(a->device().link_activations(place), NcclGroupError);
}

TEST_F(LinkedDevices, NobodyJoinsALineThatIsClosed) {
  std::string why;
  const auto a = device();
  ActivationLinksPlace place{.before = make_nccl_group_id(why),
                             .hidden_size = config_.shape.hidden_size};
  place.why_closed = [] { return std::optional<std::string>("rank 3 has ended"); };
  EXPECT_THROW(a->device().link_activations(place), StageLost);
}

}  // namespace
}  // namespace tovamill
