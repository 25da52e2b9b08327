// What a generated token and a measured text cost beside the model, on one core:
//   text_benchmark
// Microseconds of Sampler::choose by vocabulary and options, on normal logits of which the logits'
// copy is not counted; milliseconds of text_metrics for pairs of random words. Warm-up first; the
// best and the median of 51 runs.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "engine/metrics/text_metrics.h"
#include "engine/sampling/sampling.h"

namespace {

constexpr int kRuns = 51;

struct Seconds {
  double best, median;
};

// `work` is called with the number of the run, after `prepare`.
template <typename Prepare, typename Work>
Seconds measure(Prepare prepare, Work work) {
  std::vector<double> seconds;
  for (int run = 0; run <= kRuns; ++run) {
    prepare();
    const auto start = std::chrono::steady_clock::now();
    work(run);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    if (run > 0) seconds.push_back(time.count());
  }
  std::ranges::sort(seconds);
  return {seconds.front(), seconds[kRuns / 2]};
}

void measure_sampling(std::size_t vocab_size) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  std::vector<float> logits(vocab_size), copy;
  for (float& logit : logits) logit = normal(random);
  const std::pair<const char*, tovamill::SamplingOptions> settings[] = {
      {"greedy", {}},
      {"temperature 1", {.temperature = 1.0}},
      {"top-k 50", {.temperature = 1.0, .top_k = 50}},
      {"top-k 50, top-p 0.9", {.temperature = 1.0, .top_k = 50, .top_p = 0.9}},
      {"top-p 0.9, temperature 0.7", {.temperature = 0.7, .top_p = 0.9}},
      {"top-p 0.999, temperature 5", {.temperature = 5.0, .top_p = 0.999}},
      {"min-p 0.05", {.temperature = 1.0, .min_p = 0.05}},
  };
  for (const auto& [name, options] : settings) {
    tovamill::Sampler sampler(options);
    long ids = 0;
    const Seconds time =
        measure([&] { copy = logits; },
                [&](int run) {
                  ids += sampler.choose(copy, {}, {}, {.position = static_cast<unsigned>(run)});
                });
    std::printf("%-28s vocabulary %6zu  best %8.1f us  median %8.1f us  (mean id %ld)\n", name,
                vocab_size, 1e6 * time.best, 1e6 * time.median, ids / (kRuns + 1));
  }
}

std::string random_text(std::size_t n_words, std::mt19937& random) {
  static constexpr const char* kEndings[] = {"", "s", "ing", "ational", "ed", "ly"};
  std::string text;
  for (std::size_t i = 0; i < n_words; ++i) {
    text += "word" + std::string(1, static_cast<char>('a' + random() % 26)) +
            kEndings[random() % std::size(kEndings)] + " ";
  }
  return text;
}

void measure_metrics(std::size_t n_words) {
  std::mt19937 random(2);
  const std::string text = random_text(n_words, random), reference = random_text(n_words, random);
  double sum = 0.0;
  const Seconds time =
      measure([] {}, [&](int) { sum += tovamill::text_metrics(text, reference, true).rouge_l; });
  std::printf("%-28s words %11zu  best %8.3f ms  median %8.3f ms  (ROUGE-L %.3f)\n",
              "text metrics, with stems", n_words, 1e3 * time.best, 1e3 * time.median,
              sum / (kRuns + 1));
}

}  // namespace

int main() {
  measure_sampling(49152);
  measure_sampling(151936);
  measure_metrics(300);
  measure_metrics(10000);
}
