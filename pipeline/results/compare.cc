#include "pipeline/results/compare.h"

#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>
#include <utility>

#include "io/results/hdf5_file.h"
#include "kernels/types/error.h"
#include "pipeline/results/document_rows.h"
#include "pipeline/results/paired.h"
#include "pipeline/results/results_file.h"
#include "pipeline/run_directory/document_record.h"
#include "pipeline/run_directory/json_fields.h"

namespace tovamill {
namespace {

using nlohmann::json;

// File, place, id.
using DocumentKey = std::tuple<std::string, std::uint64_t, std::string>;

// A sum over some things of a document: nats over tokens, scores over texts.
struct Sum {
  double sum = 0.0;
  std::uint64_t n = 0;
};

struct ComparedDocument {
  std::uint64_t n_bytes = 0, n_tokens = 0, n_scored = 0;
  std::vector<Sum> values;  // of the metrics
};

struct LoadedRun {
  std::string job, tokenizer, tokenizer_description;
  std::vector<std::string> metrics;                   // none by position
  std::optional<PositionBins> bins;                   // by position
  std::map<DocumentKey, ComparedDocument> documents;  // without failed ones
};

// Sums of the scores of each document's texts.
std::vector<std::vector<Sum>> text_scores_of(const Hdf5File& file, std::size_t n_documents) {
  std::vector<std::vector<Sum>> sums(n_documents, std::vector<Sum>(kTextScoreNames.size()));
  const std::uint64_t n = file.shape("/generations/document").at(0);
  const auto document = file.read<std::uint64_t>("/generations/document", 0, n);
  for (std::size_t m = 0; m < kTextScoreNames.size(); ++m) {
    const auto scores = file.read<double>(std::string("/generations/") + kTextScoreNames[m], 0, n);
    for (std::size_t i = 0; i < n; ++i) {
      if (document[i] >= n_documents) throw BadData("/generations/document is out of range");
      if (std::isnan(scores[i])) continue;  // without references
      Sum& s = sums[document[i]][m];
      s.sum += scores[i];
      ++s.n;
    }
  }
  return sums;
}

// Sums of the NLL of each document by position.
std::vector<std::vector<Sum>> position_sums_of(const Hdf5File& file, const ComparedRun& of,
                                               LoadedRun& run) {
  const std::string group = "/nll_by_position/";
  if (!file.exists(group + "offsets"))
    throw Error(ExitCode::usage, "'" + of.name +
                                     "' holds no NLL by position: score with --nll-by-position, or "
                                     "leave --nll-by-position out");
  run.bins.emplace();
  for (const auto& [name, value] : file.attributes("/nll_by_position")) {
    const auto* width = std::get_if<std::int64_t>(&value);
    if (name == "bin_tokens" && width) run.bins->width = static_cast<std::uint64_t>(*width);
  }
  const auto offsets = file.read_all<std::uint64_t>(group + "offsets");
  const auto sums = file.read_all<double>(group + "document_nll_sum");
  const auto counts = file.read_all<std::uint64_t>(group + "document_n_tokens");
  std::vector<std::vector<Sum>> all;
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    if (offsets[i] > offsets[i + 1] || offsets[i + 1] > std::min(sums.size(), counts.size()))
      throw BadData("'" + of.results + "': " + group + "offsets do not fit: the file is damaged");
    std::vector<Sum>& own = all.emplace_back();
    for (std::uint64_t v = offsets[i]; v < offsets[i + 1]; ++v) own.push_back({sums[v], counts[v]});
  }
  return all;
}

void read_identity(const Hdf5File& file, LoadedRun& run) {
  for (const auto& [name, value] : file.attributes("/")) {
    const auto* text = std::get_if<std::string>(&value);
    if (!text) continue;
    if (name == "job") run.job = *text;
    if (name == "tokenizer") run.tokenizer_description = *text;
    if (name != "fingerprint") continue;
    const json fingerprint = json::parse(*text, nullptr, false);
    if (fingerprint.is_object()) run.tokenizer = text_at(fingerprint, "tokenizer");
  }
}

LoadedRun load_run(const ComparedRun& of, bool by_position) {
  const Hdf5File whole(of.results, Hdf5File::Mode::read);
  if (!is_results_file(of.results))
    throw BadData("'" + of.results + "' is no results.h5 of this program");
  const Hdf5File file(whole, of.setting.empty() ? "" : "/sweep/" + of.setting);
  LoadedRun run;
  read_identity(whole, run);
  const bool writes = file.exists("/generations/document");
  std::vector<std::vector<Sum>> texts;
  if (writes) {
    run.metrics.assign(kTextScoreNames.begin(), kTextScoreNames.end());
    texts = text_scores_of(file, file.shape("/documents/id").at(0));
  } else if (by_position) {
    texts = position_sums_of(file, of, run);
    if (texts.size() != file.shape("/documents/id").at(0))
      throw BadData("'" + of.results + "': /nll_by_position is not of all documents");
  } else {
    run.metrics = {"nll_per_token"};
  }
  std::size_t i = 0;
  DocumentRows(file, false).each([&](const DocumentRow& row) {
    const std::size_t at = i++;
    if (row.failed() || (!writes && row.n_scored == 0)) return;
    ComparedDocument d{.n_bytes = row.n_bytes,
                       .n_tokens = row.n_tokens,
                       .n_scored = row.n_scored,
                       .values = {{row.nll_sum, row.n_scored}}};
    if (!texts.empty()) d.values = std::move(texts[at]);
    run.documents.emplace(DocumentKey{row.file, row.offset, row.id}, std::move(d));
  });
  return run;
}

[[noreturn]] void refuse_comparison(const ComparedRun& first, const ComparedRun& other,
                                    const std::string& why) {
  throw Error(ExitCode::configuration,
              "'" + first.name + "' and '" + other.name + "' cannot be compared: " + why);
}

void check_comparable(const ComparedRun& first, const LoadedRun& a, const ComparedRun& other,
                      const LoadedRun& b) {
  if (a.metrics != b.metrics)
    refuse_comparison(first, other, "one is of the job " + a.job + ", the other of " + b.job);
  if (a.bins && b.bins && a.bins->width != b.bins->width)
    refuse_comparison(first, other, "their bins of positions differ (--position-bin)");
  if (a.job == "score" && a.tokenizer != b.tokenizer)
    refuse_comparison(first, other,
                      "their tokenizers differ (" + a.tokenizer_description + "; " +
                          b.tokenizer_description +
                          "), and so does what a token is: compare bits per byte");
}

std::string metric_name(const LoadedRun& run, std::size_t metric) {
  if (!run.bins) return run.metrics[metric];
  return "nll_per_token from " + std::to_string(run.bins->first(metric)) + " to " +
         std::to_string(run.bins->first(metric + 1) - 1);
}

Comparison compare(const ComparedRun& first, const LoadedRun& a, const ComparedRun& other,
                   const LoadedRun& b) {
  check_comparable(first, a, other, b);
  Comparison c{.run = other, .values = {}};
  std::vector<PairedDifference> paired(a.metrics.size());
  for (const auto& [key, d] : b.documents) {
    const auto found = a.documents.find(key);
    if (found == a.documents.end()) {
      ++c.n_only_here;
      continue;
    }
    const ComparedDocument& f = found->second;
    if (f.n_bytes != d.n_bytes)
      refuse_comparison(first, other,
                        "the text of " + std::get<2>(key) + " in " + std::get<0>(key) + " has " +
                            std::to_string(f.n_bytes) + " and " + std::to_string(d.n_bytes) +
                            " bytes: the corpora differ");
    ++c.n_documents;
    c.n_other_counts += f.n_tokens != d.n_tokens || f.n_scored != d.n_scored;
    const std::size_t n_values = std::min(f.values.size(), d.values.size());
    if (a.bins && n_values > paired.size()) paired.resize(n_values);
    for (std::size_t m = 0; m < n_values; ++m) {
      const Sum &x = f.values[m], &y = d.values[m];
      if (x.n > 0 && y.n > 0) paired[m].add(x.sum, x.n, y.sum, y.n);
    }
  }
  c.n_only_first = a.documents.size() - c.n_documents;
  if (c.n_documents == 0)
    refuse_comparison(first, other, "they have no document in common (file, place and id)");
  for (std::size_t m = 0; m < paired.size(); ++m) {
    const PairedSummary p = paired[m].finish();
    if (p.n_documents == 0) continue;  // no references
    c.values.push_back(
        {.metric = metric_name(a, m), .value = p.value, .first = p.baseline_value, .paired = p});
  }
  return c;
}

}  // namespace

std::vector<ComparedRun> runs_of(const std::string& name, const std::string& results) {
  const Hdf5File file(results, Hdf5File::Mode::read);
  std::vector<ComparedRun> runs;
  for (const std::string& setting : settings_of_results(file))
    runs.push_back({.name = name + ":" + setting, .results = results, .setting = setting});
  if (runs.empty()) runs.push_back({.name = name, .results = results, .setting = ""});
  return runs;
}

std::vector<Comparison> compare_runs(const std::vector<ComparedRun>& runs, bool by_position) {
  std::vector<Comparison> comparisons;
  const LoadedRun first = load_run(runs.front(), by_position);
  for (const ComparedRun& run : runs)
    comparisons.push_back(compare(runs.front(), first, run, load_run(run, by_position)));
  return comparisons;
}

}  // namespace tovamill
