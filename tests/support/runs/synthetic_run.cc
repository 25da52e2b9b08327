#include "tests/support/runs/synthetic_run.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <span>

#include "io/results/journal.h"
#include "pipeline/run_directory/run_directory.h"

namespace tovamill::testing {
namespace {

void fill_layer(LayerCounters& c, std::mt19937& random, std::uint64_t n_tokens) {
  c.n_attended = 3 * n_tokens;
  for (int i = 0; i < 20; ++i) {
    const std::uint64_t lifetime = random() % 5000;
    ++c.n_evictions;
    ++c.lifetime[static_cast<std::size_t>(log_bin(lifetime))];
    c.evicted_weight += 1e-3 * static_cast<double>(random() % 1000);
  }
  c.n_survivors = 8;
  c.n_recent = random() % 9;
  for (int i = 0; i < 8; ++i) ++c.survivor_age[random() % 6];
  for (std::size_t b = 0; b < 6; ++b) {
    c.first_token_reached[b] = 1;
    c.first_token_kept[b] = random() % 2;
  }
}

std::string some_text(std::mt19937& random) {
  constexpr std::array<const char*, 6> kWords{
      "a",          "caf\xc3\xa9", "\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\x99\x82",
      "\"quoted\"", "line\nbreak"};
  std::string text;
  for (unsigned n = random() % 8 == 0 ? 400 : random() % 6; n > 0; --n)
    text.append(text.empty() ? "" : " ").append(kWords[random() % kWords.size()]);
  return text;
}

Generation some_generation(std::mt19937& random, std::uint32_t question, std::uint32_t sample,
                           std::uint64_t n_document_tokens) {
  Generation g;
  g.question = question;
  g.sample = sample;
  if (question > 0) g.question_text = "question " + std::to_string(question) + ", \xc3\xa9?";
  g.text = some_text(random);
  g.n_prompt_tokens = n_document_tokens + 10;
  for (std::uint64_t n = random() % 9; n > 0; --n)
    g.ids.push_back(static_cast<std::int32_t>(random() % 500));
  g.n_new_tokens = g.ids.size();
  g.finish_reason = random() % 3 == 0 ? FinishReason::stop : FinishReason::length;
  g.prompt_hash = "0123456789abcdef";
  for (std::size_t i = g.prompt_hash.size(); i-- > 8;)
    g.prompt_hash[i] = "0123456789abcdef"[random() % 16];
  for (std::uint32_t n = random() % 3; n > 0; --n) g.references.push_back(some_text(random));
  if (g.references.empty()) return g;
  g.scores.emplace();
  for (auto* values : {&g.scores->best, &g.scores->mean}) {
    for (double& x : *values) x = static_cast<double>(random() % 1000) / 999.0;
  }
  return g;
}

std::span<const std::byte> bytes_of(const std::string& s) { return std::as_bytes(std::span(s)); }

}  // namespace

DocumentRecord synthetic_document(int i, const SyntheticOptions& o) {
  std::mt19937 random(static_cast<unsigned>(i));
  DocumentRecord r;
  r.file = "/corpus/part-" + std::to_string(i % 7) + ".jsonl";
  r.line = static_cast<std::uint64_t>(i / 7 + 1);
  r.offset = static_cast<std::uint64_t>(i / 7) * 1000;
  r.id = "doc \"" + std::to_string(i) + "\", \xc3\xa9";
  r.rank = i % 4;
  r.seconds = 0.25;
  if (i % 10 == 3) {
    r.status = DocumentRecord::Status::failed;
    r.failure_reason = "invalid-json";
    r.failure_text = r.file + ":" + std::to_string(r.line) + ": broken JSON at byte 5 of the line";
    return r;
  }
  r.n_tokens = 1 + random() % static_cast<unsigned>(2 * o.mean_tokens);
  r.n_scored = r.n_tokens - 1;
  r.n_words = i % 50 == 7 ? 0 : 1 + r.n_tokens / 2;
  r.n_bytes = 4 * r.n_tokens;
  r.clip_distance = 7936;
  if (o.generations) {
    r.n_scored = 0;
    for (std::uint32_t q = 0, n = i % 5 == 4 ? 0 : 1 + random() % 3; q < n; ++q) {
      for (const std::uint32_t sample : {0u, 1u})
        r.generations.push_back(some_generation(random, q, sample, r.n_tokens));
    }
  }
  for (std::uint64_t t = 0; t < r.n_tokens; ++t) {
    const float nll = t == 0 ? std::numeric_limits<float>::quiet_NaN()
                             : static_cast<float>(random() % 9000) / 1000;
    if (t > 0 && !o.generations) {
      r.nll_sum += nll;
      r.nll_sum_sq += static_cast<double>(nll) * nll;
    }
    if (o.tokens || o.trace) r.token_ids.push_back(static_cast<std::int32_t>(random() % 500));
    if (o.tokens || o.trace) r.token_nll.push_back(nll);
  }
  r.layers.resize(static_cast<std::size_t>(o.n_layers));
  for (LayerCounters& layer : r.layers) fill_layer(layer, random, r.n_tokens);
  for (std::int32_t id = static_cast<std::int32_t>(random() % 5); id < 500;
       id += 1 + static_cast<int>(random() % 100))
    r.token_lifetimes.push_back({id, 1 + random() % 5, random() % 10000});
  if (o.trace) {
    for (std::size_t n = r.layers.size() * r.n_tokens; n > 0; --n)
      r.eviction_step.push_back(static_cast<std::int32_t>(random() % 100) - 1);
  }
  return r;
}

std::vector<DocumentRecord> synthetic_documents(int n, const SyntheticOptions& options) {
  std::vector<DocumentRecord> records;
  for (int i = 0; i < n; ++i) records.push_back(synthetic_document(i, options));
  return records;
}

ResultsHeader synthetic_header(const std::string& policy, std::int64_t cache_size) {
  return {.fingerprint = R"({"policy":")" + policy + R"(","chunk-tokens":"0"})",
          .model = "/models/m.gguf (llama, 3 layers)",
          .tokenizer = "tokenizer",
          .policy = policy,
          .positions = "clipped",
          .cache_size = cache_size,
          .config = "policy = " + policy + "\n",
          .program_version = "0.1.0",
          .git_hash = "abc",
          .complete = true,
          .created = "2025-01-01T00:00:00Z",
          .command = "tovamill score",
          .host = "node",
          .slurm_job = "",
          .history = "one\ntwo"};
}

void write_journal(const std::string& run_directory, int rank, int launch,
                   const std::vector<DocumentRecord>& documents, bool killed) {
  create_run_directory(run_directory);
  JournalWriter writer(journal_path(run_directory, rank, launch));
  const bool generates = std::any_of(documents.begin(), documents.end(),
                                     [](const auto& r) { return !r.generations.empty(); });
  const std::string header = R"({"fingerprint":"f","host":"node)" + std::to_string(rank) +
                             R"(","device":"CPU","job":")" + (generates ? "generate" : "score") +
                             "\"}";
  writer.append(JournalEntry::header, bytes_of(header));
  for (const DocumentRecord& r : documents) writer.append(JournalEntry::document, encode(r));
  if (!killed)
    writer.append(
        JournalEntry::footer,
        bytes_of(R"({"seconds_computing":1.5,"seconds_waiting":0.25,"seconds_writing":0.125})"));
}

}  // namespace tovamill::testing
