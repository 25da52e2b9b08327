// Whole runs of generation on tiny models: what stands in results.h5 against a float64 reference
// that writes token by token, and against itself under other streams, blocks, stops and orders.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/types/error.h"
#include "pipeline/run_directory/run_directory.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/models/reference_writer.h"
#include "tests/support/runs/generate_runs.h"
#include "tests/support/runs/results_text.h"
#include "tests/support/temporary_directory.h"
#include "workers/run/corpus_run.h"

namespace tovamill {
namespace {

using testing::difference;
using testing::error_of;
using testing::QuietObserver;
using testing::Results;
using testing::results_parts;
using testing::score;
using testing::TemporaryDirectory;
using testing::tiny_generation;
using testing::tiny_ids;
using testing::TinyModel;
using testing::words;
using testing::write_by_reference;
using testing::written_rows;
using testing::WrittenRow;

constexpr std::int32_t kEndOfText = 319;

class GenerateRun : public ::testing::Test {
 protected:
  GenerateRun() { write_hf_model(TinyModel{}, d.path() / "model"); }

  std::string model() const { return d.path() / "model"; }
  RunOptions options(const std::string& name = "run") const {
    return tiny_generation(model(), d.path() / "corpus", d.path() / name);
  }
  // Documents of very different lengths; in path order a.txt, b.txt, ...
  std::vector<std::string> write_corpus(int n = 9) const {
    std::vector<std::string> texts;
    for (int i = 0; i < n; ++i) {
      const auto length = static_cast<std::size_t>(3 + (i * 37) % 150);
      texts.push_back(words(length, static_cast<std::uint64_t>(i)));
      d.write(std::string("corpus/") + static_cast<char>('a' + i) + ".txt", texts.back());
    }
    return texts;
  }
  void write_records(const std::vector<nlohmann::json>& records) const {
    std::string lines;
    for (const nlohmann::json& r : records) lines += r.dump() + "\n";
    d.write("corpus/records.jsonl", lines);
  }
  std::vector<WrittenRow> rows(const RunOptions& o) const {
    score(o);
    return written_rows(o.out);
  }

  TemporaryDirectory d;
};

// ---- against the reference ----

struct Case {
  const char* name;
  CacheOptions cache;
  bool keeps_prompt = false;
  bool mixes_layers = false;
};

// For the names of the tests' parameters in reports.
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class GenerateLikeReference : public GenerateRun, public ::testing::WithParamInterface<Case> {};

TEST_P(GenerateLikeReference, GreedyTokensForEveryMixtureOfStreamsAndBlockSize) {
  if (GetParam().mixes_layers) write_hf_model(testing::mixed_model(3), d.path() / "model");
  const std::vector<std::string> texts = write_corpus();
  std::vector<testing::WrittenText> wanted;
  std::size_t n_near = 0;
  for (const std::string& text : texts) {
    wanted.push_back(write_by_reference(model(), tiny_ids(text),
                                        {.cache = GetParam().cache,
                                         .max_new_tokens = 24,
                                         .end_ids = {kEndOfText},
                                         .keeps_prompt = GetParam().keeps_prompt}));
    for (const bool near : wanted.back().is_near_tie) n_near += near;
  }
  EXPECT_LT(n_near, texts.size() * 24 / 10) << "too many near-ties for the test to say much";
  const std::vector<std::pair<std::int32_t, std::int32_t>> mixtures{
      {1, 256}, {2, 64}, {5, 7}, {16, 1}, {16, 256}};
  for (const auto& [streams, block] : mixtures) {
    SCOPED_TRACE(std::to_string(streams) + " streams, blocks of " + std::to_string(block));
    RunOptions o = options();
    o.cache = GetParam().cache;
    o.generation.prefill = GetParam().keeps_prompt ? Prefill::full : Prefill::stream;
    o.streams = streams;
    o.block = block;
    o.overwrite = true;
    const std::vector<WrittenRow> found = rows(o);
    ASSERT_EQ(found.size(), texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(difference(wanted[i], found[i].ids), "") << "document " << i;
      EXPECT_EQ(found[i].n_prompt, tiny_ids(texts[i]).size());
      EXPECT_EQ(found[i].n_new, found[i].ids.size());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Policies, GenerateLikeReference,
    ::testing::Values(
        Case{"Tova", {.policy = Policy::tova, .cache_size = 16}},
        Case{"TovaPinned", {.policy = Policy::tova, .cache_size = 16, .pin = 3}},
        Case{"TovaHead", {.policy = Policy::tova_head, .cache_size = 16}},
        Case{"TovaEma", {.policy = Policy::tova_ema, .cache_size = 16}},
        Case{"H2o", {.policy = Policy::h2o, .cache_size = 16}},
        Case{"Window", {.policy = Policy::window, .cache_size = 16, .sinks = 2}},
        Case{"Full", {.policy = Policy::full}},
        Case{"TovaAfterFullPrompt", {.policy = Policy::tova, .cache_size = 16}, true},
        Case{"WindowAfterFullPrompt",
             {.policy = Policy::window, .cache_size = 16, .sinks = 2},
             true},
        Case{"TovaWithLayersThatDiffer", {.policy = Policy::tova, .cache_size = 16}, false, true}),
    [](const auto& info) { return info.param.name; });

TEST_F(GenerateRun, TextIsTheDecodedIds) {
  write_corpus();
  for (const WrittenRow& row : rows(options())) {
    EXPECT_EQ(row.ids.size(), row.n_new);
    if (row.finish_reason == "stop") {
      EXPECT_EQ(row.ids.back(), kEndOfText);
    } else {
      EXPECT_EQ(row.n_new, 24u);
    }
  }
}

// ---- the same whatever is done beside it ----

void expect_same_results(const std::string& a, const std::string& b) {
  const auto first = results_parts(results_path(a)), second = results_parts(results_path(b));
  for (const auto& [path, text] : first) {
    ASSERT_TRUE(second.contains(path)) << path;
    EXPECT_EQ(second.at(path), text) << path;
  }
  EXPECT_EQ(first.size(), second.size());
}

TEST_F(GenerateRun, SampledTextDoesNotDependOnStreamsOrThreads) {
  write_corpus();
  RunOptions o = options("one");
  o.generation.sampling = {.temperature = 1.0, .top_k = 50, .top_p = 0.95, .seed = 7};
  o.generation.samples = 3;
  o.streams = o.threads = 1;
  const std::vector<WrittenRow> one = rows(o);
  o.out = d.path() / "many";
  o.streams = 11;
  o.threads = 2;
  rows(o);
  expect_same_results(d.path() / "one", o.out);
  std::set<std::string> texts;
  for (const WrittenRow& row : one) texts.insert(row.text);
  EXPECT_GT(texts.size(), one.size() / 2) << "samples differ";
  o.out = d.path() / "seed";
  o.generation.sampling.seed = 8;
  EXPECT_NE(rows(o).front().text, one.front().text);
}

// What is evicted at random is the same however documents lie beside each other and are cut, and
// whether the samples of a document share what they read.
TEST_F(GenerateRun, RandomEvictionsDoNotDependOnStreamsOrThreads) {
  write_corpus();
  RunOptions o = options("one");
  o.cache.policy = Policy::random;
  o.streams = o.threads = 1;
  const std::vector<WrittenRow> one = rows(o);
  o.out = d.path() / "many";
  o.streams = 11;
  o.threads = 2;
  rows(o);
  expect_same_results(d.path() / "one", o.out);
  o.out = d.path() / "blocks";
  o.block = 7;
  o.generation.prefill = Prefill::stream;
  const std::vector<WrittenRow> blocks = rows(o);
  o.out = d.path() / "seed";
  o.generation.sampling.seed = 8;
  const std::vector<WrittenRow> other = rows(o);
  std::size_t n_other = 0;
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(blocks[i].ids, one[i].ids);
    n_other += other[i].ids != one[i].ids;
  }
  EXPECT_GT(n_other, one.size() / 3);
}

TEST_F(GenerateRun, AStoppedRunGoesOnInTheMiddleOfReadingAndOfWriting) {
  write_corpus();
  d.write("corpus/z.txt", words(6'000, 99));
  RunOptions o = options("whole");
  o.generation.max_new_tokens = 400;
  o.generation.sampling = {.temperature = 0.7, .seed = 1};
  o.generation.samples = 2;
  o.streams = 4;
  o.block = 32;
  score(o);
  RunOptions s = o;
  s.out = d.path() / "stopped";
  int n_stops = 0;
  for (int stop_after = 0; stop_after < 8; ++stop_after) {
    QuietObserver observer(stop_after);
    s.streams = 1 + stop_after % 5;
    try {
      run_corpus(s, observer);
    } catch (const Error& e) {
      ASSERT_EQ(e.code(), ExitCode::stopped) << e.what();
      ++n_stops;
    }
  }
  EXPECT_GE(n_stops, 2);
  s.streams = 3;
  score(s);
  expect_same_results(d.path() / "whole", s.out);
}

// ---- questions ----

TEST_F(GenerateRun, AQuestionListReadsTheDocumentOnceAndAnswersAsSingleQuestionsDo) {
  const std::string text = words(180, 5);
  const std::vector<std::string> questions{"where is the cat?", "who watches?", "why rain?"};
  write_records({{{"id", "all"}, {"text", text}, {"question", questions}},
                 {{"id", "q0"}, {"text", text}, {"question", questions[0]}},
                 {{"id", "q1"}, {"text", text}, {"question", questions[1]}},
                 {{"id", "q2"}, {"text", text}, {"question", questions[2]}}});
  for (const std::int32_t streams : {1, 2, 8}) {
    SCOPED_TRACE(streams);
    RunOptions o = options("run" + std::to_string(streams));
    o.generation.task = TaskChoice::qa;
    o.streams = streams;
    const std::vector<WrittenRow> found = rows(o);
    ASSERT_EQ(found.size(), 6u);
    for (std::size_t q = 0; q < 3; ++q) {
      EXPECT_EQ(found[q].question, questions[q]);
      EXPECT_EQ(found[q].question_index, q);
      EXPECT_EQ(found[q].prompt_hash, found[3 + q].prompt_hash);
      EXPECT_EQ(found[q].ids, found[3 + q].ids);
    }
    const Results r(o.out);
    std::uint64_t alone = 0;
    for (std::size_t i = 1; i < 4; ++i) alone += r.n_tokens[i];
    if (streams > 1) {
      EXPECT_LT(r.n_tokens[0], alone * 2 / 3) << "the document is read once";
    }
  }
  expect_same_results(d.path() / "run2", d.path() / "run8");
}

TEST_F(GenerateRun, AnswersAreComparedWithTheReferencesOfTheirQuestion) {
  const std::string text = words(40, 1);
  RunOptions o = options("first");
  o.generation.task = TaskChoice::qa;
  write_records({{{"text", text}, {"question", {"a?", "b?"}}}});
  const std::vector<WrittenRow> plain = rows(o);
  o.out = d.path() / "second";
  o.corpus.reference_key = "answers";
  write_records({{{"text", text},
                  {"question", {"a?", "b?"}},
                  {"answers", {{"zzz qqq", plain[0].text}, {"nothing of it"}}}}});
  const std::vector<WrittenRow> found = rows(o);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].exact_match, 1.0);
  EXPECT_LT(found[0].rouge1_mean, 0.75);
  EXPECT_EQ(found[1].exact_match, 0.0);
}

TEST_F(GenerateRun, RecordsThatCannotBeAskedAreFailuresAndCostNothingElse) {
  write_records({{{"id", "none"}, {"text", words(20, 1)}},
                 {{"id", "good"}, {"text", words(20, 2)}, {"question", "why?"}},
                 {{"id", "number"}, {"text", words(20, 3)}, {"question", 7}},
                 {{"id", "empty"}, {"text", words(20, 4)}, {"question", {"a", ""}}},
                 {{"id", "refs"}, {"text", words(20, 5)}, {"question", {"a", "b"}}, {"ref", "c"}}});
  RunOptions o = options();
  o.generation.task = TaskChoice::qa;
  o.corpus.reference_key = "ref";
  const std::vector<WrittenRow> found = rows(o);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].id, "good");
  const Results r(o.out);
  EXPECT_EQ(r.failure_reason, (std::vector<std::string>{"missing-question", "bad-question",
                                                        "bad-question", "bad-reference"}));
}

// ---- prompts and memory ----

TEST_F(GenerateRun, APromptThatDoesNotFitTheMemoryIsRefusedWithTheNumber) {
  d.write("corpus/long.txt", words(3'000, 1));
  d.write("corpus/short.txt", words(30, 2));
  RunOptions o = options();
  o.generation.prefill = Prefill::full;
  o.memory_budget = 8u << 20;
  const std::vector<WrittenRow> found = rows(o);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(Results(o.out).failure_reason, std::vector<std::string>{"too-large"});
}

TEST_F(GenerateRun, ThePinnedInstructionStays) {
  const std::vector<std::string> texts = write_corpus(3);
  d.write("prompt.txt", "Remember the old house of stone. {document} And now:");
  RunOptions o = options();
  o.generation.prompt_file = d.path() / "prompt.txt";
  o.generation.pin_instruction = true;
  o.generation.chat_template = "none";
  o.cache.cache_size = 40;
  read_prompt_file(o.generation);
  const std::vector<WrittenRow> found = rows(o);
  const std::string front = "Remember the old house of stone. ";
  std::size_t i = 0;
  for (const std::string& text : texts) {
    const auto ids = tiny_ids(front + text + " And now:");
    const auto lead = tiny_ids(front), together = tiny_ids(front + text);
    const auto pin = std::mismatch(lead.begin(), lead.end(), together.begin()).first - lead.begin();
    const testing::WrittenText wanted = write_by_reference(model(), ids,
                                                           {.cache = o.cache,
                                                            .max_new_tokens = 24,
                                                            .end_ids = {kEndOfText},
                                                            .pin = static_cast<std::int32_t>(pin)});
    EXPECT_EQ(difference(wanted, found[i++].ids), "") << text;
  }
}

TEST_F(GenerateRun, DocumentsAreCutAtTheEndOrInTheMiddle) {
  const std::string text = testing::digits(100, 3);
  d.write("corpus/a.txt", text);
  RunOptions o = options("end");
  o.generation.max_document_tokens = 31;
  EXPECT_EQ(rows(o).front().n_prompt, 31u);
  RunOptions m = o;
  m.out = d.path() / "middle";
  m.generation.truncate = Truncation::middle;
  const WrittenRow middle = rows(m).front();
  d.write("corpus/a.txt", text.substr(0, 16) + text.substr(85));
  RunOptions cut = options("cut");
  const WrittenRow same = rows(cut).front();
  EXPECT_EQ(middle.prompt_hash, same.prompt_hash);
  EXPECT_EQ(middle.ids, same.ids);
}

TEST_F(GenerateRun, PiecesAreAnsweredAndTheirAnswersAnsweredAgain) {
  const std::string text = testing::digits(1200, 3);
  d.write("corpus/a.txt", text);
  RunOptions o = options("chunk");
  o.generation.max_new_tokens = 16;
  RunOptions plain = o;
  o.generation.strategy = Strategy::chunk;
  o.cache.chunk_tokens = 512;
  const std::vector<WrittenRow> found = rows(o);
  ASSERT_EQ(found.size(), 1u);
  // By hand: three pieces, then what was written for them.
  for (std::size_t i = 0; i < 3; ++i)
    d.write("pieces/" + std::to_string(i) + ".txt", text.substr(512 * i, 512));
  plain.corpus.paths = {d.path() / "pieces"};
  plain.out = d.path() / "by-hand";
  std::string joined;
  for (const WrittenRow& row : rows(plain)) joined += (joined.empty() ? "" : "\n\n") + row.text;
  ASSERT_LE(tiny_ids(joined).size(), 512u);
  d.write("joined/j.txt", joined);
  plain.corpus.paths = {d.path() / "joined"};
  plain.out = d.path() / "last";
  const WrittenRow last = rows(plain).front();
  EXPECT_EQ(found[0].ids, last.ids);
  EXPECT_EQ(found[0].prompt_hash, last.prompt_hash);
  EXPECT_EQ(found[0].n_prompt, 1200 + last.n_prompt);
}

TEST_F(GenerateRun, StopStringsAndBoundsOfLength) {
  write_corpus(4);
  RunOptions o = options("free");
  const std::vector<WrittenRow> free_rows = rows(o);
  std::size_t row = 0, at = 0;
  std::string text;
  const auto is_plain = [](char c) { return c > ' ' && c < 127; };
  for (; row < free_rows.size() && at == 0; row += at == 0) {
    text = free_rows[row].text;
    for (std::size_t i = 2; i + 1 < text.size() && at == 0; ++i)
      at = is_plain(text[i - 1]) && is_plain(text[i]) && is_plain(text[i + 1]) ? i : 0;
  }
  ASSERT_GT(at, 0u) << "no text has two plain characters";
  o.out = d.path() / "stop";
  o.generation.stop = {text.substr(at, 2)};
  const WrittenRow stopped = rows(o).at(row);
  EXPECT_EQ(stopped.finish_reason, "stop");
  EXPECT_EQ(stopped.text, text.substr(0, text.find(o.generation.stop[0])));
  o.out = d.path() / "least";
  o.generation.stop.clear();
  o.generation.min_new_tokens = 24;
  for (const WrittenRow& row : rows(o)) {
    EXPECT_EQ(row.n_new, 24u);
    EXPECT_EQ(row.finish_reason, "length");
  }
}

}  // namespace
}  // namespace tovamill
