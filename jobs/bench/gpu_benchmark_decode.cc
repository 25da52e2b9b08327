// Decoding, as table 1 of the paper: each policy with the greatest number of streams that the
// device's memory holds, their states full.
#include <algorithm>
#include <cmath>
#include <iostream>

#include "jobs/bench/bench_table.h"
#include "jobs/bench/gpu_benchmark.h"
#include "kernels/types/error.h"
#include "workers/load/memory_plan.h"

namespace tovamill::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int32_t kDecodeWindowSteps = 8, kWarmSteps = 4;
constexpr std::uint64_t kDecodeHostStates = 64u
                                            << 20;  // bytes, where states are in the host's memory
constexpr std::int32_t kCacheSizes[] = {4096, 2048, 1024, 512, 256};  // table 1

struct Case {
  std::string name;
  CacheOptions cache;
};

std::vector<Case> cases_of(const Options& o) {
  std::vector<Case> cases{{"full " + std::to_string(o.chunk_tokens),
                           {.policy = Policy::full, .chunk_tokens = o.chunk_tokens}}};
  for (const std::int32_t k : kCacheSizes) {
    if (k <= o.chunk_tokens)
      cases.push_back({"tova " + std::to_string(k), {.policy = Policy::tova, .cache_size = k}});
  }
  return cases;
}

// Streams that fit beside weights and buffers, which grow with the streams: from what is left at
// two sizes.
std::int32_t most_streams(const OpenModel& model, const Options& options, const CacheOptions& cache,
                          std::int32_t n_in_flight) {
  struct Left {
    double bytes, state_bytes, weight_bytes;
  };
  const auto left_at = [&](std::int32_t rows) -> Left {
    const Device shell(
        model, options,
        {.cache = cache, .max_rows = rows, .max_blocks = rows, .n_in_flight = n_in_flight}, true);
    const ModelShape& s = model.config.shape;
    const StorageType storage = expanded_to(shell.dtype).storage;
    const std::uint64_t table = bytes_of_elements(storage, head_parameters(s));
    const bool is_on_device = shell.backend->device().device_bytes_left().has_value();
    const std::uint64_t host = options.memory > 0 ? options.memory : kDecodeHostStates;
    const std::uint64_t growth = shell.backend->workspace_bytes_for(cache.chunk_tokens, false) -
                                 shell.backend->workspace_bytes();
    return {static_cast<double>(shell.bytes_for_states(host)),
            static_cast<double>(shell.backend->state_bytes()),
            is_on_device ? static_cast<double>(packed_bytes(s, all_layers(model.config), storage) +
                                               table + growth)
                         : 0.0};
  };
  const std::int32_t few = options.block, many = 4 * options.block;
  const Left a = left_at(few), b = left_at(many);
  const double per_row =
      std::max(0.0, (a.bytes - b.bytes) / (many - few)) / n_in_flight;  // a stream
  double n = (a.bytes - a.weight_bytes) / a.state_bytes;
  if (n > few) n = (a.bytes - a.weight_bytes + per_row * few) / (a.state_bytes + per_row);
  if (n < n_in_flight)
    throw OutOfMemory("the memory does not hold a stream of " + options.model +
                      ": take a GPU with "
                      "more, or a smaller model");
  return std::min(options.most_streams, static_cast<std::int32_t>(n));
}

struct Rate {
  std::int32_t n_streams = 0;
  double held_tokens = 0.0;  // of a stream, while it was timed
  double on_device = 0.0;    // tokens/s with the likelihoods of the head
  double greedy = 0.0;       // tokens/s with the tokens that are chosen, brought to the host
  double weight_bytes = 0.0, token_bytes = 0.0;  // read in a step; of a token in a state
  double state_gib = 0.0;
};

class DecodeRun {
 public:
  DecodeRun(const OpenModel& model, const Options& options, const CacheOptions& cache,
            std::int32_t n_in_flight, std::int32_t n_streams)
      : options_(options),
        cache_(cache),
        device_(model, options,
                {.cache = cache,
                 .max_rows = std::max(options.block, (n_streams + n_in_flight - 1) / n_in_flight),
                 .max_blocks = (n_streams + n_in_flight - 1) / n_in_flight,
                 .n_in_flight = n_in_flight}),
        pipeline_(*device_.forward) {
    const std::int64_t room = is_bounded(cache) ? 0 : cache.chunk_tokens;
    const std::int32_t n_eviction_groups = device_.backend->n_in_flight();
    for (std::int32_t g = 0; g < n_eviction_groups; ++g)
      groups_.emplace_back(device_, std::max(1, n_streams / n_eviction_groups),
                           static_cast<std::uint64_t>(g) << 20, room);
  }

  Rate run() {
    const ModelShape& shape = device_.model.config.shape;
    const std::int32_t n_steps = 2 * (kWarmSteps + kDecodeWindowSteps * options_.repeats);
    for (StreamGroup& group : groups_)
      group.fill_by_copy(*device_.forward,
                         is_bounded(cache_) ? cache_.cache_size + options_.block
                                            : std::max(1, cache_.chunk_tokens - n_steps),
                         options_.block);
    Rate r;
    for (const StreamGroup& group : groups_) r.n_streams += group.size();
    r.state_gib = static_cast<double>(device_.backend->state_bytes()) * r.n_streams / (1 << 30);
    const double before = static_cast<double>(groups_.front().position());
    r.on_device = r.n_streams / step_seconds(Head::likelihoods);
    const double after = static_cast<double>(groups_.front().position());
    r.held_tokens = is_bounded(cache_) ? cache_.cache_size : 0.5 * (before + after);
    r.greedy = r.n_streams / step_seconds(Head::greedy);
    const auto element = static_cast<double>(element_bytes(device_.dtype));
    r.weight_bytes = static_cast<double>(
        packed_bytes(shape, all_layers(device_.model.config), expanded_to(device_.dtype).storage));
    r.token_bytes = 2.0 * shape.n_layers * shape.kv_size() * element;
    return r;
  }

 private:
  // The median over windows, each from its first submit to its last collect, of all streams' steps.
  double step_seconds(Head head) {
    std::vector<double> windows;
    const auto take = [&](std::int32_t n) {
      for (std::int32_t i = 0; i < n; ++i) {
        for (StreamGroup& group : groups_) {
          if (pipeline_.is_full()) pipeline_.collect();  // the step before of this group
          pipeline_.submit(group.next(1, head));
        }
      }
      pipeline_.drain();
    };
    take(kWarmSteps);
    const double start = now_s();
    for (std::int32_t w = 0; w < options_.repeats; ++w) {
      const double begin = now_s();
      take(kDecodeWindowSteps);
      windows.push_back((now_s() - begin) / kDecodeWindowSteps);
      if (now_s() - start > options_.seconds) break;
    }
    return median(windows);
  }

  const Options& options_;
  CacheOptions cache_;
  Device device_;
  Pipeline pipeline_;
  std::vector<StreamGroup> groups_;
};

// With fewer streams where memory ends on the way.
Rate run_fitting(const OpenModel& model, const Options& options, const CacheOptions& cache,
                 std::int32_t n_in_flight) {
  for (std::int32_t n = most_streams(model, options, cache, n_in_flight);; n = n * 19 / 20) {
    try {
      return DecodeRun(model, options, cache, n_in_flight, n).run();
    } catch (const OutOfMemory& e) {
      if (n < 2) throw;
      std::cerr << n << " streams are too many (" << e.what() << "): trying fewer\n";
    }
  }
}

}  // namespace

void benchmark_decode(const Options& options) {
  const OpenModel model(options.model);
  const Bandwidth bandwidth = measure_bandwidth(options);
  std::cout << "\nMemory: " << shown(bandwidth.copy * 1e-12, 3)
            << " TB/s copied (read and written), " << shown(bandwidth.read * 1e-12, 3)
            << " TB/s read\n";
  Table table("decode", {"policy   ", "lanes", "streams", "states GiB", "tokens/s", "/ full",
                         "/ bound", "greedy tokens/s", "/ full", "/ bound"});
  double full = 0.0, full_greedy = 0.0;
  Json summary{{"benchmark", "decode_summary"}};
  for (const Case& c : cases_of(options)) {
    for (const std::int32_t n_in_flight : options.lanes) {
      if (in_flight_there(model, options, n_in_flight) != n_in_flight) continue;
      const Rate r = run_fitting(model, options, c.cache, n_in_flight);
      if (!is_bounded(c.cache)) {
        full = std::max(full, r.on_device);
        full_greedy = std::max(full_greedy, r.greedy);
      }
      // Weights once for all streams, though each lane reads them.
      const double bytes = r.weight_bytes + r.token_bytes * r.held_tokens * r.n_streams;
      const double bound = r.n_streams * bandwidth.copy / bytes;
      const Json json{{"policy", c.name},
                      {"lanes", n_in_flight},
                      {"streams", r.n_streams},
                      {"state_gib", r.state_gib},
                      {"tokens_per_second", r.on_device},
                      {"ratio", r.on_device / full},
                      {"share", r.on_device / bound},
                      {"greedy_tokens_per_second", r.greedy},
                      {"greedy_ratio", r.greedy / full_greedy},
                      {"greedy_share", r.greedy / bound}};
      table.row(
          {c.name, std::to_string(n_in_flight), std::to_string(r.n_streams), shown(r.state_gib, 2),
           shown(r.on_device, 0), shown(r.on_device / full, 2), shown(r.on_device / bound, 3),
           shown(r.greedy, 0), shown(r.greedy / full_greedy, 2), shown(r.greedy / bound, 3)},
          json);
      if (c.cache.cache_size != 512 || !is_bounded(c.cache)) continue;
      for (const char* key : {"ratio", "share", "greedy_ratio", "greedy_share"}) {
        const std::string name = std::string("tova_512_") + key;
        summary[name] = std::max(summary.value(name, 0.0), json[key].get<double>());
      }
    }
  }
  table.end();
  std::cout << summary.dump() << std::endl;
}

}  // namespace tovamill::bench
