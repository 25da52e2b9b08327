// Scoring: `tova` with full states and `full` in chunks, as a share of what the matrix products
// alone reach on the same device with the same rows; and where the time of a step goes.
#include <algorithm>
#include <array>
#include <cmath>
#include <iostream>
#include <optional>

#include "jobs/bench/bench_table.h"
#include "jobs/bench/gpu_benchmark.h"
#include "kernels/types/error.h"

namespace tovamill::bench {
namespace {

using Json = nlohmann::ordered_json;

// Steps of each group between two marks of the clock.
constexpr std::int32_t kWindowSteps = 16;
constexpr std::uint64_t kHostStates = 256u << 20;  // bytes, where states are in the host's memory

struct Setting {
  std::string name;
  CacheOptions cache;
};

struct Result {
  std::int32_t n_in_flight = 1, n_streams = 0;  // streams of a step
  double tokens_per_s = 0.0, step_s = 0.0, submit_s = 0.0;
  std::uint64_t state_bytes = 0;  // of all streams
  StepTrace trace;
};

std::vector<Setting> settings_of(const Options& o) {
  CacheOptions tova{.policy = Policy::tova, .cache_size = o.cache_size};
  CacheOptions full{.policy = Policy::full, .chunk_tokens = o.chunk_tokens};
  return {{"tova " + std::to_string(o.cache_size), tova},
          {"full, chunks of " + std::to_string(o.chunk_tokens), full}};
}

class ScoreRun {
 public:
  ScoreRun(const OpenModel& model, const Options& options, const CacheOptions& cache,
           std::int32_t n_in_flight, bool traces, std::int32_t n_streams)
      : options_(options),
        cache_(cache),
        device_(model, options,
                {.cache = cache,
                 .max_rows = n_streams * options.block,
                 .max_blocks = n_streams,
                 .n_in_flight = n_in_flight,
                 .traces = traces}),
        pipeline_(*device_.forward) {
    const std::int64_t room = is_bounded(cache) ? 0 : cache.chunk_tokens;
    const std::int32_t n_eviction_groups = device_.backend->n_in_flight();
    const std::int32_t n = fitting(n_streams, n_eviction_groups, model.config.shape);
    if (n < n_streams)
      std::cerr << "the memory is enough for " << n << " streams a step, not " << n_streams << "\n";
    for (std::int32_t g = 0; g < n_eviction_groups; ++g)
      groups_.emplace_back(device_, n, static_cast<std::uint64_t>(g) << 20, room);
  }

  Result run() {
    const double start = now_s();
    while (windows_.empty() || (windows_.size() < static_cast<std::size_t>(options_.repeats) &&
                                now_s() - start < options_.seconds)) {
      is_bounded(cache_) ? take_document(start) : take_chunk();
    }
    Result r{.n_in_flight = static_cast<std::int32_t>(groups_.size()),
             .n_streams = groups_.front().size(),
             .tokens_per_s = 0.0,
             .step_s = median(windows_),
             .submit_s = pipeline_.submit_seconds() / static_cast<double>(n_submitted_),
             .state_bytes = 0,
             .trace = device_.backend->take_trace()};
    r.tokens_per_s = static_cast<double>(r.n_streams) * options_.block / r.step_s;
    r.state_bytes = device_.backend->state_bytes() * static_cast<std::uint64_t>(r.n_streams) *
                    static_cast<std::uint64_t>(r.n_in_flight);
    return r;
  }

 private:
  // The embedding goes to the device with the first step.
  std::int32_t fitting(std::int32_t wanted, std::int32_t n_eviction_groups,
                       const ModelShape& shape) const {
    const Backend& b = *device_.backend;
    const std::uint64_t all = device_.bytes_for_states(kHostStates);
    const std::uint64_t later = static_cast<std::uint64_t>(shape.vocab_size) *
                                    static_cast<std::uint64_t>(shape.hidden_size) *
                                    static_cast<std::uint64_t>(element_bytes(device_.dtype)) +
                                b.workspace_bytes_for(cache_.chunk_tokens, false) -
                                b.workspace_bytes();
    const std::uint64_t each = b.state_bytes() * static_cast<std::uint64_t>(n_eviction_groups);
    const std::uint64_t fit = all > later ? (all - later) / std::max<std::uint64_t>(1, each) : 0;
    return static_cast<std::int32_t>(
        std::clamp<std::uint64_t>(fit, 1, static_cast<std::uint64_t>(wanted)));
  }

  void step(StreamGroup& group) {
    pipeline_.submit(group.next(options_.block, Head::likelihoods));
    ++n_submitted_;
  }

  void restart() {
    pipeline_.drain();
    for (StreamGroup& group : groups_) group.restart();
  }

  // A document of each stream: states are filled, then each kWindowSteps steps of all groups are a
  // window, without a pause between them.
  void take_document(double start) {
    restart();
    const auto steps_until = [&](std::int64_t position) {
      return (position - groups_.front().position()) / options_.block;
    };
    for (auto n = steps_until(cache_.cache_size + 2 * options_.block - 1); n > 0; --n)
      for (StreamGroup& group : groups_) step(group);
    if (windows_.empty()) {
      pipeline_.drain();
      device_.backend->take_trace();  // of steps that are not full
      for (StreamGroup& group : groups_) step(group);
    }
    const std::uint64_t each = kWindowSteps * groups_.size();
    std::optional<std::uint64_t> first;
    double mark = 0.0;
    for (auto n = std::max<std::int64_t>(steps_until(options_.document_tokens), kWindowSteps + 2);
         n > 0; --n) {
      for (StreamGroup& group : groups_) {
        step(group);
        if (!pipeline_.is_full()) continue;
        pipeline_.collect();
        if (!first) first = pipeline_.n_collected();
        if ((pipeline_.n_collected() - *first) % each != 0) continue;
        const double now = now_s();
        if (pipeline_.n_collected() > *first)
          windows_.push_back((now - mark) / static_cast<double>(each));
        mark = now;
      }
      if (!windows_.empty() && now_s() - start > options_.seconds) break;
    }
    pipeline_.drain();
  }

  // A chunk of each stream from its beginning to its end is a window. The first is warm-up.
  void take_chunk() {
    for (const bool counts : {false, true}) {
      if (!counts && !windows_.empty()) continue;
      restart();
      if (counts && windows_.empty()) device_.backend->take_trace();
      const double begin = now_s();
      const std::int32_t n = std::max(1, cache_.chunk_tokens / options_.block);
      for (std::int32_t i = 0; i < n; ++i)
        for (StreamGroup& group : groups_) step(group);
      pipeline_.drain();
      if (counts) windows_.push_back((now_s() - begin) / (static_cast<double>(n) * groups_.size()));
    }
  }

  const Options& options_;
  CacheOptions cache_;
  Device device_;
  Pipeline pipeline_;
  std::vector<StreamGroup> groups_;  // one for each step in flight
  std::vector<double> windows_;      // seconds of a step
  std::uint64_t n_submitted_ = 0;
};

// With fewer streams where memory ends on the way.
Result run_fitting(const OpenModel& model, const Options& options, const CacheOptions& cache,
                   std::int32_t n_in_flight, bool traces) {
  for (std::int32_t n = options.streams;; n = n * 3 / 4) {
    try {
      return ScoreRun(model, options, cache, n_in_flight, traces, n).run();
    } catch (const OutOfMemory& e) {
      if (n < 2) throw;
      std::cerr << n << " streams are too many (" << e.what() << "): trying fewer\n";
    }
  }
}

void print_gemm(const GemmRate& rate, std::int32_t n_rows) {
  std::cout << "\nProducts alone, " << n_rows
            << " rows: " << shown(rate.operations_per_s * 1e-12, 3) << " TFLOP/s\n";
  if (rate.shapes.front().seconds <= 0.0) return;
  Table table("products", {"matrix", "n_out", "n_in", "us   ", "TFLOP/s"});
  for (const ShapeRate& s : rate.shapes) {
    const double tflops = 2e-12 * n_rows * s.n_out * s.n_in / s.seconds;
    table.row({s.name, std::to_string(s.n_out), std::to_string(s.n_in), shown(s.seconds * 1e6, 0),
               shown(tflops, 0)},
              {{"matrix", s.name}, {"seconds", s.seconds}, {"tflops", tflops}});
  }
  table.end();
}

// Returns the share of the products' rate, of `operations` a token.
double add_row(Table& table, const Setting& setting, const Result& r, double operations,
               const GemmRate& gemm) {
  const double rate = r.tokens_per_s * operations, share = rate / gemm.operations_per_s;
  table.row({setting.name, std::to_string(r.n_in_flight), std::to_string(r.n_streams),
             shown(static_cast<double>(r.state_bytes) / (1 << 30), 2), shown(r.step_s * 1e3, 2),
             shown(r.submit_s * 1e3, 2), shown(r.tokens_per_s, 0), shown(rate * 1e-12, 3),
             shown(share, 3)},
            {{"policy", setting.name},
             {"lanes", r.n_in_flight},
             {"streams", r.n_streams},
             {"step_seconds", r.step_s},
             {"submit_seconds", r.submit_s},
             {"tokens_per_second", r.tokens_per_s},
             {"share", share}});
  return share;
}

constexpr std::array<const char*, kStepParts> kPartNames{
    "products", "scores", "scan", "softmax, values", "decode", "states", "rows", "head"};

// Times of one step in flight at a time, measured with events, which cost some speed.
void print_trace(const std::string& name, const Result& r, std::int32_t n_layers) {
  if (r.trace.n_steps == 0) return;
  const auto n_steps = static_cast<double>(r.trace.n_steps);
  std::cout << "\nWhere the time goes: " << name << ", " << r.n_streams << " streams, a step of "
            << shown(r.trace.busy_seconds / n_steps * 1e3, 2) << " ms, "
            << shown(r.trace.gap_seconds / n_steps * 1e6, 1) << " us between steps\n";
  Table table("parts", {"part           ", "ms a step", "us a layer", "share"});
  double rest = r.trace.busy_seconds / n_steps;
  const auto row = [&](const std::string& part, double seconds, bool in_layers) {
    table.row({part, shown(seconds * 1e3, 3), in_layers ? shown(seconds / n_layers * 1e6, 1) : "-",
               shown(seconds * n_steps / r.trace.busy_seconds, 3)},
              {{"policy", name}, {"part", part}, {"seconds", seconds}});
  };
  for (std::size_t p = 0; p < kStepParts; ++p) {
    const double seconds = r.trace.part_seconds[p] / n_steps;
    rest -= seconds;
    row(kPartNames[p], seconds, static_cast<StepPart>(p) != StepPart::head);
  }
  row("rest", std::max(0.0, rest), true);
  table.end();
}

// How long the device has nothing to do where steps follow closely.
void print_gaps(const OpenModel& model, const Options& options) {
  const Setting tova = settings_of(options).front();
  for (const std::int32_t n_in_flight : options.lanes) {
    if (n_in_flight < 2 || in_flight_there(model, options, n_in_flight) != n_in_flight) continue;
    const Result r = run_fitting(model, options, tova.cache, n_in_flight, true);
    if (r.trace.n_steps == 0) continue;
    const double gap = r.trace.gap_seconds / static_cast<double>(r.trace.n_steps);
    std::cout << tova.name << ", " << n_in_flight
              << " steps in flight: between steps the device has "
              << "nothing to do for " << shown(gap * 1e6, 1) << " us\n"
              << Json{{"benchmark", "gap"}, {"lanes", n_in_flight}, {"seconds", gap}}.dump()
              << "\n";
  }
}

}  // namespace

void benchmark_score(const Options& options) {
  const OpenModel model(options.model);
  const double operations = 2.0 * static_cast<double>(active_parameters(
                                      model.config.shape, all_layers(model.config)));  // of a token
  const std::int32_t n_rows = options.streams * options.block;
  const GemmRate gemm = measure_gemm_of(model, options, n_rows);
  print_gemm(gemm, n_rows);
  Table table("score", {"policy              ", "lanes", "streams a step", "states GiB",
                        "ms a step", "host ms", "tokens/s", "TFLOP/s", "/ products"});
  Json best{{"tova_share", 0.0}, {"full_share", 0.0}};
  for (const Setting& setting : settings_of(options)) {
    for (const std::int32_t n_in_flight : options.lanes) {
      if (in_flight_there(model, options, n_in_flight) != n_in_flight) continue;
      const Result r = run_fitting(model, options, setting.cache, n_in_flight, false);
      const double share = add_row(table, setting, r, operations, gemm);
      Json& most = best[is_bounded(setting.cache) ? "tova_share" : "full_share"];
      most = std::max(most.get<double>(), share);
    }
  }
  table.end();
  for (const Setting& setting : settings_of(options))
    print_trace(setting.name, run_fitting(model, options, setting.cache, 1, true),
                model.config.shape.n_layers);
  print_gaps(model, options);
  Json line{{"benchmark", "score_summary"}};
  line.update(best);
  std::cout << line.dump() << std::endl;
}

}  // namespace tovamill::bench
