// A model cut into stages, each on a thread of this process: the same bits as a whole one.
#include "workers/stages/staged_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <memory>
#include <set>
#include <thread>

#include "kernels/types/error.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/record_of_text.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/temporary_directory.h"
#include "workers/documents/document_stream.h"
#include "workers/documents/generate_work.h"
#include "workers/documents/score_work.h"
#include "workers/load/loaded_model.h"
#include "workers/stages/stage_cut.h"
#include "workers/stages/stage_worker.h"

namespace tovamill {
namespace {

using testing::document;

using testing::digits;
using testing::TemporaryDirectory;
using testing::TinyModel;
using testing::words;

constexpr std::uint64_t kMemory = std::uint64_t{1} << 30;  // bytes, said to be free

class LocalLine;
using LocalLines = std::vector<std::unique_ptr<LocalLine>>;

// Hands messages over to the other stages' mailboxes at once.
class LocalLine final : public StageMailbox {
 public:
  LocalLine(int stage, int n_stages, LocalLines& channels)
      : StageMailbox(stage, n_stages), channels_(channels) {}
  void send(int stage, Message message) override {
    if (is_closed()) throw StageLost("closed");
    channels_.at(static_cast<std::size_t>(stage))->deliver(this->stage(), std::move(message));
  }

 private:
  LocalLines& channels_;
};

struct Threads {
  ~Threads() {
    for (std::thread& t : all) t.join();
  }
  std::vector<std::thread> all;
};

LoadedModel load(const std::string& path, const RunOptions& options, const StagePlace& place) {
  return load_model(open_model(path), options, 1, kMemory, {}, place);
}

// A group of stages, of which stage 0 is on the test's thread; of one stage: a model as usual.
class Group {
 public:
  Group(const std::string& path, const RunOptions& options, int n_stages)
      : model_(start(path, options, n_stages)) {}
  LoadedModel& model() { return model_; }
  void close() {
    for (auto& channel : channels_) channel->close("the test closes it");
  }

 private:
  LoadedModel start(const std::string& path, const RunOptions& options, int n_stages) {
    for (int s = 0; s < n_stages; ++s)
      channels_.push_back(std::make_unique<LocalLine>(s, n_stages, channels_));
    for (int s = 1; s < n_stages; ++s)
      threads_.all.emplace_back([this, path, options, s] { serve(path, options, place(s)); });
    return load(path, options, place(0));
  }
  StagePlace place(int s) {
    return {.rank = s,
            .stage = s,
            .n_stages = static_cast<int>(channels_.size()),
            .channel = channels_[static_cast<std::size_t>(s)].get()};
  }
  static void serve(const std::string& path, const RunOptions& options, const StagePlace& place) {
    const LoadedModel model = load(path, options, place);
    try {
      StageWorker(model.model, *model.backend, *model.forward, place).serve();
    } catch (const StageLost&) {
    }
  }

  LocalLines channels_;
  Threads threads_;
  LoadedModel model_;  // goes first, and lets the others end
};

using Records = std::vector<std::vector<std::byte>>;

// What the documents come to, as many of them side by side as the work takes; they go on from what
// is saved of them.
Records records_of(DocumentWork& work, std::vector<CorpusRecord> documents,
                   const Records& saved = {}) {
  std::vector<std::unique_ptr<DocumentInFlight>> open(documents.size());
  Records records(documents.size());
  for (std::size_t next = 0; next < documents.size() || work.n_open() > 0;) {
    while (next < documents.size() && (work.has_room() || work.n_open() == 0)) {
      open[next] = work.open(documents[next]);
      if (!open[next]) break;
      EXPECT_TRUE(saved.empty() || saved[next].empty() || open[next]->restore(saved[next]));
      ++next;
    }
    work.step();
    for (std::size_t i = 0; i < next; ++i) {
      if (!open[i] || !open[i]->finished()) continue;
      records[i] = encode(open[i]->finish(0));
      work.close(std::move(open[i]));
    }
  }
  return records;
}

class StagedModelTest : public ::testing::Test {
 protected:
  StagedModelTest() {
    TinyModel tiny;
    tiny.n_layers = 5;
    write_hf_model(tiny, d.path() / "model");
  }
  std::string model() const { return d.path() / "model"; }
  static RunOptions options() {
    RunOptions o = testing::tiny_options("", "", "");
    o.trace_state = o.token_nll = o.nll_by_position = o.analyze = true;
    o.streams = 3;
    return o;
  }

  // The records of five documents, of which some end in every step.
  static Records scores(LoadedModel& model, const RunOptions& o) {
    const std::size_t longer = o.cache.policy == Policy::full ? 100 : 400;  // words
    ScoreWork work(model, o);
    std::vector<CorpusRecord> documents;
    for (std::size_t n = 0; n < 5; ++n)
      documents.push_back(document(words(100 + longer * n, n), static_cast<int>(n)));
    return records_of(work, std::move(documents));
  }

  void expect_same_scores(RunOptions o, const std::vector<int>& numbers_of_stages) {
    Group whole(model(), o, 1);
    const auto expected = scores(whole.model(), o);
    for (const int n : numbers_of_stages) {
      o.stages = n;
      Group cut(model(), o, n);
      EXPECT_EQ(cut.model().runner->max_in_flight(), n + 1);
      EXPECT_TRUE(scores(cut.model(), o) == expected) << n << " stages";
    }
  }

  TemporaryDirectory d;
};

TEST_F(StagedModelTest, ScoresToTheBitAsAWholeModel) { expect_same_scores(options(), {2, 3, 5}); }

TEST_F(StagedModelTest, LayersThatDifferStayWhatTheyAre) {
  write_hf_model(testing::mixed_model(5), d.path() / "model");
  expect_same_scores(options(), {2, 3, 5});
}

TEST_F(StagedModelTest, RestartsStatesAtChunks) {
  RunOptions o = options();
  o.cache.chunk_tokens = 300;
  o.cache.policy = Policy::tova_head;
  expect_same_scores(o, {2, 3});
}

TEST_F(StagedModelTest, DrawsRandomNumbersByTheLayersOfTheWholeModel) {
  RunOptions o = options();
  o.cache.policy = Policy::random;
  expect_same_scores(o, {2, 5});
}

TEST_F(StagedModelTest, LetsStatesGrowWithoutBound) {
  RunOptions o = options();
  o.cache.policy = Policy::full;
  o.dtype = ComputeType::bf16;
  expect_same_scores(o, {2});
}

// Passes steps on, counts those in flight, and sees to it that no stream is in two of them. The
// logits of the `spoilt`-th choice are lost.
class WatchedSteps final : public StepRunner {
 public:
  explicit WatchedSteps(std::unique_ptr<StepRunner> steps) : steps_(std::move(steps)) {}
  std::int32_t max_in_flight() const override { return steps_->max_in_flight(); }
  std::int32_t n_stages() const override { return steps_->n_stages(); }
  void submit(const StepInput& input) override {
    std::set<const StreamState*> streams;
    for (const StepBlock& b : input.blocks) {
      EXPECT_TRUE(streams.insert(b.state).second);
      for (const auto& other : in_flight_) EXPECT_FALSE(other.contains(b.state));
    }
    in_flight_.push_back(std::move(streams));
    if (in_flight_.size() > n_streams_.size()) n_streams_.resize(in_flight_.size());
    for (std::size_t i = 0; i < in_flight_.size(); ++i)
      n_streams_[i] = std::max(n_streams_[i], in_flight_[i].size());
    StepInput watched = input;
    watched.take_logits = [this, take = input.take_logits](std::size_t i, std::span<float> logits) {
      if (n_choices_++ == spoilt) std::fill(logits.begin(), logits.end(), std::nanf(""));
      take(i, logits);
    };
    steps_->submit(watched);
  }
  StepOutput collect() override {
    in_flight_.pop_front();
    return steps_->collect();
  }
  std::uint64_t buffer_bytes() const override { return steps_->buffer_bytes(); }

  // The most streams that the oldest step in flight had, the second oldest, ...
  const std::vector<std::size_t>& n_streams() const { return n_streams_; }
  std::size_t spoilt = std::numeric_limits<std::size_t>::max();

 private:
  std::unique_ptr<StepRunner> steps_;
  std::deque<std::set<const StreamState*>> in_flight_;
  std::vector<std::size_t> n_streams_;
  std::size_t n_choices_ = 0;
};

WatchedSteps& watch(LoadedModel& model) {
  auto watched = std::make_unique<WatchedSteps>(std::move(model.runner));
  WatchedSteps& steps = *watched;
  model.runner = std::move(watched);
  return steps;
}

// Records of two questions each, and of very different lengths.
std::vector<CorpusRecord> questioned(int n_documents) {
  std::vector<CorpusRecord> documents;
  for (int n = 0; n < n_documents; ++n) {
    documents.push_back(document(words(static_cast<std::size_t>(150 + 300 * (n % 3)), 7), n));
    documents.back().questions = {"what is it?", "and why?"};
  }
  return documents;
}

RunOptions writing(RunOptions o) {
  o.trace_state = o.token_nll = false;
  o.job_kind = Job::generate;
  o.streams = 7;
  o.cache.cache_size = 64;
  o.generation.max_new_tokens = 12;
  o.generation.samples = 2;
  o.generation.sampling.temperature = 1.0;
  return o;
}

Records texts(LoadedModel& model, const RunOptions& o) {
  GenerateWork work(model, o);
  return records_of(work, questioned(3));
}

TEST_F(StagedModelTest, WritesTheSameTextsWithAStepUnderWayInEveryStage) {
  for (const Prefill prefill : {Prefill::stream, Prefill::full}) {
    RunOptions o = writing(options());
    o.generation.prefill = prefill;
    Group whole(model(), o, 1);
    const WatchedSteps& one = watch(whole.model());
    const Records expected = texts(whole.model(), o);
    EXPECT_EQ(one.n_streams(), std::vector<std::size_t>{7});
    for (const int n : {2, 3}) {
      o.stages = n;
      Group cut(model(), o, n);
      const WatchedSteps& steps = watch(cut.model());
      EXPECT_TRUE(texts(cut.model(), o) == expected) << n << " stages";
      ASSERT_EQ(steps.n_streams().size(), static_cast<std::size_t>(n));
      for (const std::size_t n_streams : steps.n_streams()) {
        EXPECT_GE(n_streams, static_cast<std::size_t>(7 / n));
        EXPECT_LE(n_streams, static_cast<std::size_t>(7 / n + 2)) << "parts of like size";
      }
    }
  }
}

// The others of the document's texts are in steps in flight when one of them fails.
TEST_F(StagedModelTest, ATextThatFailsCostsItsDocumentOnly) {
  RunOptions o = writing(options());
  Group whole(model(), o, 1);
  const Records expected = texts(whole.model(), o);
  o.stages = 2;
  Group cut(model(), o, 2);
  watch(cut.model()).spoilt = 20;
  const Records found = texts(cut.model(), o);
  int n_same = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    n_same += found[i] == expected[i];
    if (found[i] != expected[i]) {
      EXPECT_EQ(decode_document(found[i], "a record").failure_reason, "not-finite");
    }
  }
  EXPECT_EQ(n_same, 2);
}

TEST_F(StagedModelTest, ChoosesTheSameHighestTokensAndAnswersPiecesAlike) {
  RunOptions o = writing(options());
  o.generation.sampling.temperature = 0.0;
  o.generation.strategy = Strategy::chunk;
  o.cache.chunk_tokens = 300;
  o.streams = 5;
  Group whole(model(), o, 1);
  const Records expected = texts(whole.model(), o);
  o.stages = 2;
  o.streams = 4;
  Group cut(model(), o, 2);
  EXPECT_TRUE(texts(cut.model(), o) == expected);
}

// Stopped with steps in flight, and continued with another number of stages and streams; or, where
// a saved state is damaged, that document begins anew.
TEST_F(StagedModelTest, TextsGoOnFromASteppedStopWithAnyNumberOfStages) {
  RunOptions o = writing(options());
  Group whole(model(), o, 1);
  const Records expected = texts(whole.model(), o);
  const auto with = [&](int n_stages, int streams) {
    RunOptions other = o;
    other.stages = n_stages;
    other.streams = streams;
    return other;
  };
  const RunOptions o1 = with(1, 3), o2 = with(2, 2), o3 = with(3, 7);
  Group two(model(), o2, 2), three(model(), o3, 3);
  for (const int n_steps : {4, 14, 25}) {
    Records saved;
    {
      GenerateWork work(three.model(), o3);
      std::vector<std::unique_ptr<DocumentInFlight>> open;
      for (CorpusRecord& record : questioned(3)) open.push_back(work.open(record));
      for (int i = 0; i < n_steps; ++i) work.step();
      work.drain();
      EXPECT_EQ(work.drain(), 0u);
      for (auto& d : open) {
        saved.push_back(d->finished() ? std::vector<std::byte>() : d->save());
        work.close(std::move(d));
      }
    }
    for (const bool is_damaged : {false, true}) {
      if (is_damaged) {
        for (auto& bytes : saved) {
          if (!bytes.empty()) std::fill(bytes.end() - 64, bytes.end(), std::byte{0x7f});
        }
      }
      for (const auto& [group, other] : {std::pair{&whole, &o1}, std::pair{&two, &o2}}) {
        GenerateWork work(group->model(), *other);
        EXPECT_TRUE(records_of(work, questioned(3), saved) == expected)
            << n_steps << " steps, " << other->stages << " stages, damaged: " << is_damaged;
      }
    }
  }
}

// A stream that changes between a whole model and one in stages after every second block.
TEST_F(StagedModelTest, SavesTheBytesOfAWholeModelAndTakesThemUp) {
  write_hf_model(testing::mixed_model(5), d.path() / "model");
  for (const Policy policy : {Policy::tova, Policy::tova_ema, Policy::window, Policy::full}) {
    RunOptions o = options();
    o.cache.policy = policy;
    RunOptions o3 = o;
    o3.stages = 3;
    Group whole(model(), o, 1), cut(model(), o3, 3);
    std::vector<std::unique_ptr<StreamState>> states;
    std::vector<std::vector<std::byte>> saved(2);
    Group* groups[] = {&whole, &cut};
    for (Group* g : groups) states.push_back(g->model().states->make_state());
    std::vector<std::int32_t> ids = testing::tiny_ids(digits(250, 4));
    for (int block = 0; block < 4; ++block) {
      for (int i = 0; i < 2; ++i) {
        const StepBlock b{.state = states[static_cast<std::size_t>(i)].get(),
                          .n_tokens = static_cast<std::int32_t>(ids.size()),
                          .position = static_cast<std::int64_t>(ids.size()) * block};
        LoadedModel& m = groups[i]->model();
        m.runner->run({.blocks = std::span(&b, 1), .ids = ids});
        saved[static_cast<std::size_t>(i)].clear();
        m.states->save(*b.state, saved[static_cast<std::size_t>(i)]);
      }
      ASSERT_TRUE(saved[0] == saved[1]);
      for (std::int32_t l = 0; l < 5; ++l)
        EXPECT_EQ(cut.model().states->read_positions(*states[1], l, 0),
                  whole.model().states->read_positions(*states[0], l, 0));
      // Each takes up the other's.
      cut.model().states->reset(*states[1]);
      EXPECT_EQ(cut.model().states->load(*states[1], saved[0]),
                whole.model().states->load(*states[0], saved[1]));
    }
    EXPECT_EQ(cut.model().states->n_tokens(*states[1]), 1000);
    const auto copy = cut.model().states->make_state();
    cut.model().states->copy(*states[1], *copy);
    std::vector<std::byte> copied;
    cut.model().states->save(*copy, copied);
    EXPECT_TRUE(copied == saved[1]);
    // One that is cut short, and one of which a part is damaged, begin anew.
    saved[0].resize(saved[0].size() - 5);
    EXPECT_THROW(cut.model().states->load(*copy, saved[0]), BadData);
    std::vector<std::byte> damaged = saved[1];
    std::fill(damaged.end() - 64, damaged.end(), std::byte{0x7f});
    if (policy == Policy::tova) {
      EXPECT_THROW(cut.model().states->load(*copy, damaged), BadData);
      EXPECT_EQ(cut.model().states->n_tokens(*copy), 0);
    }
  }
}

TEST_F(StagedModelTest, EndsWhereTheOtherStagesAreGone) {
  RunOptions o = options();
  o.stages = 2;
  Group cut(model(), o, 2);
  const auto state = cut.model().states->make_state();
  const std::vector<std::int32_t> ids = testing::tiny_ids(digits(50, 4));
  const StepBlock b{.state = state.get(), .n_tokens = static_cast<std::int32_t>(ids.size())};
  const StepInput input{.blocks = std::span(&b, 1), .ids = ids};
  cut.model().runner->run(input);
  cut.close();
  EXPECT_THROW(cut.model().runner->run(input), StageLost);
}

TEST_F(StagedModelTest, WhoDoesNotAnswerStandsStill) {
  StageMailbox mailbox(0, 2);
  PipelineDriver driver(mailbox, 0.01);
  EXPECT_THROW(driver.ask({.kind = StageKind::make, .state = 1}), StageLost);
}

}  // namespace
}  // namespace tovamill
