// What a GPU is asked at the start: that it is there, that the program can run on it, and that its
// GEMMs do not depend on how many rows there are. On an emulated GPU, which can be made to fail.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/gpu_info.h"
#include "kernels/types/error.h"
#include "tests/support/attention/devices.h"
#include "tests/support/attention/emulated_gpu.h"
#include "tests/support/error_of.h"

namespace tovamill::testing {
namespace {

constexpr std::int32_t kHidden = 24, kOut = 40, kMaxRows = 300;

class CudaStart : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!take_gpu_counts()) GTEST_SKIP() << "no emulated GPU, which can be made to fail";
  }
  void TearDown() override { set_machine({}); }
  static std::unique_ptr<Backend> make(int device_index = 0) {
    return make_cuda_backend({.shape = {.n_layers = 1,
                                        .hidden_size = kHidden,
                                        .intermediate_size = 8,
                                        .n_heads = 2,
                                        .n_kv_heads = 1,
                                        .head_dim = 10,
                                        .vocab_size = kOut,
                                        .trained_context = 512,
                                        .ropes = {std::vector<double>(5, 0.1)},
                                        .layers = {{}}},
                              .cache = {.cache_size = 8},
                              .dtype = ComputeType::f32,
                              .max_rows = kMaxRows,
                              .max_block = kMaxRows,
                              .device_index = device_index,
                              .device_bytes = kTestDeviceBytes});
  }
  static std::string refusal(const EmulatedMachine& machine, int device_index = 0) {
    set_machine(machine);
    return error_of([&] { make(device_index); }, ExitCode::no_device);
  }
};

TEST_F(CudaStart, SaysThatTheDriverIsTooOld) {
  const std::string why = refusal({.driver_version = 12000, .fault = GpuFault::old_driver});
  EXPECT_TRUE(contains(why, "driver is for CUDA 12.0")) << why;
  EXPECT_TRUE(contains(why, "newer driver")) << why;
}

TEST_F(CudaStart, SaysThatThereIsNoDriverOrNoGpu) {
  EXPECT_TRUE(contains(refusal({.driver_version = 0}), "no NVIDIA driver"));
  EXPECT_TRUE(contains(refusal({.n_devices = 0}), "sees no GPU"));
}

TEST_F(CudaStart, RefusesAnArchitectureThatIsTooOldOrNotBuiltFor) {
  EXPECT_TRUE(contains(refusal({.major = 7}), "compute capability 7.0"));
  EXPECT_TRUE(contains(refusal({.fault = GpuFault::no_code}), "no code for this GPU"));
}

TEST_F(CudaStart, RefusesHeadsThatItsSharedMemoryDoesNotHold) {
  const std::string why = refusal({.shared_kib = 16});
  EXPECT_TRUE(contains(why, "heads of 10 need ")) << why;
  EXPECT_TRUE(contains(why, "has 16; use --dtype bf16 or --device cpu")) << why;
}

TEST_F(CudaStart, RefusesADeviceThatIsNotThere) {
  EXPECT_TRUE(contains(refusal({.n_devices = 2}, 2), "GPU 2 is asked for"));
  EXPECT_TRUE(contains(refusal({.n_devices = 2}, -1), "GPU -1 is asked for"));
  set_machine({.n_devices = 2});
  make(1);
}

// A row of `n` rows by a matrix, as the step multiplies it.
std::vector<float> first_row(Backend& backend, const Matrix& w, std::int32_t n, bool single,
                             bool adds) {
  std::vector<std::unique_ptr<StreamState>> states;
  std::vector<StepBlock> blocks;
  for (std::int32_t i = 0; i < (single ? n : 1); ++i) {
    states.push_back(backend.make_state());
    blocks.push_back({.state = states.back().get(), .first_row = i, .n_tokens = single ? 1 : n});
  }
  std::vector<float> x(static_cast<std::size_t>(n) * kHidden),
      zeros(static_cast<std::size_t>(n) * kOut);
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(1 + i % 7) / static_cast<float>(3 + i % kHidden);
  auto in = backend.device().make_buffer(kMaxRows, kHidden, BufferType::compute),
       out = backend.device().make_buffer(kMaxRows, kOut, BufferType::full);
  backend.begin_step(blocks, n);
  backend.device().write_rows(*in, 0, x);
  backend.device().write_rows(*out, 0, zeros);
  if (adds) {
    backend.project_add(*in, w, *out);
  } else {
    backend.project(*in, w, *out);
  }
  std::vector<float> row(kOut);
  backend.device().read_rows(*out, 0, row);
  backend.finish_step();
  return row;
}

// Though all of it was said to be free.
TEST_F(CudaStart, TakesLessMemoryWhereLessCanBeHad) {
  EXPECT_FALSE(contains(make()->device().description(), "could be had"));
  const std::uint64_t largest = kTestDeviceBytes / 4 * 3;
  set_machine({.largest_block = largest});
  const auto backend = make();
  EXPECT_LE(backend->device().device_bytes_left().value() + backend->workspace_bytes(), largest);
  EXPECT_TRUE(contains(backend->device().description(),
                       "only 0.1 GiB of 0.1 GiB of its memory could be had"))
      << backend->device().description();
  set_machine({.largest_block = 1 << 20});
  const std::string why = error_of([] { make(); }, ExitCode::internal);
  EXPECT_TRUE(contains(why, "out of GPU memory")) << why;
}

class CudaGemm : public CudaStart {
 protected:
  static std::vector<float> weights() {
    std::vector<float> w(kOut * kHidden);
    for (std::size_t i = 0; i < w.size(); ++i)
      w[i] = static_cast<float>(i % 13) / static_cast<float>(1 + i % 5);
    return w;
  }
  static TensorView view(const std::vector<float>& weights) {
    return {.name = "w",
            .storage = StorageType::f32,
            .shape = {kOut, kHidden},
            .data = reinterpret_cast<const std::byte*>(weights.data()),
            .n_bytes = weights.size() * 4};
  }
  // First rows of several numbers of rows, and what the backend says of itself.
  static std::pair<std::vector<std::vector<float>>, std::string> rows(bool single,
                                                                      const EmulatedMachine& m) {
    set_machine(m);
    const std::vector<float> values = weights();
    const auto backend = make();
    const auto w = backend->device().pack({.parts = {view(values)}});
    std::vector<std::vector<float>> all;
    for (const std::int32_t n : {2, 20, 21, 64, 65, 280})
      all.push_back(first_row(*backend, *w, n, single, false));
    return {all, backend->device().description()};
  }
};

// Products of up to 20 rows are summed in another order by all algorithms: rows are padded then.
TEST_F(CudaGemm, PadRowsWhereTheyDependOnTheirNumber) {
  for (const bool single : {false, true}) {
    const auto [plain, description] = rows(single, {});
    EXPECT_FALSE(contains(description, "padded")) << description;
    for (const auto& row : plain) EXPECT_EQ(row, plain[0]);
    const auto [padded, other] = rows(single, {.few_rows = 20, .n_fickle = 9});
    EXPECT_TRUE(contains(other, "padded")) << other;
    for (const auto& row : padded) EXPECT_EQ(row, plain[0]);
  }
}

// The next best algorithm is better than padding.
TEST_F(CudaGemm, TakeTheFirstAlgorithmWhoseRowsAreIndependent) {
  const auto [plain, ignored] = rows(false, {});
  for (const EmulatedMachine& m : {EmulatedMachine{.few_rows = 20, .n_fickle = 2},
                                   EmulatedMachine{.few_rows = 20, .n_refusing = 1}}) {
    const auto [all, description] = rows(false, m);
    EXPECT_FALSE(contains(description, "padded")) << description;
    for (const auto& row : all) EXPECT_EQ(row, plain[0]);
  }
}

// A step of 64, of 256 or of 300 rows has an algorithm of its own each, if its bits are those of
// the others.
TEST_F(CudaGemm, HaveAlgorithmsForTheSizeOfAStepThatGiveTheSameBits) {
  for (const bool single : {false, true}) {
    set_machine({.few_rows = 1, .contrary_rows = 256});
    const std::vector<float> values = weights();
    const auto backend = make();
    EXPECT_FALSE(contains(backend->device().description(), "padded"))
        << backend->device().description();
    const auto w = backend->device().pack({.parts = {view(values)}});
    const auto expected = first_row(*backend, *w, 1, single, false);
    for (const auto& [n, chosen_for] : {std::pair{20, 64}, {64, 64}, {65, 256}, {280, 1024}}) {
      take_gemm_by(0);
      EXPECT_EQ(first_row(*backend, *w, n, single, false), expected) << n;
      EXPECT_EQ(take_gemm_by(chosen_for), 1u) << n << (single ? " single" : "");
    }
  }
}

// Padded rows are multiplied by what multiplies so many.
TEST_F(CudaGemm, ArePaddedWhereFewRowsAreRefused) {
  const auto [plain, ignored] = rows(true, {});
  const auto [all, description] = rows(true, {.few_rows = 33, .n_refusing = 9});
  EXPECT_TRUE(contains(description, "padded")) << description;
  for (const auto& row : all) EXPECT_EQ(row, plain[0]);
}

}  // namespace
}  // namespace tovamill::testing
