// The rate of a model's matrix products alone, as oneDNN itself threads them: what a run of
// tovamill could reach if all else cost nothing.
//   gemm_benchmark --model M [--dtype bf16|f32|both] [--threads N] [--layers N] [--runs N]
// For steps of 64, 256, 512 and 1024 rows: in every layer qkv (n_q + 2 n_kv, hidden), o (hidden,
// n_q), gate and up (2 intermediate, hidden), down (hidden, intermediate), then the head (vocab,
// hidden) on all rows. Weights are packed once in the layout that oneDNN asks for (`any`), every
// layer has its own, results have the type of the operands. A step is 2 * rows * weights operations
// and reads every weight once. Warm-up, then the best and the median of the runs. Shapes come from
// the model's configuration, its weights are not read. --layers N times N layers only, for models
// that do not fit the memory, and counts them as all.
#include <omp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kernels/cpu/cpu_info.h"
#include "kernels/types/error.h"
#include "workers/load/model_parts.h"
#include "workers/options/option_values.h"

namespace {

using dnnl::memory;
using tovamill::ComputeType;
using Clock = std::chrono::steady_clock;

constexpr std::array<std::int64_t, 4> kRows{64, 256, 512, 1024};

struct Arguments {
  std::string model;
  std::optional<ComputeType> dtype;  // none: both
  std::int32_t threads = 0, layers = 0, runs = 7;
};

// The values' own bits do not matter, but zeros would be kind to the power budget: numbers near
// 0.01, of both signs.
void fill(memory& m, memory::data_type type) {
  const std::size_t n = m.get_desc().get_size() / 2;
  auto* half_words = static_cast<std::uint16_t*>(m.get_data_handle());
  std::uint32_t random = 1;
  for (std::size_t i = 0; i < n; ++i) {
    random = random * 1664525u + 1013904223u;
    const bool is_exponent = type == memory::data_type::bf16 || i % 2 == 1;
    half_words[i] =
        static_cast<std::uint16_t>(is_exponent ? 0x3c00u | (random >> 16 & 0x807fu) : random >> 16);
  }
}

// (rows, n_in) x (n_in, n_out), with the weights of `n_copies` layers.
class GemmProblem {
 public:
  GemmProblem(const dnnl::engine& engine, memory::data_type type, std::int64_t rows,
              std::int64_t n_in, std::int64_t n_out, std::int32_t n_copies)
      : operations_(2.0 * static_cast<double>(rows) * static_cast<double>(n_in) *
                    static_cast<double>(n_out)) {
    using Tag = memory::format_tag;
    const memory::desc x({rows, n_in}, type, Tag::ab), w({n_in, n_out}, type, Tag::any),
        out({rows, n_out}, type, Tag::ab);
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::matmul::primitive_desc description(engine, x, w, out);
#else
    const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(x, w, out), engine);
#endif
    primitive_ = dnnl::matmul(description);
    x_ = memory(x, engine);
    out_ = memory(out, engine);
    fill(x_, type);
    fill(out_, type);
    for (std::int32_t i = 0; i < n_copies; ++i)
      fill(weights_.emplace_back(description.weights_desc(), engine), type);
  }

  void run(dnnl::stream& stream, std::size_t copy) {
    primitive_.execute(
        stream, {{DNNL_ARG_SRC, x_}, {DNNL_ARG_WEIGHTS, weights_[copy]}, {DNNL_ARG_DST, out_}});
  }
  double operations() const { return operations_; }

 private:
  double operations_;
  dnnl::matmul primitive_;
  memory x_, out_;
  std::vector<memory> weights_;
};

struct Times {
  double best_s, median_s;
};

template <class Body>
Times time_runs(std::int32_t n, Body&& body) {
  std::vector<double> seconds;
  for (std::int32_t run = -1; run < n; ++run) {
    const auto start = Clock::now();
    body();
    if (run >= 0) seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  std::ranges::sort(seconds);
  return {seconds.front(), seconds[seconds.size() / 2]};
}

void measure(const tovamill::ModelShape& shape, const Arguments& arguments, const char* name,
             memory::data_type type) {
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const std::int32_t layers =
      arguments.layers > 0 ? std::min(arguments.layers, shape.n_layers) : shape.n_layers;
  const double scale = static_cast<double>(shape.n_layers) / layers;
  for (const std::int64_t rows : kRows) {
    std::array<GemmProblem, 4> layer{
        GemmProblem(engine, type, rows, shape.hidden_size, shape.q_size() + 2 * shape.kv_size(),
                    layers),
        GemmProblem(engine, type, rows, shape.q_size(), shape.hidden_size, layers),
        GemmProblem(engine, type, rows, shape.hidden_size,
                    2 * std::int64_t{shape.intermediate_size}, layers),
        GemmProblem(engine, type, rows, shape.intermediate_size, shape.hidden_size, layers)};
    GemmProblem head(engine, type, rows, shape.hidden_size, shape.vocab_size, 1);
    const Times in_layers = time_runs(arguments.runs, [&] {
      for (std::int32_t l = 0; l < layers; ++l) {
        for (GemmProblem& gemm : layer) gemm.run(stream, static_cast<std::size_t>(l));
      }
      stream.wait();
    });
    const Times in_head = time_runs(arguments.runs, [&] {
      head.run(stream, 0);
      stream.wait();
    });
    double operations = head.operations();
    for (const GemmProblem& gemm : layer) operations += gemm.operations() * shape.n_layers;
    const double best = in_layers.best_s * scale + in_head.best_s,
                 median = in_layers.median_s * scale + in_head.median_s;
    std::printf("| %-5s | %4ld | %9.2f | %7.2f | %13.0f | %15.0f | %12.3f | %14.3f |\n", name,
                static_cast<long>(rows), in_layers.best_s * scale * 1e3, in_head.best_s * 1e3,
                static_cast<double>(rows) / best, static_cast<double>(rows) / median,
                operations / best / 1e12, operations / median / 1e12);
    std::fflush(stdout);
  }
}

std::int32_t number(const char* option, const char* text) {
  std::int32_t n = 0;
  const char* end = text + std::strlen(text);
  if (std::from_chars(text, end, n).ptr != end || n < 1) {
    throw tovamill::Error(tovamill::ExitCode::usage,
                          std::string(option) + " takes a number from 1, not '" + text + "'");
  }
  return n;
}

[[noreturn]] void fail_usage() {
  throw tovamill::Error(tovamill::ExitCode::usage,
                        "usage: gemm_benchmark --model M [--dtype bf16|f32|both] [--threads N] "
                        "[--layers N] [--runs N]");
}

Arguments parse(int argc, char** argv) {
  Arguments a;
  if (argc % 2 == 0) fail_usage();
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i];
    const char* value = argv[i + 1];
    if (option == "--model") {
      a.model = value;
    } else if (option == "--dtype") {
      if (value != std::string_view("both")) tovamill::read_text(option, value, a.dtype);
    } else if (option == "--threads") {
      a.threads = number("--threads", value);
    } else if (option == "--layers") {
      a.layers = number("--layers", value);
    } else if (option == "--runs") {
      a.runs = number("--runs", value);
    } else {
      fail_usage();
    }
  }
  if (a.model.empty()) fail_usage();
  return a;
}

// A CPU that cannot multiply the type says so once.
void measure_if_possible(const tovamill::ModelShape& shape, const Arguments& a, ComputeType dtype,
                         memory::data_type type) {
  if (a.dtype.value_or(dtype) != dtype) return;
  const char* name = tovamill::name_of(dtype).data();
  try {
    measure(shape, a, name, type);
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) throw;
    std::printf("| %-5s | oneDNN cannot multiply it on this CPU: %s |\n", name, error.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Arguments a = parse(argc, argv);
    const auto files = tovamill::ModelFiles::open(a.model, tovamill::ModelFiles::Parts::all);
    const tovamill::ModelConfig config = tovamill::config_of(*files);
    const tovamill::CpuInfo cpu = tovamill::cpu_info();
    if (a.threads == 0) a.threads = cpu.n_cores_usable();
    omp_set_num_threads(a.threads);
    std::printf("%s, %d threads of %s, oneDNN %s\n", a.model.c_str(), a.threads, cpu.model.c_str(),
                tovamill::onednn_version().c_str());
    std::printf(
        "| dtype | rows | layers ms | head ms | best tokens/s | median tokens/s | best TFLOP/s | "
        "median TFLOP/s |\n"
        "|-------|------|-----------|---------|---------------|-----------------|--------------|---"
        "-------------|\n");
    measure_if_possible(config.shape, a, ComputeType::bf16, memory::data_type::bf16);
    measure_if_possible(config.shape, a, ComputeType::f32, memory::data_type::f32);
  } catch (const tovamill::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
