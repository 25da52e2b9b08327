// The parts of gpu_benchmark, each of which prints its tables. See gpu_benchmark.cc.
#pragma once

#include "jobs/bench/bench_device.h"

namespace tovamill::bench {

void benchmark_score(const Options& options);
void benchmark_decode(const Options& options);
void benchmark_smollm(const Options& options);

}  // namespace tovamill::bench
