#include "kernels/gpu_measure.h"

#include <gtest/gtest.h>

#include "kernels/types/error.h"

namespace tovamill {
namespace {

// Where the build or the machine has no GPU, it says so as the backend does.
TEST(GpuMeasure, GivesRatesWhereThereIsAGpuAndSaysWhereThereIsNone) {
  const GemmShape shapes[] = {{256, 128}, {33, 257}};
  try {
    const auto timings = measure_gpu_gemm({.n_rows = 64, .seconds_each = 0.01}, shapes);
    ASSERT_EQ(timings.size(), 2u);
    for (const GemmTiming& t : timings) {
      EXPECT_GT(t.seconds, 0.0);
      EXPECT_GT(t.n_algorithms, 0);
    }
    const GpuBandwidth bandwidth = measure_gpu_bandwidth(0, std::uint64_t{4} << 20);
    EXPECT_GT(bandwidth.copy, 0.0);
    EXPECT_GT(bandwidth.read, 0.0);
  } catch (const Error& e) {
    ASSERT_EQ(e.code(), ExitCode::no_device) << e.what();
    EXPECT_THROW(measure_gpu_bandwidth(0), Error);
  }
}

}  // namespace
}  // namespace tovamill
