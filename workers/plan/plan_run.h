// What a run with these options would be, without running it: corpus, shards, memory, time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/corpus/left_out.h"
#include "workers/load/memory_plan.h"
#include "workers/options/run_options.h"
#include "workers/plan/calibration.h"
#include "workers/plan/plan_corpus.h"

namespace tovamill {

// Bytes, of one rank.
struct MemoryPlan {
  std::uint64_t weight_bytes = 0;
  std::uint64_t state_bytes = 0;  // of one stream
  std::uint64_t all_states_bytes = 0;
  std::uint64_t workspace_bytes = 0;
  std::uint64_t buffer_bytes = 0;
  std::uint64_t file_bytes = 0;       // of the model on disk: page cache; 0 where it has no files
  std::uint64_t available_bytes = 0;  // that are free or freeable on this machine

  std::uint64_t needed_bytes() const {
    return weight_bytes + all_states_bytes + workspace_bytes + buffer_bytes;
  }
};

// The writing of `summarize` and `generate`. Tokens are estimates; those written and the time hold
// where each text takes --max-new-tokens, none ending before.
struct WritingPlan {
  std::string prompt;              // "chat template chatml, task summary"
  std::int32_t prompt_tokens = 0;  // around a document, with a question of the sample
  double n_texts = 0.0;
  bool texts_are_exact = false;
  double n_read = 0.0;     // documents, and what stands around them
  double n_written = 0.0;  // of all texts, those of chunks included
};

struct RunPlan {
  Job job = Job::score;
  std::string model, tokenizer, device, dtype;
  std::vector<std::string> settings;  // of a sweep: memory and time below are those of all
  std::int32_t n_ranks = 1;
  std::vector<LayerRange> stages;  // of the model; the ranks form groups of so many
  std::int32_t n_threads = 1;      // of each rank
  std::int32_t n_cores = 1;        // of this machine, usable
  StepPlan step;
  CorpusPlan corpus;
  LeftOut left_out;  // of the corpus
  ShardPlan shards;
  MemoryPlan memory;                        // of the stage that needs most
  std::vector<std::uint64_t> stage_memory;  // bytes that each stage needs
  std::string rejection;  // why the run would not start on this machine; empty where it would
  std::optional<WritingPlan> writing;  // unless it scores
  std::optional<Calibration> calibration;

  // That work side by side, each at a document of its own: ranks, or groups of them.
  std::int32_t n_eviction_groups() const;
  double tokens_per_second() const;   // read by all ranks; 0 without a calibration
  double written_per_second() const;  // the same
  double largest_share() const;  // of the tokens, that stand in the largest file that cannot be cut
  // Computing, loading and merging aside: what the ranks share, or the largest file alone where
  // that takes longer. 0 without a calibration.
  double seconds() const;
  bool largest_decides() const;  // whether it takes longer alone than a fair share of the corpus
};

struct PlanSetting {
  std::int32_t n_ranks = 1;  // 1 with stages: one group of them
  std::int32_t n_threads = 1;
  bool calibrates = true;
};

// Reads the model's files, a sample of the corpus, and measures a few steps. Throws as a run would
// for what is wrong with the options, the model or the corpus; too little memory is a reason to
// reject it.
RunPlan plan_run(const RunOptions& options, const PlanSetting& setting);

}  // namespace tovamill
