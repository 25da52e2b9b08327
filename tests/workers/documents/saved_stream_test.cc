// A document that is stopped between two steps and taken up by another process comes out as if
// nothing had happened, to the bit.

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <optional>
#include <random>

#include "kernels/types/error.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/row_step.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/temporary_directory.h"
#include "workers/documents/document_stream.h"
#include "workers/load/loaded_model.h"

namespace tovamill {
namespace {

using testing::digits;
using testing::TemporaryDirectory;
using testing::TinyModel;
using testing::words;

constexpr TokenId kBos = 319;  // of the tiny tokenizer: its end of text

// A worker with the tiny model, and what its documents have in common.
struct Worker {
  Worker(const std::string& path, const RunOptions& options, int n_threads)
      : model(load_model(open_model(path), options, n_threads, std::uint64_t{1} << 30)) {
    const ModelShape& shape = model.config.shape;
    setting = {
        .n_layers = shape.n_layers,
        .n_eviction_groups = n_eviction_groups(options.cache, shape),
        .vocab_size = shape.vocab_size,
        .block = model.plan.block,
        .chunk_tokens = options.cache.chunk_tokens,
        .leading = options.bos == BosMode::always ? std::vector{kBos} : std::vector<TokenId>{},
        .trailing = {},
        .keep_tokens = options.token_nll || options.trace_state,
        .keep_eviction_steps = options.trace_state,
        .analysis = analysis_setting(options),
        .positions = static_cast<std::uint8_t>(options.cache.positions),
        .clip_distance = clip_distance(options.cache, shape)};
    tokenizer.emplace(*model.tokenizer, 0, classifier_of(options, *model.tokenizer));
  }
  // On a state that this worker has used before, if it has.
  std::unique_ptr<DocumentStream> start(const CorpusRecord& record) {
    std::unique_ptr<StreamState> state = used ? std::move(used) : model.backend->make_state();
    return std::make_unique<DocumentStream>(setting, *model.backend, record,
                                            tokenizer->start(record.text, false), std::move(state));
  }
  void step(DocumentStream& stream) {
    std::vector<std::int32_t> ids, targets;
    const StepBlock block = stream.next_block(0, ids, targets);
    stream.advance(
        model.runner->run({.blocks = std::span(&block, 1), .ids = ids, .targets = targets}), block,
        0);
  }
  // Bytes, for NaNs do not compare.
  std::vector<std::byte> finish(DocumentStream& stream) {
    while (!stream.finished()) step(stream);
    const DocumentRecord record = stream.finish(0);
    EXPECT_EQ(record.status, DocumentRecord::Status::scored) << record.failure_text;
    used = stream.release_state();
    return encode(record);
  }

  LoadedModel model;
  std::optional<TokenizerThreads> tokenizer;
  StreamSetting setting;
  std::unique_ptr<StreamState> used;
};

CorpusRecord document(const std::string& text) {
  CorpusRecord record;
  record.id = "a.txt";
  record.file = "/corpus/a.txt";
  record.n_bytes = text.size();
  record.text = text;
  return record;
}

class SavedStream : public ::testing::Test {
 protected:
  SavedStream() { write_hf_model(TinyModel{}, d.path() / "model"); }
  std::string model() const { return d.path() / "model"; }
  static RunOptions options(const CacheOptions& cache) {
    RunOptions o = testing::tiny_options("", "", "");
    o.cache = cache;
    o.token_nll = o.trace_state = o.nll_by_position = o.analyze = true;
    return o;
  }

  // Stops after every `n_blocks` blocks; the document goes to and fro between two workers.
  void expect_undisturbed(const RunOptions& o, const CorpusRecord& record, int n_blocks) {
    Worker first(model(), o, 2), second(model(), o, 1);
    const std::vector<std::byte> expected = first.finish(*first.start(record));
    second.finish(*second.start(document(digits(700, 9))));
    Worker *here = &second, *there = &first;
    std::unique_ptr<DocumentStream> stream = here->start(record);
    int n_stops = 0;
    while (true) {
      for (int i = 0; i < n_blocks && !stream->finished(); ++i) here->step(*stream);
      if (stream->finished()) break;
      const std::vector<std::byte> saved = stream->save();
      const std::uint64_t n_done = stream->n_done();
      std::swap(here, there);
      there->used = stream->release_state();
      stream = here->start(record);
      ASSERT_TRUE(stream->restore(saved));
      EXPECT_EQ(stream->n_done(), n_done);
      EXPECT_EQ(stream->save(), saved);
      ++n_stops;
    }
    EXPECT_GT(n_stops, 1);
    EXPECT_TRUE(here->finish(*stream) == expected);
  }

  TemporaryDirectory d;
};

TEST_F(SavedStream, GoesOnToTheBitWithEveryPolicy) {
  const CorpusRecord record = document(words(2500, 1));
  for (const PolicyTraits& traits : kPolicies) {
    const Policy policy = traits.policy;
    for (const Positions positions : {Positions::clipped, Positions::in_state}) {
      SCOPED_TRACE(std::string(name_of(policy)) + " " + std::string(name_of(positions)));
      CacheOptions cache{.policy = policy, .cache_size = 48, .positions = positions};
      if (traits.takes(kTakesSinks)) cache.sinks = 4;
      expect_undisturbed(options(cache), record, 3);
    }
  }
}

TEST_F(SavedStream, GoesOnToTheBitWithMergedTokensAndLayersOfTwoSizes) {
  const CorpusRecord record = document(words(2500, 4));
  for (const Policy policy : {Policy::tova, Policy::tova_ema}) {
    for (const std::int32_t merge : {0, 8}) {
      for (const bool differ : {false, true}) {
        if (merge == 0 && !differ) continue;
        SCOPED_TRACE(std::string(name_of(policy)) + " " + std::to_string(merge));
        CacheOptions cache{.policy = policy, .cache_size = 48, .pin = 2, .merge = merge};
        if (differ) cache.layer_sizes = {70, 26};
        expect_undisturbed(options(cache), record, 3);
        cache.chunk_tokens = 700;
        RunOptions small = options(cache);
        small.block = 100;  // no merge interval ends with one
        expect_undisturbed(small, record, 1);
      }
    }
  }
}

TEST_F(SavedStream, GoesOnToTheBitInChunks) {
  const CorpusRecord record = document(digits(3000, 2));
  for (const std::int32_t chunk : {256, 300, 700}) {
    for (const BosMode bos : {BosMode::always, BosMode::never}) {
      SCOPED_TRACE(chunk);
      RunOptions o = options({.policy = Policy::tova_head, .cache_size = 40});
      o.cache.chunk_tokens = chunk;
      o.bos = bos;
      expect_undisturbed(o, record, 1);
    }
  }
}

TEST_F(SavedStream, GoesOnToTheBitWithAndWithoutTokens) {
  const CorpusRecord record = document(digits(2000, 3));
  for (const bool keep : {false, true}) {
    RunOptions o = options({.cache_size = 40});
    o.token_nll = keep;
    o.trace_state = false;
    o.nll_by_position = o.analyze = keep;
    o.block = 100;
    expect_undisturbed(o, record, 2);
  }
}

TEST_F(SavedStream, RemembersATokenWithoutALikelihood) {
  const CorpusRecord record = document(digits(600, 7));
  Worker worker(model(), options({.cache_size = 40}), 1);
  const auto stream = worker.start(record);
  std::vector<std::int32_t> ids, targets;
  const StepBlock block = stream->next_block(0, ids, targets);
  const StepOutput out =
      worker.model.runner->run({.blocks = std::span(&block, 1), .ids = ids, .targets = targets});
  std::vector<float> nll(out.nll.begin(), out.nll.end());
  nll[5] = std::numeric_limits<float>::quiet_NaN();
  stream->advance({.nll = nll, .events = out.events, .n_blocks = out.n_blocks}, block, 0);
  const auto fresh = worker.start(record);
  ASSERT_TRUE(fresh->restore(stream->save()));
  while (!fresh->finished()) worker.step(*fresh);
  const DocumentRecord failed = fresh->finish(0);
  EXPECT_EQ(failed.failure_reason, "not-finite");
  EXPECT_NE(failed.failure_text.find("for token 6 of"), std::string::npos) << failed.failure_text;
}

// A lease that begins elsewhere in the file numbers its lines anew, and accounts for other blanks.
TEST_F(SavedStream, KeepsThePlaceThatTheNewLeaseGives) {
  const RunOptions o = options({});
  Worker worker(model(), o, 1);
  CorpusRecord before = document(digits(1500, 2));
  before.line = 7;
  before.id = "a.jsonl:7";
  before.span_begin = 0;
  before.n_lines = 7;
  CorpusRecord after = before;
  after.line = 0;
  after.id = "";
  after.span_begin = 40;
  after.n_lines = 2;
  const std::vector<std::byte> expected = worker.finish(*worker.start(after));
  std::unique_ptr<DocumentStream> stream = worker.start(before);
  for (int i = 0; i < 3; ++i) worker.step(*stream);
  const std::vector<std::byte> saved = stream->save();
  worker.used = stream->release_state();
  stream = worker.start(after);
  ASSERT_TRUE(stream->restore(saved));
  EXPECT_GT(stream->n_done(), 0u);
  EXPECT_EQ(worker.finish(*stream), expected);
}

TEST_F(SavedStream, IsRefusedForAnotherTextOrSetting) {
  const CorpusRecord record = document(digits(1000, 4));
  const RunOptions o = options({.cache_size = 40, .chunk_tokens = 700});
  Worker worker(model(), o, 1);
  const std::vector<std::byte> expected = worker.finish(*worker.start(record));
  const auto stream = worker.start(record);
  worker.step(*stream);
  const std::vector<std::byte> saved = stream->save();
  const auto refuses = [&](Worker& other, const CorpusRecord& its) {
    const auto fresh = other.start(its);
    EXPECT_FALSE(fresh->restore(saved));
    EXPECT_EQ(fresh->n_done(), 0u);
    return other.finish(*fresh);
  };
  CorpusRecord changed = record;
  changed.text.back() = changed.text.back() == '1' ? '2' : '1';
  refuses(worker, changed);
  changed = record;
  changed.text += "1";
  refuses(worker, changed);
  changed = record;
  changed.offset = 7;
  refuses(worker, changed);

  const std::vector<std::function<void(RunOptions&)>> changes{
      [](RunOptions& c) { c.cache.cache_size = 41; },
      [](RunOptions& c) { c.cache.merge = 4; },
      [](RunOptions& c) {
        c.cache.layer_sizes = {50, 30};
      },
      [](RunOptions& c) { c.block = 128; },
      [](RunOptions& c) { c.cache.chunk_tokens = 701; },
      [](RunOptions& c) { c.trace_state = false; },
      [](RunOptions& c) { c.nll_by_position = false; },
      [](RunOptions& c) { c.position_bin = 64; },
      [](RunOptions& c) { c.analyze = false; },
      [](RunOptions& c) { c.bos = BosMode::always; },
      [](RunOptions& c) { c.cache.positions = Positions::absolute; }};
  for (const auto& change : changes) {
    RunOptions other = o;
    change(other);
    Worker another(model(), other, 1);
    const std::vector<std::byte> undisturbed = another.finish(*another.start(record));
    EXPECT_TRUE(refuses(another, record) == undisturbed) << "a stream that refused is fresh";
  }
  const auto fresh = worker.start(record);
  EXPECT_FALSE(fresh->restore({}));
  ASSERT_TRUE(fresh->restore(saved));
  EXPECT_TRUE(worker.finish(*fresh) == expected);
}

// Damage that no checksum caught: refused, or a document of other numbers.
TEST_F(SavedStream, ThatIsDamagedDoesNoHarm) {
  const CorpusRecord record = document(digits(600, 5));
  for (const Policy policy : {Policy::tova_ema, Policy::window, Policy::full}) {
    Worker worker(model(), options({.policy = policy, .cache_size = 8}), 1);
    const auto stream = worker.start(record);
    worker.step(*stream);
    const std::vector<std::byte> saved = stream->save();
    std::mt19937 random(6);
    for (std::size_t n = 0; n < saved.size(); n += 1 + random() % (n < 300 ? 2 : saved.size() / 90))
      EXPECT_FALSE(worker.start(record)->restore(std::span(saved).first(n))) << n;
    int n_restored = 0;
    for (std::size_t at = 0; at < saved.size();
         at += testing::row_step(6) * (1 + random() % (at < 600 ? 2 : saved.size() / 300))) {
      std::vector<std::byte> flipped = saved;
      flipped[at] ^= static_cast<std::byte>(1u << random() % 8);
      const auto fresh = worker.start(record);
      if (fresh->restore(flipped)) {
        ++n_restored;
        while (!fresh->finished()) worker.step(*fresh);
        fresh->finish(0);
      } else {
        EXPECT_EQ(fresh->n_done(), 0u);
      }
      worker.used = fresh->release_state();
    }
    EXPECT_GT(n_restored, 0) << "counts may be any";
  }
}

}  // namespace
}  // namespace tovamill
