// The corpus of a probe: a record of JSON lines for each task, length, depth and sample, long as
// wanted in the model's own tokens. A document depends on its task, length, depth, sample, the
// seed, the tokenizer and the filler alone; those of one sample differ in the depth alone.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/tokenizer.h"
#include "pipeline/probe/probe_key.h"
#include "workers/options/run_options.h"
#include "workers/probe/probe_task.h"

namespace tovamill {

// Counts up when the same options give other texts.
inline constexpr int kProbeVersion = 1;
// Of the file in the run directory that the documents are read from.
inline constexpr const char* kProbeCorpusName = "probe.jsonl";
std::string probe_corpus_path(const std::string& run_directory);

struct ProbeDocument {
  ProbeKey key;
  std::string text, question;
  std::vector<std::string> keys;   // of a right answer
  std::uint64_t n_tokens = 0;      // of the text, without BOS
  std::vector<std::size_t> where;  // byte offsets of what is hidden, in its order
};

class ProbeCorpus {
 public:
  // All outlive the object. Throws Error(usage or configuration) as validate does.
  ProbeCorpus(const Tokenizer& tokenizer, const RunOptions& options);

  // In the order of the records: by task, length, depth and sample.
  const std::vector<ProbeKey>& keys() const { return keys_; }
  // As many tokens as wanted, or as few less as a word more would take. Throws
  // Error(configuration) where what is hidden alone has more.
  ProbeDocument document(const ProbeKey& key) const;
  // {"id", "text", "question", "reference": [...], "task", "length", "depth", "sample", "tokens"},
  // a line each.
  void write(std::ostream& out) const;

 private:
  std::uint64_t n_tokens(std::string_view text) const;
  template <class Compose>
  std::string longest(const ProbeKey& key, std::size_t n_least, Compose&& compose,
                      std::uint64_t& n) const;

  const Tokenizer& tokenizer_;
  const RunOptions& options_;
  std::vector<std::string_view> sentences_;  // of --haystack
  std::vector<ProbeKey> keys_;
};

// Whether a file begins as a corpus of this program does.
bool is_probe_corpus(const std::string& path);
// Reads --haystack's file into the options. Throws Error(no_input) where it cannot be read, BadData
// for one that is no UTF-8 or holds no word.
void read_haystack(ProbeOptions& options);

}  // namespace tovamill
