// What a corpus holds, counted where that is cheap and estimated from a sample elsewhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/tokenizer/tokenizer.h"
#include "io/corpus/corpus.h"
#include "io/corpus/corpus_sample.h"
#include "workers/options/run_options.h"

namespace tovamill {

// The files of one format. Estimates are fractional.
struct KindPlan {
  std::string name;  // ".txt", ".jsonl.zst"
  bool is_one_record = false;
  std::uint64_t n_files = 0;
  std::uint64_t n_bytes = 0;     // on disk
  double n_documents = 0.0;      // bad records included
  double n_bad = 0.0;            // of these
  double n_questions = 0.0;      // of the good ones; one of a record that asks nothing
  double n_text_bytes = 0.0;     // of the good ones, decompressed and decoded
  double tokens_per_byte = 0.0;  // of text; a BOS is not counted
  bool is_exact = false;         // every file was read whole
};

// The largest part of a corpus that one rank must read alone.
struct LargestFile {
  std::string path;
  std::uint64_t n_bytes = 0;
  double n_tokens = 0.0;
};

struct CorpusPlan {
  std::vector<KindPlan> kinds;
  std::uint64_t n_files = 0;
  std::uint64_t n_bytes = 0;
  double n_documents = 0.0, n_bad = 0.0, n_text_bytes = 0.0;
  double n_questions = 0.0;          // as in KindPlan
  std::string question;              // one of them, empty where no record of the sample has any
  double n_tokens = 0.0;             // as a run would process them, each BOS included
  bool documents_are_exact = false;  // counted, not estimated
  bool tokens_are_exact = false;
  std::uint64_t n_places = 0;         // looked at
  std::uint64_t n_sampled_bytes = 0;  // of text that went through the tokenizer
  LargestFile largest;                // without a path: every file can be cut
  std::vector<TokenId> ids;           // of the sample, up to 16,384

  double tokens_per_document() const;  // of the good ones; 0 without any
};

// `has_bos`: one stands before each document or chunk. --skip and --limit count: exactly where
// every file is one document, else as that share of an average corpus. Throws as the tokenizer
// does.
CorpusPlan plan_corpus(std::vector<CorpusFile> files, const RunOptions& options,
                       const Tokenizer& tokenizer, bool has_bos, const SampleBudget& budget = {});

// How the coordinator will cut the corpus: shards of about 1/16 of a rank's part, at most 64 MiB.
struct ShardPlan {
  std::uint64_t most_bytes = 0;
  std::uint64_t n_shards = 0;
  std::uint64_t n_cut_files = 0;    // larger than a shard, and can be cut
  std::uint64_t n_whole_files = 0;  // all others
};
ShardPlan plan_shards(const std::vector<CorpusFile>& files, std::int32_t n_ranks);

}  // namespace tovamill
