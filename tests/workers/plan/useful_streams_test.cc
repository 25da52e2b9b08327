// How many streams a small corpus is given, in a plan and in a run.
#include "workers/plan/useful_streams.h"

#include <gtest/gtest.h>

#include "tests/support/compress.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/temporary_directory.h"
#include "workers/plan/plan_run.h"

namespace tovamill {
namespace {

class UsefulStreams : public ::testing::Test {
 protected:
  void write_texts(int n) const {
    for (int i = 0; i < n; ++i) d.write("corpus/" + std::to_string(i) + ".txt", "a text");
  }
  RunOptions options(Job job = Job::score) const {
    RunOptions o = testing::tiny_options("random:tiny", d.path() / "corpus", d.path() / "run");
    o.job_kind = job;
    if (job == Job::score) return o;
    o.corpus.question_key = "question";
    o.generation.max_new_tokens = 2;
    return o;
  }
  testing::TemporaryDirectory d;
};

TEST_F(UsefulStreams, AreTheDocuments) {
  write_texts(2);
  const std::string lines = "{\"text\": \"a\"}\n\n{broken\n{\"text\": \"b\"}\n";
  d.write("corpus/a.jsonl", lines);
  EXPECT_EQ(useful_streams(options()), 5);
  d.write("corpus/b.jsonl.gz", testing::gzip(lines));
  d.write("corpus/notes.md", "no document");
  EXPECT_EQ(useful_streams(options()), 8);
  EXPECT_EQ(useful_streams(options(Job::summarize)), 8);
}

TEST_F(UsefulStreams, AreTheAnswersAndSamplesOfTexts) {
  write_texts(1);
  d.write("corpus/a.jsonl",
          "{\"text\": \"a\", \"question\": [\"one?\", \"two?\"]}\n"
          "{\"text\": \"b\", \"question\": \"three?\"}\n");
  RunOptions o = options(Job::generate);
  EXPECT_EQ(useful_streams(o), 4);
  o.generation.samples = 3;
  EXPECT_EQ(useful_streams(o), 12);
  o.limit = 1;
  EXPECT_EQ(useful_streams(o), 6) << "the record with the most questions";
}

TEST_F(UsefulStreams, AreThePiecesOfDocumentsThatAreCut) {
  d.write("corpus/a.txt", std::string(1000, 'a'));
  RunOptions o = options(Job::summarize);
  o.generation.strategy = Strategy::chunk;
  o.cache.chunk_tokens = 100;
  EXPECT_GE(useful_streams(o), 10);
  EXPECT_LE(useful_streams(o), 12);
}

TEST_F(UsefulStreams, AreLimitedByTheRecordsThatAreRead) {
  write_texts(40);
  EXPECT_EQ(useful_streams(options()), 0) << "more than there would be";
  RunOptions o = options();
  o.limit = 3;
  EXPECT_EQ(useful_streams(o), 3);
  o = options(Job::summarize);
  o.limit = 3;
  EXPECT_EQ(useful_streams(o), 3);
}

TEST_F(UsefulStreams, AreNotKnownOfWhatIsNotThereOrAskedFor) {
  EXPECT_EQ(useful_streams(options()), 0);
  write_texts(2);
  RunOptions o = options();
  o.streams = 7;
  EXPECT_EQ(useful_streams(o), 0);
}

TEST_F(UsefulStreams, AreWhatPlansAndRunsTake) {
  write_texts(5);
  for (const Job job : {Job::score, Job::summarize}) {
    RunOptions o = options(job);
    o.out += name_of(job);
    const RunPlan plan = plan_run(o, {.n_threads = 2, .calibrates = false});
    testing::QuietObserver observer;
    run_corpus(o, observer);
    EXPECT_EQ(plan.step.n_streams, 5);
    EXPECT_EQ(observer.info.streams, 5);
    EXPECT_EQ(observer.info.wanted_streams, 5) << "the memory is not short";
    EXPECT_EQ(observer.info.state_bytes, plan.memory.all_states_bytes);
  }
}

TEST_F(UsefulStreams, OfStagesAreTheSame) {
  write_texts(5);
  RunOptions o = options(Job::summarize);
  o.stages = 2;
  EXPECT_EQ(plan_run(o, {.n_ranks = 4, .n_threads = 1, .calibrates = false}).step.n_streams, 5);
}

TEST_F(UsefulStreams, ThatAreAskedForAreGiven) {
  write_texts(2);
  RunOptions o = options();
  o.streams = 7;
  EXPECT_EQ(plan_run(o, {.n_threads = 2, .calibrates = false}).step.n_streams, 7);
}

}  // namespace
}  // namespace tovamill
