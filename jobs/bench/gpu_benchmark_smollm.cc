// Scoring texts with a small model, whose host has most to do for its tokens: the whole program,
// its steps alone on tokens that are there already, and tokenising alone. What the whole reaches of
// the slower part says what bounds it.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <thread>

#include "engine/tokenizer/tokenizer.h"
#include "io/corpus/record_reader.h"
#include "jobs/bench/bench_table.h"
#include "jobs/bench/gpu_benchmark.h"
#include "kernels/types/error.h"
#include "workers/load/model_parts.h"
#include "workers/run/corpus_run.h"

namespace tovamill::bench {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr std::size_t kMostTextBytes = 64u << 20;  // that tokenising alone is timed on
constexpr std::size_t kPieceBytes = 64u << 10;     // a document at least, for one thread's turn

std::vector<std::string> read_texts(const Options& options) {
  CorpusOptions corpus;
  corpus.paths = options.corpus;
  std::vector<std::string> texts;
  std::size_t n_bytes = 0;
  for (const CorpusFile& file : list_corpus(corpus)) {
    const auto records = open_records(file, corpus);
    for (CorpusRecord record; n_bytes < kMostTextBytes && records->next(record);) {
      if (!record.ok()) continue;
      n_bytes += record.text.size();
      texts.push_back(std::move(record.text));
    }
  }
  if (texts.empty()) throw Error(ExitCode::no_input, "--corpus: no text was found there");
  return texts;
}

// Tokens per second of whole documents, as a run encodes them, on `n_threads`; for about a quarter
// of `seconds`.
double tokenizing_rate(const Tokenizer& tokenizer, const std::vector<std::string>& texts,
                       int n_threads, double seconds) {
  std::vector<std::uint64_t> n_tokens(static_cast<std::size_t>(n_threads), 0);
  const double start = now_s();
  const auto work = [&](std::size_t thread) {
    std::vector<TokenId> ids;
    std::size_t n_done = 0;
    for (std::size_t i = thread;; i += static_cast<std::size_t>(n_threads)) {
      const std::string& text = texts[i % texts.size()];
      ids.clear();
      tokenizer.encode(text, false, ids);
      n_tokens[thread] += ids.size();
      n_done += text.size();
      if (n_done >= kPieceBytes && now_s() - start > seconds / 4) return;
    }
  };
  std::vector<std::thread> others;
  for (std::size_t t = 1; t < n_tokens.size(); ++t) others.emplace_back(work, t);
  work(0);
  for (std::thread& t : others) t.join();
  std::uint64_t sum = 0;
  for (const std::uint64_t n : n_tokens) sum += n;
  return static_cast<double>(sum) / (now_s() - start);
}

struct Quiet final : RunObserver {
  void started(const RunInfo& info) override { this->info = info; }
  void progress(const RunProgress&) override {}
  RunInfo info;
};

// `tovamill score` of the corpus in a directory that is removed again.
RunSummary whole_run(const Options& options, RunInfo& info) {
  const fs::path out =
      fs::temp_directory_path() / ("tovamill-benchmark-" + std::to_string(::getpid()));
  RunOptions run;
  run.model = options.model;
  run.out = out.string();
  run.device = options.device;
  run.dtype = options.dtype;
  run.corpus.paths = options.corpus;
  run.cache.cache_size = options.cache_size;
  run.threads = options.threads;
  run.overwrite = true;
  Quiet observer;
  struct Remover {
    const fs::path& path;
    ~Remover() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  } const remover{out};
  RunSummary summary = run_corpus(run, observer);
  info = observer.info;
  return summary;
}

struct StepsAlone {
  double tokens_per_s = 0.0, step_s = 0.0, submit_s = 0.0;
  std::int32_t n_in_flight = 1, n_streams = 1;
};

StepsAlone steps_alone(const OpenModel& model, const Options& options, std::int32_t n_streams) {
  const std::int32_t n_in_flight = *std::max_element(options.lanes.begin(), options.lanes.end());
  const Device device(model, options,
                      {.cache = {.cache_size = options.cache_size},
                       .max_rows = n_streams * options.block,
                       .max_blocks = n_streams,
                       .n_in_flight = n_in_flight});
  Pipeline pipeline(*device.forward);
  std::vector<StreamGroup> groups;
  for (std::int32_t g = 0; g < device.backend->n_in_flight(); ++g)
    groups.emplace_back(device, n_streams, static_cast<std::uint64_t>(g) << 20, 0);
  const auto steps = [&](std::int64_t n) {
    for (; n > 0; --n)
      for (StreamGroup& group : groups)
        pipeline.submit(group.next(options.block, Head::likelihoods));
    pipeline.drain();
  };
  steps(options.cache_size / options.block + 2);
  constexpr std::int64_t kWindow = 16;
  std::vector<double> windows;
  const double submitting = pipeline.submit_seconds(), start = now_s();
  do {
    const double begin = now_s();
    steps(kWindow);
    windows.push_back((now_s() - begin) / (kWindow * static_cast<double>(groups.size())));
  } while (windows.size() < static_cast<std::size_t>(options.repeats) &&
           now_s() - start < options.seconds);
  StepsAlone s{.n_in_flight = device.backend->n_in_flight(), .n_streams = groups.front().size()};
  s.step_s = median(windows);
  s.tokens_per_s = s.n_streams * options.block / s.step_s;
  s.submit_s = (pipeline.submit_seconds() - submitting) /
               static_cast<double>(windows.size() * kWindow * groups.size());
  return s;
}

}  // namespace

void benchmark_smollm(const Options& options) {
  if (options.corpus.empty())
    throw Error(ExitCode::usage, "smollm needs --corpus PATH...: texts to score");
  double one = 0.0, all = 0.0;
  StepsAlone steps;
  {
    const OpenModel model(options.model);
    const auto tokenizer = tokenizer_of(*model.files);
    const std::vector<std::string> texts = read_texts(options);
    one = tokenizing_rate(*tokenizer, texts, 1, options.seconds);
    all = tokenizing_rate(*tokenizer, texts, options.threads, options.seconds);
    steps = steps_alone(model, options, options.streams);
  }
  RunInfo info;
  const RunSummary run = whole_run(options, info);
  const double bound = std::min(steps.tokens_per_s, all);
  std::cout << "\n"
            << info.model_description << "; " << info.device << ", " << info.dtype << ", "
            << info.streams << " streams, " << options.threads << " threads; " << run.n_tokens
            << " tokens of " << run.n_documents << " documents\n";
  Table table("smollm",
              {"what                                   ", "tokens/s", "ms a step", "host ms"});
  const auto row = [&](const std::string& what, double rate, double step_s, double host_s) {
    table.row({what, shown(rate, 0), shown(step_s * 1e3, 2), shown(host_s * 1e3, 2)},
              {{"what", what}, {"tokens_per_second", rate}, {"step_seconds", step_s}});
  };
  row("the whole program", run.tokens_per_second, 0.0, 0.0);
  row("steps alone, " + std::to_string(steps.n_streams) + " streams, " +
          std::to_string(steps.n_in_flight) + (steps.n_in_flight > 1 ? " lanes" : " lane"),
      steps.tokens_per_s, steps.step_s, steps.submit_s);
  row("tokenising alone, one thread", one, 0.0, 0.0);
  row("tokenising alone, " + std::to_string(options.threads) + " threads", all, 0.0, 0.0);
  table.end();
  std::cout << Json{{"benchmark", "smollm_summary"},
                    {"tokens_per_second", run.tokens_per_second},
                    {"of_the_slower_part", run.tokens_per_second / bound},
                    {"slower_part", steps.tokens_per_s < all ? "steps" : "tokenising"}}
                   .dump()
            << std::endl;
}

}  // namespace tovamill::bench
