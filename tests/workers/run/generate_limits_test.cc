// Generation where it could go on for ever, or go on from what is damaged.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "io/results/journal.h"
#include "kernels/types/error.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/generate_runs.h"
#include "tests/support/temporary_directory.h"
#include "workers/documents/state_pool.h"
#include "workers/load/loaded_model.h"
#include "workers/run/corpus_run.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::QuietObserver;
using testing::Results;
using testing::score;
using testing::TemporaryDirectory;
using testing::tiny_generation;
using testing::TinyModel;
using testing::words;
using testing::written_rows;
using testing::WrittenRow;

class GenerateLimits : public ::testing::Test {
 protected:
  GenerateLimits() { write_hf_model(TinyModel{}, d.path() / "model"); }

  RunOptions options(const std::string& name = "run") const {
    return tiny_generation(d.path() / "model", d.path() / "corpus", d.path() / name);
  }
  void write_records(const std::vector<nlohmann::json>& records) const {
    std::string lines;
    for (const nlohmann::json& r : records) lines += r.dump() + "\n";
    d.write("corpus/records.jsonl", lines);
  }

  TemporaryDirectory d;
};

// Two answers of half a piece each, and what stands between them, are more than a piece.
TEST_F(GenerateLimits, AnswersAsLongAsTheyMayBeBecomeFewer) {
  d.write("corpus/a.txt", words(60, 1));
  RunOptions o = options();
  o.generation.strategy = Strategy::chunk;
  o.cache.chunk_tokens = 32;
  o.generation.max_new_tokens = o.generation.min_new_tokens = 16;
  score(o);
  const std::vector<WrittenRow> rows = written_rows(o.out);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].n_new, 16u);
}

TEST_F(GenerateLimits, ALongInstructionIsRefusedInPiecesToo) {
  d.write("corpus/a.txt", words(60, 1));
  d.write("prompt.txt", words(40, 2) + "\n{document}");
  RunOptions o = options();
  o.generation.strategy = Strategy::chunk;
  o.cache.chunk_tokens = 64;
  o.generation.prompt_file = d.path() / "prompt.txt";
  o.generation.pin_instruction = true;
  read_prompt_file(o.generation);
  score(o);
  EXPECT_EQ(Results(o.out).failure_reason, std::vector<std::string>{"instruction-too-long"});
}

// A document that fits the memory once, but not beside a copy, is read by each answer.
TEST_F(GenerateLimits, ADocumentThatFitsOnceIsAnsweredTwice) {
  const std::vector<std::string> questions{"where is the cat?", "who watches?"};
  write_records({{{"text", words(500, 5)}, {"question", questions}}});
  RunOptions o = options("roomy");
  o.generation.task = TaskChoice::qa;
  o.cache.policy = Policy::full;
  o.streams = 2;
  score(o);
  const std::vector<WrittenRow> roomy = written_rows(o.out);
  ASSERT_EQ(roomy.size(), 2u);
  std::size_t n_tight = 0;
  for (std::uint64_t kib = 4096; kib < 65536 && n_tight == 0; kib += kib / 16) {
    o.out = d.path() / ("tight" + std::to_string(kib));
    o.memory_budget = kib << 10;
    try {
      score(o);
    } catch (const Error&) {
      continue;  // not even the workspace fits
    }
    if (!Results(o.out).failure_reason.empty()) continue;
    const std::vector<WrittenRow> tight = written_rows(o.out);
    ASSERT_EQ(tight.size(), 2u);
    for (std::size_t q = 0; q < 2; ++q) EXPECT_EQ(tight[q].ids, roomy[q].ids);
    ++n_tight;
    EXPECT_GT(Results(o.out).n_tokens[0], Results(d.path() / "roomy").n_tokens[0])
        << "the smallest budget that does has no room for a copy";
  }
  EXPECT_EQ(n_tight, 1u);
}

// The workspace grows with the longest state.
TEST_F(GenerateLimits, StatesAndTheWorkspaceTheyNeedShareOneBudget) {
  RunOptions o = options();
  o.cache.policy = Policy::full;
  const LoadedModel model = load_model(open_model(o.model), o, 4, std::uint64_t{1} << 32);
  Backend& backend = *model.backend;
  const std::uint64_t budget = 64u << 20, before = backend.workspace_bytes();
  StatePool pool(backend, 8, budget, false);
  for (const std::int32_t n_states : {1, 2}) {
    SCOPED_TRACE(n_states);
    const std::uint64_t each = pool.most_bytes(n_states);
    const auto all = [&](std::int64_t n) {
      return static_cast<std::uint64_t>(n_states) * pool.bytes_of(n, 0) +
             backend.workspace_bytes_for(n, false) - before;
    };
    std::int64_t n = 1;
    while (pool.bytes_of(n + 1, 0) <= each) ++n;
    EXPECT_GT(n, 1000);
    EXPECT_LE(all(n), budget);
    EXPECT_GT(all(n + 1), budget);
  }
  const StatePool::StateHandle one = pool.take(pool.most_bytes(2));
  EXPECT_FALSE(pool.has_room(pool.most_bytes(1)));
  const StatePool::StateHandle two = pool.take(pool.most_bytes(2));
  EXPECT_TRUE(one && two);
  EXPECT_FALSE(pool.take(pool.most_bytes(2)));
}

// Changes one byte of a state's payload, so that its checksum is right again.
void damage(const fs::path& path, std::mt19937_64& random) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  in.close();
  const std::size_t body = bytes.size() - 4, front = bytes.find("records.jsonl");
  ASSERT_LT(front, body - 4000);
  // Half of the times where no model's numbers stand.
  const std::size_t at = front + random() % (random() % 2 ? 4000 : body - front);
  bytes[at] = static_cast<char>(bytes[at] + 1 + static_cast<char>(random() % 255));
  const std::uint32_t crc = crc32c(std::as_bytes(std::span(bytes.data(), body)));
  std::memcpy(bytes.data() + body, &crc, sizeof crc);
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST_F(GenerateLimits, ARunEndsWhateverStandsInTheStatesItFinds) {
  const std::vector<std::string> questions{"where is the cat?", "who watches?", "why rain?"};
  write_records({{{"text", words(20, 4)}, {"question", "why?"}},
                 {{"text", words(6'000, 5)}, {"question", questions}},
                 {{"text", words(9'000, 6)}, {"question", questions}}});
  RunOptions o = options("stopped");
  o.generation.task = TaskChoice::qa;
  o.generation.max_new_tokens = 200;
  o.streams = 4;
  o.block = 32;
  QuietObserver observer(1);
  EXPECT_THROW(run_corpus(o, observer), Error);
  ASSERT_TRUE(fs::exists(d.path() / "stopped" / "states"));
  std::mt19937_64 random(1);
  std::size_t n_damaged = 0;
  for (int i = 0; i < 8; ++i) {
    const fs::path copy = d.path() / "copy";
    fs::remove_all(copy);
    fs::copy(d.path() / "stopped", copy, fs::copy_options::recursive);
    for (const fs::directory_entry& e : fs::directory_iterator(copy / "states")) {
      damage(e.path(), random);
      ++n_damaged;
    }
    RunOptions again = o;
    again.out = copy;
    score(again);
    EXPECT_EQ(written_rows(again.out).size(), 7u);
  }
  EXPECT_GE(n_damaged, 8u);
}

}  // namespace
}  // namespace tovamill
