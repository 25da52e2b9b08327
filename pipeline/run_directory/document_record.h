// All that a finished or failed document contributes to the results. Workers append these records
// to their journals, and the merge reads them; nothing else of a document is kept.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/run_directory/document_analysis.h"

namespace tovamill {

// Histograms of token counts use power-of-two bins: bin b counts values in [2^b, 2^(b+1)), bin 0
// also the value 0.
inline constexpr int kLogBins = 32;
using LogHistogram = std::array<std::uint64_t, kLogBins>;
int log_bin(std::uint64_t value);

// Statistics of the state of one layer over a document. Head-wise policies count every KV head's
// decision (n_eviction_groups of them).
struct LayerCounters {
  std::uint64_t n_evictions = 0;
  std::uint64_t n_attended = 0;   // tokens attended, summed over queries (and groups)
  LogHistogram lifetime{};        // of evicted tokens: steps from appending to eviction
  LogHistogram survivor_age{};    // at the end of each chunk: last step - first step
  std::uint64_t n_survivors = 0;  // tokens in the state at the end of each chunk
  std::uint64_t n_recent = 0;  // ... of these, as many as a window of the same size would also hold
  // By log bin of the step: of the chunks that reached step 2^b, those whose first token was still
  // in the state then.
  LogHistogram first_token_kept{};
  LogHistogram first_token_reached{};
  double evicted_weight = 0.0;  // sum over evictions of the attention weight at eviction

  bool operator==(const LayerCounters&) const = default;
};

// Per vocabulary id: how many (token, layer, group) entries it had and how long they lived (to
// eviction or chunk end).
struct TokenLifetime {
  std::int32_t id = 0;
  std::uint64_t count = 0;
  std::uint64_t lifetime = 0;  // steps, summed

  bool operator==(const TokenLifetime&) const = default;
};

// Why a generated text ends.
enum class FinishReason : std::uint8_t {
  stop = 0,    // the model's end token, or a stop string
  length = 1,  // the greatest number of new tokens
};
std::string_view name_of(FinishReason reason);  // "stop", "length"

// How near a text is to its references, each in [0, 1] (engine/metrics/text_metrics.h).
inline constexpr std::array<const char*, 5> kTextScoreNames{"rouge1", "rouge2", "rougeL",
                                                            "token_f1", "exact_match"};
struct TextScores {
  std::array<double, kTextScoreNames.size()> best{};  // the highest over the references
  std::array<double, kTextScoreNames.size()> mean{};  // the mean over the references

  bool operator==(const TextScores&) const = default;
};

constexpr std::size_t kHashDigits = 16;  // of the hash of a prompt, in hexadecimal

// One text that was generated for a document.
struct Generation {
  std::uint32_t question = 0;  // which of the record's questions, from 0; 0 where it has none
  std::uint32_t sample = 0;    // which of its samples, from 0
  std::string question_text;   // empty where the record has none
  std::string text;            // valid UTF-8
  std::uint64_t n_prompt_tokens = 0;  // that the text was generated after, the document's included
  std::uint64_t n_new_tokens = 0;     // an end token included
  FinishReason finish_reason = FinishReason::length;
  std::string prompt_hash;              // of the prompt's ids, kHashDigits hexadecimal digits
  std::vector<std::int32_t> ids;        // (n_new_tokens)
  std::vector<std::string> references;  // of this question
  std::optional<TextScores> scores;     // where there are references

  bool operator==(const Generation&) const = default;
};

struct DocumentRecord {
  // unscored: read as a whole, but no token of it has a likelihood (a single token is context).
  enum class Status : std::uint8_t { scored = 0, failed = 1, unscored = 2 };

  Status status = Status::scored;
  std::string id;          // empty: <file name>:<line>, which the merge fills in
  std::string file;        // absolute path
  std::uint64_t line = 0;  // 1-based; 0 without lines, or not known: the merge fills it in
  // Places of the file that this record accounts for and the lines in them, its own the last. See
  // CorpusRecord.
  std::uint64_t span_begin = 0, span_end = 0, n_lines = 0;
  std::uint64_t offset = 0;  // place of the record in its file: with `file` the key of the document
  std::uint64_t n_bytes = 0;   // of the text, UTF-8
  std::uint64_t n_words = 0;   // as str.split() counts
  std::uint64_t n_tokens = 0;  // processed, BOS included
  std::uint64_t n_scored = 0;
  double nll_sum = 0.0;                 // nats
  double nll_sum_sq = 0.0;              // nats^2
  std::uint8_t positions = 0;           // Positions as used
  std::int32_t clip_distance = 0;       // tokens, as used
  std::uint32_t n_eviction_groups = 1;  // decisions per layer and step

  std::string failure_reason;  // status failed: a stable code ...
  std::string failure_text;    // ... and a line for people

  std::vector<LayerCounters> layers;           // n_layers
  std::vector<TokenLifetime> token_lifetimes;  // ascending id

  // With --token-nll or --trace-state (all empty otherwise), n_tokens each: NaN where a token was
  // context only.
  std::vector<float> token_nll;
  std::vector<std::int32_t> token_ids;
  std::vector<std::int32_t>
      eviction_step;  // --trace-state: (n_layers, n_tokens), step counted in the document, -1 never

  DocumentAnalysis analysis;  // with --nll-by-position or --analyze; else empty

  // The texts of `summarize` and `generate`: by question, then sample. Empty for `score`, whose
  // documents have n_scored instead.
  std::vector<Generation> generations;

  // Of a sweep: what each of its settings came to, in their order, without settings of their own;
  // then this record says what the document is, and is failed where it failed in any of them.
  // Empty: all of them come to this record.
  std::vector<DocumentRecord> settings;

  int rank = 0;  // that computed it, and the time it took: for /run only
  double seconds = 0.0;

  bool operator==(const DocumentRecord&) const = default;
};

// The part of a record that a scan over many journals needs; it stands in front.
struct RecordKey {
  DocumentRecord::Status status = DocumentRecord::Status::scored;
  std::string file;
  std::uint64_t offset = 0;
  std::uint64_t span_begin = 0, span_end = 0, n_lines = 0;
  std::uint64_t n_tokens = 0;
  std::string id;
  std::string failure_text;
  bool has_settings = false;  // DocumentRecord::settings
  bool has_analysis = false;  // DocumentRecord::analysis
};

// Which document it is, where it lies and what it accounts for; nothing of what became of it.
DocumentRecord identity_of(const DocumentRecord& record);

// A self-contained little-endian byte string, and back. `decode` checks every length and throws
// BadData naming `where`; what comes back is bit for bit what went in, the payload of NaNs
// included.
std::vector<std::byte> encode(const DocumentRecord& record);
RecordKey decode_key(std::span<const std::byte> bytes, const std::string& where);
DocumentRecord decode_document(std::span<const std::byte> bytes, const std::string& where);

}  // namespace tovamill
