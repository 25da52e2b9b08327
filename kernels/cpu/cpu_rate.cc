#include <omp.h>

#include <algorithm>
#include <chrono>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "kernels/cpu/cpu_info.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

dnnl::matmul::primitive_desc describe_gemm(const dnnl::engine& engine, const dnnl::memory::desc& a,
                                           const dnnl::memory::desc& b,
                                           const dnnl::memory::desc& c) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, a, b, c};
#else
  return {dnnl::matmul::desc(a, b, c), engine};
#endif
}

double best_gemm_rate(dnnl::memory::data_type type) {
  using Clock = std::chrono::steady_clock;
  using Tag = dnnl::memory::format_tag;
  constexpr std::int64_t n = 2048;
  constexpr auto kTime = std::chrono::milliseconds(500);
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const dnnl::memory::desc plain({n, n}, type, Tag::ab), any({n, n}, type, Tag::any);
  const auto description =
      describe_gemm(engine, plain, any, plain);  // weights in the library's own layout
  const dnnl::matmul gemm(description);
  dnnl::memory a(plain, engine), b(description.weights_desc(), engine), c(plain, engine);
  for (dnnl::memory* matrix : {&a, &b, &c}) {
    std::fill_n(static_cast<char*>(matrix->get_data_handle()), matrix->get_desc().get_size(), '\0');
  }
  const std::unordered_map<int, dnnl::memory> arguments{
      {DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}};
  const auto run = [&] {
    const auto start = Clock::now();
    gemm.execute(stream, arguments);
    stream.wait();
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  run();
  double best_s = run();
  for (const auto end = Clock::now() + kTime; Clock::now() < end;) best_s = std::min(best_s, run());
  return 2.0 * n * n * n / best_s;
}

}  // namespace

std::string onednn_version() {
  const dnnl_version_t* v = dnnl_version();
  return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
}

double measure_gemm(ComputeType dtype, std::int32_t n_threads) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(n_threads);
  double rate = 0.0;
  try {
    rate = best_gemm_rate(dtype == ComputeType::bf16 ? dnnl::memory::data_type::bf16
                                                     : dnnl::memory::data_type::f32);
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory)
      throw OutOfMemory("out of memory: the matrix products cannot be measured");
    // "unimplemented" is the answer of a CPU without the instructions; there is nothing else to say
    // of it.
    if (error.status != dnnl_unimplemented) throw;
  }
  omp_set_num_threads(before);
  return rate;
}

}  // namespace tovamill
