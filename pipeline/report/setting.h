// What a report needs of a run, or of one setting of a sweep: read from its results.h5, in memory
// that grows by 8 bytes with a document.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/results/hdf5_file.h"
#include "pipeline/probe/probe_results.h"
#include "pipeline/results/summary.h"
#include "pipeline/run_directory/run_report.h"

namespace tovamill {

inline constexpr std::size_t kMostExtremes = 10;  // documents shown of the best, and of the worst

using Attributes = std::map<std::string, Hdf5Value>;
std::string text_attribute(const Attributes& attributes, const std::string& name);
std::int64_t count_attribute(const Attributes& attributes, const std::string& name);  // 0: absent
double number_attribute(const Attributes& attributes, const std::string& name);       // NaN: absent
// The attributes `name` and `name`_se.
Estimate estimate_attribute(const Attributes& attributes, const std::string& name);

struct ShownDocument {
  std::string id, place;  // "books/a.jsonl:17"
  std::uint64_t n_scored = 0;
  double perplexity = 0.0;  // per token
};

struct ShownFailure {
  std::string place, reason, text;
};

// The scored documents of a setting.
struct DocumentStatistics {
  std::vector<double> perplexities;        // per token, ascending
  std::vector<ShownDocument> best, worst;  // at most kMostExtremes, the outermost first
  std::map<std::string, std::uint64_t> failures_by_reason;
  std::vector<ShownFailure> first_failures;  // at most kMostExtremes
};

// Tokens at positions [first, last] of their document, or chunk.
struct PositionBin {
  std::uint64_t first = 0, last = 0, n_tokens = 0;
  Estimate nll;  // nats, the standard error over documents
};

// The group /cache.
struct CacheNumbers {
  std::size_t n_layers = 0, n_bins = 0;
  std::uint64_t n_evictions = 0;
  std::vector<double> bins, steps;                  // lower edges
  std::vector<double> recent_share, mean_attended;  // (n_layers)
  std::vector<double> survivor_age, lifetime;       // (n_layers, n_bins) tokens
  std::vector<double> first_token_survival;         // (n_layers, n_bins), NaN: never reached
};

// A class of tokens, or a tag, in /analysis.
struct ShownClass {
  std::string name;
  std::uint64_t n_tokens = 0;    // of the documents
  double censored_share = 0.0;   // of the entries in states, those still there at the end
  Estimate lifetime;             // steps, over all layers
  std::vector<double> by_layer;  // (n_layers) mean lifetime
};

// The group /analysis.
struct AnalysisNumbers {
  std::size_t n_layers = 0;
  std::vector<double> recent_half_share, first_token_lifetime;  // (n_layers)
  std::vector<ShownClass> classes, tags;
};

// The NLL per token from `first` on less that of the baseline of the sweep.
struct PositionDifference {
  double first = 0.0;
  Estimate nll;  // nats, the standard error over documents
};

struct ShownText {
  std::string id, question, text, finish_reason;
  std::vector<double> scores;  // by kTextScoreNames, best over references; empty without these
};

// A row of /run.
struct WorkerRow {
  std::int32_t rank = 0, launch = 0;
  std::string host, device;
  std::uint64_t n_documents = 0, n_tokens = 0;
  double computing_s = 0.0, waiting_s = 0.0, writing_s = 0.0;  // NaN: not reported
  struct Time {
    double tokens = 0.0, computing_s = 0.0, waiting_s = 0.0;
  };
  double bin_s = 0.0;       // width of each of
  std::vector<Time> times;  // since it began to work; none: not reported
};

struct ReportSetting {
  std::string path;   // of its results.h5
  std::string sweep;  // its name in a sweep; else empty
  Attributes attributes, summary, paired;
  std::map<std::string, std::string> options;  // that change results, by name
  DocumentStatistics documents;
  std::vector<PositionBin> positions;           // none: no token NLLs
  std::vector<PositionDifference> differences;  // none: not of a sweep, or no such NLLs
  std::optional<CacheNumbers> cache;
  std::optional<AnalysisNumbers> analysis;
  std::vector<ProbeCell> probe;  // none: no document was of a probe
  // By the first score, the outermost first; where no text has references, the first ones, and
  // none.
  std::vector<ShownText> best_texts, worst_texts;
  std::vector<WorkerRow> workers;
  std::optional<RunReport> status;  // of a run directory

  // Set by name_settings.
  std::string family;  // what it is but for its size: "tova, positions=absolute"
  std::string label;   // "tova, k = 256"

  bool generates() const { return text_attribute(attributes, "job") != "score"; }
  bool is_bounded = true;
  std::int64_t cache_size() const { return count_attribute(attributes, "cache_size"); }
  // Tokens that a bounded state is a part of: of a chunk, or else of the mean document; NaN where
  // nothing was read.
  double length() const;
  // Per second of computing of a rank, mean over ranks by their time; NaN: not reported.
  double tokens_per_second() const;
};

// The settings of a results.h5, one of which a single run has. Throws Error(no_input), BadData.
std::vector<ReportSetting> read_settings(const std::string& results);

// Gives each the name by which it differs from the others, and puts families together, by size.
void name_settings(std::vector<ReportSetting>& settings);

}  // namespace tovamill
