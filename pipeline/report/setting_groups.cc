// /cache, /generations and /run of a setting.
#include <algorithm>
#include <cmath>

#include "kernels/types/error.h"
#include "pipeline/report/setting_parts.h"

namespace tovamill {
namespace {

constexpr std::uint64_t kTextsAtATime = 1024;  // texts read at a time

// A dataset of /cache, whose number of values is known.
std::vector<double> cache_numbers(const Hdf5File& file, const std::string& path,
                                  const std::string& name, std::size_t n) {
  const std::string dataset = "/cache/" + name;
  if (!file.exists(dataset))
    throw BadData("'" + path + "' has no " + dataset +
                  ": merge its run directory again with this program");
  std::vector<double> values = file.read_all<double>(dataset);
  if (values.size() != n)
    throw BadData("'" + path + "': " + dataset + " has " + std::to_string(values.size()) +
                  " values instead of " + std::to_string(n) + ": the file is damaged");
  return values;
}

struct TextColumns {
  std::vector<std::string> id, question, text, finish_reason;
  std::vector<std::vector<double>> scores;  // by kTextScoreNames
};

TextColumns read_text_columns(const Hdf5File& file, std::uint64_t first, std::uint64_t n) {
  const auto texts = [&](const char* name) {
    return file.read_strings(std::string("/generations/") + name, first, n);
  };
  TextColumns c{texts("id"), texts("question_text"), texts("text"), texts("finish_reason"), {}};
  for (const char* name : kTextScoreNames)
    c.scores.push_back(file.read<double>(std::string("/generations/") + name, first, n));
  return c;
}

// By the first score, the best first.
void keep(std::vector<ShownText>& kept, const ShownText& text, bool best) {
  const auto before = [&](const ShownText& a, const ShownText& b) {
    return best ? a.scores.front() > b.scores.front() : a.scores.front() < b.scores.front();
  };
  if (kept.size() == kMostExtremes && !before(text, kept.back())) return;
  kept.insert(
      std::find_if(kept.begin(), kept.end(), [&](const ShownText& k) { return before(text, k); }),
      text);
  if (kept.size() > kMostExtremes) kept.pop_back();
}

}  // namespace

void read_cache(const Hdf5File& file, ReportSetting& s) {
  if (!file.exists("/cache/layer") || !file.exists("/cache/bin")) return;
  CacheNumbers c;
  c.n_layers = file.shape("/cache/layer").at(0);
  c.n_bins = file.shape("/cache/bin").at(0);
  if (c.n_layers == 0 || c.n_bins == 0) return;
  const std::size_t n = c.n_layers * c.n_bins;
  c.bins = cache_numbers(file, s.path, "bin", c.n_bins);
  c.steps = cache_numbers(file, s.path, "step", c.n_bins);
  c.recent_share = cache_numbers(file, s.path, "recent_share", c.n_layers);
  c.mean_attended = cache_numbers(file, s.path, "mean_attended", c.n_layers);
  c.survivor_age = cache_numbers(file, s.path, "survivor_age", n);
  c.lifetime = cache_numbers(file, s.path, "lifetime", n);
  c.first_token_survival = cache_numbers(file, s.path, "first_token_survival", n);
  for (const double evictions : cache_numbers(file, s.path, "evictions", c.n_layers))
    c.n_evictions += static_cast<std::uint64_t>(evictions);
  s.cache = std::move(c);
}

void read_texts(const Hdf5File& file, ReportSetting& s) {
  if (!file.exists("/generations/text")) return;
  const std::uint64_t n = file.shape("/generations/text").at(0);
  std::vector<ShownText> without_scores;
  for (std::uint64_t first = 0; first < n; first += kTextsAtATime) {
    const std::uint64_t n_batch = std::min(kTextsAtATime, n - first);
    TextColumns c = read_text_columns(file, first, n_batch);
    for (std::size_t i = 0; i < n_batch; ++i) {
      ShownText text{c.id[i], c.question[i], c.text[i], c.finish_reason[i], {}};
      for (const std::vector<double>& score : c.scores) text.scores.push_back(score[i]);
      if (std::isfinite(text.scores.front())) {
        keep(s.best_texts, text, true);
        keep(s.worst_texts, text, false);
      } else if (without_scores.size() < kMostExtremes) {
        text.scores.clear();
        without_scores.push_back(text);
      }
    }
  }
  if (s.best_texts.empty()) s.best_texts = without_scores;
}

void read_workers(const Hdf5File& file, ReportSetting& s) {
  if (!file.exists("/run/rank")) return;
  const std::uint64_t n = file.shape("/run/rank").at(0);
  s.workers.resize(n);
  const auto fill = [&]<class T>(const char* name, T WorkerRow::*field) {
    const std::vector<T> values = file.read<T>(std::string("/run/") + name, 0, n);
    for (std::size_t i = 0; i < n; ++i) s.workers[i].*field = values[i];
  };
  const auto texts = [&](const char* name, std::string WorkerRow::*field) {
    const std::vector<std::string> values = file.read_strings(std::string("/run/") + name, 0, n);
    for (std::size_t i = 0; i < n; ++i) s.workers[i].*field = values[i];
  };
  fill("rank", &WorkerRow::rank);
  fill("launch", &WorkerRow::launch);
  texts("host", &WorkerRow::host);
  texts("device", &WorkerRow::device);
  fill("documents", &WorkerRow::n_documents);
  fill("tokens", &WorkerRow::n_tokens);
  fill("seconds_computing", &WorkerRow::computing_s);
  fill("seconds_waiting", &WorkerRow::waiting_s);
  fill("seconds_writing", &WorkerRow::writing_s);
}

}  // namespace tovamill
