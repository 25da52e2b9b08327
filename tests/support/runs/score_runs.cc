#include "tests/support/runs/score_runs.h"

#include <csignal>
#include <random>

#include "engine/tokenizer/tokenizer.h"
#include "io/results/hdf5_file.h"
#include "pipeline/run_directory/run_directory.h"
#include "tests/support/models/model_builder.h"

namespace tovamill::testing {

std::string digits(std::size_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text;
  for (std::size_t i = 0; i < n; ++i) text += static_cast<char>('0' + random() % 10);
  return text;
}

std::string words(std::size_t n, std::uint64_t seed) {
  constexpr const char* kWords[] = {"the", "cat", "on",    "a",    "mat", "sits", "and", "watches",
                                    "an",  "old", "house", "in",   "his", "town", "of",  "stone",
                                    "Zoë", "42,", "where", "rain", "is",  "rare", "to",  "come."};
  std::mt19937_64 random(seed);
  std::string text;
  for (std::size_t i = 0; i < n; ++i) {
    text += (i == 0 ? "" : " ") + std::string(kWords[random() % std::size(kWords)]);
  }
  return text;
}

std::vector<std::int32_t> tiny_ids(const std::string& text) {
  static const auto tokenizer =
      Tokenizer::from_hf(tiny_tokenizer_json(TinyModel{}.vocab_size), nullptr, "tokenizer.json");
  std::vector<TokenId> ids;
  tokenizer->encode(text, false, ids);
  return std::vector<std::int32_t>(ids.begin(), ids.end());
}

RunOptions tiny_options(const std::string& model, const std::string& corpus,
                        const std::string& out) {
  RunOptions options;
  options.model = model;
  options.corpus.paths = {corpus};
  options.out = out;
  options.device = DeviceKind::cpu;
  options.dtype = ComputeType::f32;
  options.cache.cache_size = 16;
  options.threads = 2;
  return options;
}

void QuietObserver::progress(const RunProgress& progress) {
  ++n_progress;
  if (stop_after_ < 0 || progress.n_documents < static_cast<std::uint64_t>(stop_after_)) return;
  stop_after_ = -1;
  std::raise(SIGTERM);
}

RunSummary score(const RunOptions& options) {
  QuietObserver observer;
  return run_corpus(options, observer);
}

Results::Results(const std::string& run_directory) {
  const Hdf5File file(results_path(run_directory), Hdf5File::Mode::read);
  const auto strings = [&](const std::string& path, std::vector<std::string>& values) {
    if (file.exists(path)) values = file.read_strings(path, 0, file.shape(path).at(0));
  };
  const auto numbers = [&]<class T>(const std::string& path, std::vector<T>& values) {
    if (file.exists(path)) values = file.read_all<T>(path);
  };
  strings("/documents/id", id);
  strings("/documents/status", status);
  strings("/documents/positions", positions);
  numbers("/documents/offset", offset);
  numbers("/documents/line", line);
  numbers("/documents/n_tokens", n_tokens);
  numbers("/documents/n_scored", n_scored);
  numbers("/documents/nll_sum", nll_sum);
  numbers("/documents/nll_sum_sq", nll_sum_sq);
  numbers("/tokens/offsets", offsets);
  numbers("/tokens/nll", nll);
  numbers("/tokens/id", ids);
  numbers("/trace/death", eviction_step);
  strings("/failures/reason", failure_reason);
  strings("/failures/file", failure_file);
  numbers("/failures/line", failure_line);
  numbers("/failures/offset", failure_offset);
}

}  // namespace tovamill::testing
