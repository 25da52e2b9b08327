// Benchmarks of a GPU, as Markdown tables and lines of JSON:
//   gpu_benchmark score   scoring, as a share of the matrix products alone
//   gpu_benchmark decode  decoding with all of the memory, as a share of what its bandwidth allows
//   gpu_benchmark smollm  scoring texts with a small model: what bounds it
//   gpu_benchmark device  the GPUs that can be used; exit code 69 and why not where none can
// Weights and tokens of `score` and `decode` are random: only shapes count. Each measurement warms
// up, and gives the median of its windows. --help lists the options; with --device cpu and
// --model random:tiny all of it runs anywhere, to try the benchmark itself.
#include "jobs/bench/gpu_benchmark.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <iostream>

#include "jobs/bench/bench_table.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/gpu_info.h"
#include "kernels/types/error.h"
#include "kernels/types/version.h"
#include "workers/options/option_values.h"

namespace tovamill::bench {
namespace {

namespace po = boost::program_options;

constexpr char kUsage[] = "usage: gpu_benchmark score|decode|smollm|device [options]\n";

// Options that are enums, as they are given.
struct Texts {
  std::string device{name_of(DeviceKind::cuda)}, dtype = text_of(std::optional<ComputeType>());
};

po::options_description describe(Options& o, Texts& texts) {
  po::options_description d("Options, with their defaults");
  const auto add = [&](const char* name, auto& field, const char* help) {
    using Field = std::remove_reference_t<decltype(field)>;
    auto* value = po::value<Field>(&field);
    if constexpr (requires { field.push_back({}); } && !std::is_same_v<Field, std::string>) {
      value->multitoken();
    } else {
      value->default_value(field);
    }
    d.add_options()(name, value, help);
  };
  add("model", o.model, "as of tovamill");
  add("device", texts.device, "cuda or cpu");
  add("dtype", texts.dtype, "auto, bf16 or f32");
  add("threads", o.threads, "of the host; 0: all cores");
  add("lanes", o.lanes, "steps in flight at once, a measurement each (1 2)");
  add("streams", o.streams, "score, smollm: documents in a step");
  add("block", o.block, "tokens of a document in a step");
  add("cache-size", o.cache_size, "score, smollm: k of tova");
  add("document-tokens", o.document_tokens, "score: length of a document of tova");
  add("chunk-tokens", o.chunk_tokens, "score, decode: tokens that full attends to at most");
  add("most-streams", o.most_streams, "decode: at most, whatever the memory holds");
  add("memory", o.memory, "bytes that the model may take of the GPU, states of a CPU's; 0: auto");
  add("seconds", o.seconds, "that one measurement takes, its first window aside");
  add("repeats", o.repeats, "windows that a median is taken of");
  add("corpus", o.corpus, "smollm: texts");
  d.add_options()("help", "print this");
  return d;
}

void read(const Texts& texts, Options& o) {
  std::optional<DeviceKind> device;
  read_text("--device", texts.device, device);
  o.device = device.value_or(DeviceKind::cuda);
  read_text("--dtype", texts.dtype, o.dtype);
}

void check(const Options& o) {
  const auto refuse = [](const std::string& what) {
    throw Error(ExitCode::usage, what + " (see gpu_benchmark --help)");
  };
  for (const auto& [name, value] :
       {std::pair{"--streams", o.streams},
        {"--block", o.block},
        {"--cache-size", o.cache_size},
        {"--document-tokens", o.document_tokens},
        {"--chunk-tokens", o.chunk_tokens},
        {"--most-streams", o.most_streams},
        {"--repeats", o.repeats},
        {"--lanes", *std::min_element(o.lanes.begin(), o.lanes.end())}}) {
    if (value < 1 || value > 1 << 20) refuse(std::string(name) + " is a number from 1");
  }
  if (o.chunk_tokens < 2 * (4 + 8 * o.repeats)) refuse("--chunk-tokens is too small for --repeats");
  if (static_cast<std::int64_t>(o.streams) * o.block > 1 << 20)
    refuse("--streams times --block is more than a million rows");
}

int show_devices() {
  const GpuInfo gpu = gpu_info();
  if (!gpu.rejection.empty()) throw Error(ExitCode::no_device, gpu.rejection);
  for (const std::string& device : gpu.devices) std::cout << device << ", " << gpu.versions << "\n";
  return 0;
}

int run(int argc, char** argv) {
  Options o;
  Texts texts;
  const po::options_description description = describe(o, texts);
  const std::string part = argc > 1 ? argv[1] : "";
  if (part == "device") return show_devices();
  const bool wants_help = part == "--help" || part == "help";
  if (wants_help || (part != "score" && part != "decode" && part != "smollm")) {
    (wants_help ? std::cout : std::cerr) << kUsage << description;
    return wants_help ? 0 : static_cast<int>(ExitCode::usage);
  }
  po::variables_map values;
  const std::vector<std::string> arguments(argv + 2, argv + argc);
  po::store(po::command_line_parser(arguments).options(description).positional({}).run(), values);
  po::notify(values);
  if (values.count("help") > 0) {
    std::cout << kUsage << description;
    return 0;
  }
  if (o.lanes.empty()) o.lanes = {1};
  read(texts, o);
  check(o);
  if (o.model.empty()) o.model = part == "smollm" ? "random:smollm2-135m" : "random:llama-7b";
  if (o.threads <= 0) o.threads = cpu_info().n_cores_usable();
  const GpuInfo gpu = gpu_info();
  std::cout << "gpu_benchmark " << part << ": tovamill " << program_version() << " (" << git_hash()
            << "), " << o.model << ", "
            << (o.device == DeviceKind::cuda && !gpu.devices.empty()
                    ? gpu.devices.front() + ", " + gpu.versions
                    : cpu_info().model)
            << ", dtype " << text_of(o.dtype) << "\n";
  if (part == "score") benchmark_score(o);
  if (part == "decode") benchmark_decode(o);
  if (part == "smollm") benchmark_smollm(o);
  return 0;
}

}  // namespace
}  // namespace tovamill::bench

int main(int argc, char** argv) {
  try {
    return tovamill::bench::run(argc, argv);
  } catch (const tovamill::Error& error) {
    std::cerr << "gpu_benchmark: error: " << error.what() << "\n";
    return static_cast<int>(error.code());
  } catch (const boost::program_options::error& error) {
    std::cerr << "gpu_benchmark: error: " << error.what() << " (see gpu_benchmark --help)\n";
    return static_cast<int>(tovamill::ExitCode::usage);
  } catch (const std::exception& error) {
    std::cerr << "gpu_benchmark: error: " << error.what() << "\n";
    return 1;
  }
}
