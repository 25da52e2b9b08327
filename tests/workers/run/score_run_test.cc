// Whole runs of scoring on tiny models: what stands in results.h5 against single documents sent
// through the model one by one, and against naive counts from the trace.
#include "tests/workers/run/score_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "pipeline/distributed/local_channel.h"
#include "pipeline/run_directory/document_record.h"
#include "pipeline/run_directory/run_directory.h"
#include "tests/support/error_of.h"
#include "tests/support/models/file_builders.h"
#include "workers/documents/document_work.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::digits;
using testing::error_of;
using testing::QuietObserver;
using testing::Results;
using testing::score;
using testing::tiny_ids;
using testing::TinyModel;
using testing::words;

constexpr std::int32_t kBos = 319;  // of the tiny tokenizer: its end of text

// The tokens that a document is processed as, and where its chunks begin.
struct Cut {
  std::vector<std::vector<std::int32_t>> chunks;
};
Cut cut(std::vector<std::int32_t> ids, std::size_t chunk, bool bos) {
  Cut c;
  if (chunk == 0) chunk = std::numeric_limits<std::size_t>::max();
  for (std::size_t at = 0; at < ids.size();) {
    std::vector<std::int32_t> tokens;
    if (bos) tokens.push_back(kBos);
    while (at < ids.size() && tokens.size() < chunk) tokens.push_back(ids[at++]);
    c.chunks.push_back(tokens);
  }
  return c;
}

// Every document of `texts` equals its chunks sent through the model one by one, to the bit.
void expect_equal_to_single_documents(const Results& r, const std::vector<std::string>& texts,
                                      const RunOptions& o, bool bos) {
  ASSERT_EQ(r.n_tokens.size(), texts.size());
  const std::size_t n_all = r.nll.size();
  ASSERT_EQ(r.ids.size(), n_all);
  ASSERT_EQ(r.eviction_step.size() % n_all, 0u);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    SCOPED_TRACE("document " + std::to_string(i));
    std::size_t at = r.offsets[i], n_scored = 0;
    double sum = 0.0, squares = 0.0;
    const auto begin = at;
    for (const auto& ids :
         cut(tiny_ids(texts[i]), static_cast<std::size_t>(o.cache.chunk_tokens), bos).chunks) {
      ASSERT_LE(at + ids.size(), n_all);
      DocumentRecord document;
      document.file = file_name(i);
      const auto one = testing::run_document(
          o.model, ids,
          {.device = DeviceKind::cpu,
           .dtype = ComputeType::f32,
           .cache = o.cache,
           .random_key = random_key(o.generation.sampling.seed, document, at - begin)});
      EXPECT_TRUE(std::isnan(r.nll[at])) << "the first token of a chunk is context only";
      for (std::size_t t = 0; t < ids.size(); ++t) {
        ASSERT_EQ(r.ids[at + t], ids[t]);
        if (t > 0) {
          ASSERT_EQ(r.nll[at + t], one.nll[t - 1]) << "token " << t;
          sum += static_cast<double>(one.nll[t - 1]);
          squares += static_cast<double>(one.nll[t - 1]) * static_cast<double>(one.nll[t - 1]);
          ++n_scored;
        }
        const auto groups = static_cast<std::size_t>(one.n_eviction_groups);
        for (std::size_t l = 0; l < static_cast<std::size_t>(one.n_layers); ++l) {
          std::int32_t last = 0;  // when the last KV head dropped it
          for (std::size_t g = 0; g < groups; ++g) {
            const std::int32_t eviction_step = one.eviction_step[(l * groups + g) * ids.size() + t];
            last = eviction_step < 0 || last < 0 ? -1 : std::max(last, eviction_step);
          }
          const auto expected = last < 0 ? -1 : last + static_cast<std::int32_t>(at - begin);
          ASSERT_EQ(r.eviction_step[l * n_all + at + t], expected)
              << "layer " << l << ", token " << t;
        }
      }
      at += ids.size();
    }
    EXPECT_EQ(at, r.offsets[i + 1]);
    EXPECT_EQ(r.n_tokens[i], at - begin);
    EXPECT_EQ(r.n_scored[i], n_scored);
    if (n_scored == 0) {
      EXPECT_EQ(r.status[i], "unscored");
      EXPECT_TRUE(std::isnan(r.nll_sum[i]) && std::isnan(r.nll_sum_sq[i]));
      continue;
    }
    EXPECT_EQ(r.nll_sum[i], sum);
    EXPECT_EQ(r.nll_sum_sq[i], squares);
  }
}

TEST_F(ScoreRun, DocumentsEqualThoseSentThroughTheModelAlone) {
  const auto texts = write_corpus();
  for (const PolicyTraits& traits : kPolicies) {
    const Policy policy = traits.policy;
    SCOPED_TRACE(name_of(policy));
    RunOptions o = traced(std::string(name_of(policy)));
    o.cache.policy = policy;
    score(o);
    expect_equal_to_single_documents(Results(o.out), texts, o, false);
  }
}

TEST_F(ScoreRun, SumsAreThoseOfTheReference) {
  const auto texts = write_corpus();
  RunOptions o = traced();
  o.cache.policy = Policy::full;  // nothing to decide, so nothing to decide otherwise
  score(o);
  const Results r(o.out);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto reference = alone(tiny_ids(texts[i]), o.cache, DeviceKind::reference);
    double sum = 0.0;
    for (const float nll : reference.nll) sum += static_cast<double>(nll);
    EXPECT_NEAR(r.nll_sum[i], sum, 1e-4 * sum);  // two layers of float32
  }
}

TEST_F(ScoreRun, ChunksRestartTheState) {
  const auto texts = write_corpus();
  for (const Policy policy : {Policy::tova, Policy::tova_head}) {
    RunOptions o = traced(std::string(name_of(policy)));
    o.cache.policy = policy;
    o.cache.chunk_tokens = 50;
    score(o);
    expect_equal_to_single_documents(Results(o.out), texts, o, false);
  }
}

TEST_F(ScoreRun, ABosCountsWithinItsChunk) {
  const auto texts = write_corpus();
  for (const std::int32_t chunk : {0, 50, 256, 300}) {
    RunOptions o = traced("chunk" + std::to_string(chunk));
    o.bos = BosMode::always;
    o.cache.chunk_tokens = chunk;
    score(o);
    expect_equal_to_single_documents(Results(o.out), texts, o, true);
  }
}

TEST_F(ScoreRun, ChunksOfTwoHoldABosAndAToken) {
  const std::string text = digits(9, 1);
  d.write("corpus/a.txt", text);
  RunOptions o = traced();
  o.bos = BosMode::always;
  o.cache.chunk_tokens = 2;
  score(o);
  expect_equal_to_single_documents(Results(o.out), {text}, o, true);
}

TEST_F(ScoreRun, AutomaticBosDoesAsTheTokenizer) {
  d.write("corpus/a.txt", digits(20, 1));
  RunOptions o = options("without");
  score(o);
  EXPECT_EQ(Results(o.out).n_tokens.at(0), 20u);  // the tiny tokenizer adds none

  nlohmann::json tokenizer = testing::tiny_tokenizer_json(TinyModel{}.vocab_size);
  tokenizer["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single",
       {{{"SpecialToken", {{"id", "<|endoftext|>"}, {"type_id", 0}}}},
        {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
      {"pair", nlohmann::json::array()},
      {"special_tokens",
       {{"<|endoftext|>",
         {{"id", "<|endoftext|>"}, {"ids", {kBos}}, {"tokens", {"<|endoftext|>"}}}}}}};
  d.write("model/tokenizer.json", tokenizer.dump());
  o = traced("with");
  score(o);
  EXPECT_EQ(Results(o.out).n_tokens.at(0), 21u);
  EXPECT_EQ(Results(o.out).ids.at(0), kBos);
  EXPECT_EQ(Results(o.out).n_scored.at(0), 20u);
  o = options("never");
  o.bos = BosMode::never;
  score(o);
  EXPECT_EQ(Results(o.out).n_tokens.at(0), 20u);
}

TEST_F(ScoreRun, UnusualLengths) {
  const std::vector<std::size_t> lengths{1, 2, 15, 16, 17, 63, 64, 65, 255, 256, 257, 512, 513};
  std::vector<std::string> texts;
  for (const std::size_t n : lengths) {
    texts.push_back(digits(n, n));
    d.write("corpus/" + std::to_string(100 + texts.size()) + ".txt", texts.back());
  }
  d.write("corpus/empty.jsonl", "");
  const RunOptions o = traced();
  const RunSummary s = score(o);
  const Results r(o.out);
  expect_equal_to_single_documents(r, texts, o, false);
  EXPECT_EQ(r.n_tokens, std::vector<std::uint64_t>(lengths.begin(), lengths.end()));
  EXPECT_EQ(s.n_failed, 0u);
  EXPECT_EQ(s.n_documents, lengths.size());
  EXPECT_TRUE(std::isfinite(s.perplexity_token));
}

TEST_F(ScoreRun, OneTokenScoresNothing) {
  d.write("corpus/a.txt", "7");
  const RunSummary s = score(traced());
  const Results r(out());
  EXPECT_EQ(r.n_scored, std::vector<std::uint64_t>{0});
  EXPECT_TRUE(std::isnan(r.nll_sum.at(0)));
  EXPECT_TRUE(std::isnan(r.nll_sum_sq.at(0)));
  EXPECT_EQ(r.status, std::vector<std::string>{"unscored"});
  EXPECT_EQ(s.n_unscored, 1u);
  EXPECT_TRUE(std::isnan(s.perplexity_token));
}

// As "7" and a long word, whose words and bytes would count without any likelihood.
TEST_F(ScoreRun, DocumentsWithoutAScoredTokenChangeNoNumber) {
  d.write("corpus/a.txt", words(40, 1));
  d.write("corpus/b.txt", words(90, 2));
  const RunSummary without = score(options("without"));
  for (const char* name : {"0", "c", "d"}) d.write("corpus/" + std::string(name) + ".txt", "7");
  d.write("corpus/empty.jsonl", R"({"text": ""})"
                                "\n"
                                R"({"text": "5"})"
                                "\n");
  const RunSummary with = score(options("with"));
  EXPECT_EQ(with.n_documents, 7u);
  EXPECT_EQ(with.n_unscored, 4u);
  EXPECT_EQ(with.n_failed, 1u);  // the empty text
  for (const auto number : {&RunSummary::perplexity_token, &RunSummary::perplexity_token_se,
                            &RunSummary::perplexity_word, &RunSummary::perplexity_word_se,
                            &RunSummary::bits_per_byte, &RunSummary::bits_per_byte_se})
    EXPECT_EQ(with.*number, without.*number);
  EXPECT_EQ(with.n_words, without.n_words);
  EXPECT_EQ(with.n_bytes, without.n_bytes);
}

TEST_F(ScoreRun, BytesAndWordsAreThoseOfTheTexts) {
  d.write("corpus/a.txt", "one two\n");
  d.write("corpus/b.jsonl", "{\"text\": \"three\"}\n");
  const RunSummary s = score(options());
  EXPECT_EQ(s.n_bytes, 13u);
  EXPECT_EQ(s.n_words, 3u);
  EXPECT_GT(s.bits_per_byte, 0.0);
}

TEST_F(ScoreRun, ACorpusWithoutRecordsHasResultsWithoutDocuments) {
  d.write("corpus/a.jsonl", "\n\n");
  d.write("corpus/b.jsonl", "");
  const RunSummary s = score(traced());
  EXPECT_EQ(s.n_documents, 0u);
  EXPECT_TRUE(std::isnan(s.perplexity_token));
  EXPECT_TRUE(Results(out()).n_tokens.empty());
}

TEST_F(ScoreRun, LimitAndSkipChooseRecordsInOrder) {
  std::string lines;
  for (int i = 0; i < 10; ++i)
    lines += R"({"text":")" + digits(9, 1) + R"(","id":"d)" + std::to_string(i) + "\"}\n";
  d.write("corpus/a.jsonl", lines);
  RunOptions o = options();
  o.skip = 3;
  o.limit = 4;
  score(o);
  EXPECT_EQ(Results(out()).id, (std::vector<std::string>{"d3", "d4", "d5", "d6"}));
  o = options("past");
  o.skip = 8;
  o.limit = 100;
  score(o);
  EXPECT_EQ(Results(o.out).id, (std::vector<std::string>{"d8", "d9"}));
  o = options("most");
  o.skip = 9;
  o.limit = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(score(o).n_documents, 1u);
  o = options("none");
  o.skip = 11;
  EXPECT_EQ(score(o).n_documents, 0u);
}

TEST_F(ScoreRun, IdentifiersComeFromTheKey) {
  d.write("corpus/a.jsonl",
          "{\"body\":\"one "
          "two\",\"key\":\"first\"}\n{\"key\":17,\"body\":\"three\"}\n{\"body\":\"four\"}\n");
  RunOptions o = options();
  o.corpus.text_key = "body";
  o.corpus.id_key = "key";
  score(o);
  EXPECT_EQ(Results(out()).id, (std::vector<std::string>{"first", "17", "a.jsonl:3"}));
}

TEST_F(ScoreRun, BadRecordsAreListedAndCostNothingElse) {
  d.write("corpus/a.jsonl", kBadLines);
  const RunSummary s = score(options());
  EXPECT_EQ(s.n_documents, 7u);
  EXPECT_EQ(s.n_failed, 5u);
  const Results r(out());
  EXPECT_EQ(r.status, (std::vector<std::string>{"scored", "failed", "failed", "failed", "failed",
                                                "failed", "scored"}));
  EXPECT_TRUE(std::isnan(r.nll_sum[1]));
  EXPECT_GT(r.nll_sum[6], 0.0);
  EXPECT_EQ(r.failure_reason, (std::vector<std::string>{"invalid-json", "missing-key",
                                                        "not-a-string", "empty", "invalid-utf8"}));
  EXPECT_EQ(r.failure_line, (std::vector<std::uint64_t>{2, 3, 4, 5, 6}));
  EXPECT_EQ(r.failure_offset, (std::vector<std::uint64_t>{20, 29, 43, 54, 66}));
}

TEST_F(ScoreRun, StrictEndsAtTheFirstBadRecord) {
  d.write("corpus/a.jsonl", kBadLines);
  RunOptions o = options();
  o.strict = true;
  const std::string message = error_of([&] { score(o); });
  EXPECT_TRUE(contains(message, "a.jsonl, line 2, byte 20")) << message;
  EXPECT_FALSE(std::filesystem::exists(results_path(out())));
}

// What a start without --strict let pass, one with it does not.
TEST_F(ScoreRun, StrictHoldsForTheRecordsOfEarlierStarts) {
  d.write("corpus/a.jsonl", kBadLines);
  RunOptions o = options();
  score(o);
  o.strict = true;
  EXPECT_TRUE(contains(error_of([&] { score(o); }), "--strict"));
}

TEST_F(ScoreRun, TooManyBadRecordsAre65WithTheResultsWritten) {
  d.write("corpus/a.jsonl", kBadLines);
  RunOptions o = options();
  o.max_bad_fraction = 0.7;
  EXPECT_TRUE(contains(error_of([&] { score(o); }), "5 of 7 records"));
  EXPECT_EQ(Results(out()).id.size(), 7u);
  o.max_bad_fraction = 0.72;
  EXPECT_EQ(score(o).n_failed, 5u);
}

TEST_F(ScoreRun, AGgufFileGivesTheNumbersOfItsDirectory) {
  write_corpus();
  score(traced("hf"));
  RunOptions o = traced("gguf");
  write_gguf_model(TinyModel{}, d.path() / "model.gguf");
  o.model = d.path() / "model.gguf";
  score(o);
  const Results hf(out("hf")), gguf(out("gguf"));
  EXPECT_EQ(hf.ids, gguf.ids);
  EXPECT_EQ(hf.eviction_step, gguf.eviction_step);
  EXPECT_EQ(hf.nll_sum, gguf.nll_sum);
}

TEST_F(ScoreRun, WeightsThatAreNoNumbersFailTheDocumentsOnly) {
  const auto tensors = testing::tiny_tensors(TinyModel{});
  d.write("corpus/a.txt", digits(300, 1));
  d.write("corpus/b.txt", digits(5, 2));
  for (const PolicyTraits& traits : kPolicies) {
    const Policy policy = traits.policy;
    for (const float value :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      std::vector<testing::FileTensor> file;
      for (const auto& t : tensors) {
        std::vector<float> values = t.values;
        if (contains(t.hf_name, "q_proj") || contains(t.hf_name, "v_proj"))
          values.assign(values.size(), value);
        std::string bytes;
        for (const float v : values) bytes += testing::raw(v);
        file.push_back({t.hf_name, StorageType::f32, t.shape, bytes});
      }
      d.write("model/model.safetensors", testing::safetensors_file(file));
      RunOptions o = options(std::string(name_of(policy)) + (value > 0 ? "inf" : "nan"));
      o.cache.policy = policy;
      EXPECT_EQ(score(o).n_failed, 2u);
      EXPECT_EQ(Results(o.out).failure_reason,
                (std::vector<std::string>{"not-finite", "not-finite"}));
    }
  }
}

// A channel with a fault at the first message.
class FaultyChannel final : public LocalChannel {
 public:
  explicit FaultyChannel(bool throws) : throws_(throws) {}
  std::optional<Envelope> receive() override {
    if (throws_) throw Error(ExitCode::internal, "MPI_Iprobe failed");
    if (n_received_++ > 0) return LocalChannel::receive();
    return Envelope{0, Message(3, std::byte{1})};
  }

 private:
  bool throws_;
  int n_received_ = 0;
};

TEST_F(ScoreRun, AMessageThatIsNoneChangesNothing) {
  write_corpus();
  FaultyChannel channel(false);
  RunLaunch launch = lone_launch(channel);
  QuietObserver observer;
  EXPECT_EQ(run_corpus(options(), launch, observer)->n_documents, 7u);
}

TEST_F(ScoreRun, AFaultBeforeAnythingIsOverwrittenEndsTheRun) {
  write_corpus();
  RunOptions o = options();
  o.overwrite = true;
  FaultyChannel channel(true);
  RunLaunch launch = lone_launch(channel);
  QuietObserver observer;
  EXPECT_TRUE(contains(error_of([&] { run_corpus(o, launch, observer); }, ExitCode::internal),
                       "MPI_Iprobe"));
}

}  // namespace
}  // namespace tovamill
