// The cut of a step's rows into tiles, and that no cut changes a row's bits (kernels/README.md,
// "Reproducibility").

#include "kernels/cpu/row_tiles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/step/backend.h"
#include "kernels/types/error.h"

namespace tovamill::cpu {
namespace {

constexpr TileSizes kAllSizes = (TileSizes{1} << kTileRows.size()) - 1;

std::vector<std::int32_t> rows_of(std::int32_t n_rows, TileSizes sizes) {
  RowCut cut;
  std::vector<std::int32_t> rows;
  for (const RowTile& t : cut.cut(n_rows, sizes)) rows.push_back(t.rows());
  return rows;
}

using Rows = std::vector<std::int32_t>;

TEST(RowCut, TakesTheCheapestSizes) {
  EXPECT_EQ(rows_of(1, kAllSizes), (Rows{1}));
  EXPECT_EQ(rows_of(3, kAllSizes), (Rows{4}));
  EXPECT_EQ(rows_of(37, kAllSizes), (Rows{32, 8}));
  EXPECT_EQ(rows_of(64, kAllSizes), (Rows{64}));
  EXPECT_EQ(rows_of(127, kAllSizes), (Rows{128}));
  EXPECT_EQ(rows_of(300, kAllSizes), (Rows{128, 128, 32, 16}));
  EXPECT_EQ(rows_of(0, kAllSizes), (Rows{}));
}

TEST(RowCut, UsesOnlySizesThatItMay) {
  EXPECT_EQ(rows_of(1, kWholeTileOnly), (Rows{128}));
  EXPECT_EQ(rows_of(129, kWholeTileOnly), (Rows{128, 128}));
  EXPECT_EQ(rows_of(7, kWholeTileOnly | 1u << 2 | 1u << 4), (Rows{4, 4}));
}

// Whatever sizes there are: every row once, and nothing beyond the padding of a buffer.
TEST(RowCut, CoversEachRowOnceWithinWholeTiles) {
  RowCut cut;
  for (TileSizes sizes = kWholeTileOnly; sizes <= kAllSizes; ++sizes) {
    for (std::int32_t n_rows = 1; n_rows <= 2 * kRowTile + 1; ++n_rows) {
      std::int32_t end = 0;
      for (const RowTile& t : cut.cut(n_rows, sizes)) {
        ASSERT_EQ(t.first, end);
        ASSERT_LT(t.first, n_rows);
        ASSERT_NE(sizes >> t.size & 1, 0u);
        end += t.rows();
      }
      ASSERT_GE(end, n_rows);
      ASSERT_LE(end, (n_rows + kRowTile - 1) / kRowTile * kRowTile);
    }
  }
}

// A shape of which oneDNN has the blocks of columns and the rest of one, and a matrix with a
// narrower last chunk.
struct Shape {
  std::int32_t n_in, n_out;
};

class SameRows : public ::testing::TestWithParam<ComputeType> {
 protected:
  void SetUp() override {
    try {
      Gemm::check(type());
    } catch (const Error& e) {
      GTEST_SKIP() << e.what();  // a CPU that cannot multiply bf16
    }
  }
  static ComputeType type() { return GetParam(); }

  static constexpr std::int32_t kMostRows = 130, kMaxRows = 2 * kRowTile;

  std::unique_ptr<Backend> backend(const Shape& shape, int n_threads) const {
    BackendOptions options;
    options.shape = {.n_layers = 1,
                     .hidden_size = shape.n_in,
                     .intermediate_size = shape.n_out,
                     .n_heads = 1,
                     .n_kv_heads = 1,
                     .head_dim = 16,
                     .vocab_size = shape.n_out,
                     .trained_context = 512,
                     .ropes = {std::vector<double>(8, 0.1)},
                     .layers = {{}}};
    options.cache = {.cache_size = 8};
    options.dtype = GetParam();
    options.n_threads = n_threads;
    options.max_rows = options.max_block = kMaxRows;
    return make_cpu_backend(options);
  }
  std::vector<float> random(std::int64_t n) {
    std::vector<float> v(static_cast<std::size_t>(n));
    for (float& x : v) x = std::uniform_real_distribution<float>(-1, 1)(random_);
    return v;
  }
  static TensorView view(const std::vector<float>& values, const Shape& shape) {
    return {.name = "random",
            .storage = StorageType::f32,
            .shape = {shape.n_out, shape.n_in},
            .data = reinterpret_cast<const std::byte*>(values.data()),
            .n_bytes = values.size() * 4};
  }
  // Rows of `values` (n_rows, n_in) in the type of products from row `offset` on; all else NaN.
  std::unique_ptr<Buffer> buffer(Backend& b, const std::vector<float>& values, std::int32_t n_in,
                                 std::int32_t offset) const {
    auto made = b.device().make_buffer(kMaxRows, n_in, BufferType::compute);
    auto& x = static_cast<CpuBuffer&>(*made);
    std::memset(x.bytes.data(), 0xff, x.bytes.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto row = offset + static_cast<std::int64_t>(i) / n_in,
                 column = static_cast<std::int64_t>(i) % n_in;
      if (GetParam() == ComputeType::bf16) {
        x.bf16(row)[column] = bf16_from_float(values[i]);
      } else {
        x.f32(row)[column] = values[i];
      }
    }
    return made;
  }
  std::mt19937 random_{9};
};

// All that is made of row `row`: projected, added to 1, gated.
std::vector<std::byte> results_of(const Buffer& projected, const Buffer& added, const Buffer& gated,
                                  std::int32_t row) {
  std::vector<std::byte> all;
  for (const Buffer* b : {&projected, &added, &gated}) {
    const auto& c = static_cast<const CpuBuffer&>(*b);
    all.insert(all.end(), c.row(row), c.row(row) + c.row_bytes);
  }
  return all;
}

TEST_P(SameRows, AtEveryPlaceOfEveryNumberOfRowsAndThreads) {
  for (const Shape& shape : {Shape{33, 67}, Shape{160, 90}, Shape{576, 530}}) {
    const std::vector<float> w = random(shape.n_out * shape.n_in),
                             u = random(shape.n_out * shape.n_in), bias = random(shape.n_out),
                             watched = random(shape.n_in);
    const TensorView bias_view{.name = "bias",
                               .storage = StorageType::f32,
                               .shape = {shape.n_out},
                               .data = reinterpret_cast<const std::byte*>(bias.data()),
                               .n_bytes = bias.size() * 4};
    std::vector<std::byte> alone;
    for (int n_threads : {1, 2, 3}) {
      const auto b = backend(shape, n_threads);
      const auto matrix = b->device().pack({.parts = {view(w, shape)}, .biases = {bias_view}});
      const auto gate_up = b->device().pack_gated({view(w, shape), view(u, shape)});
      const auto projected = b->device().make_buffer(kMaxRows, shape.n_out, BufferType::full),
                 added = b->device().make_buffer(kMaxRows, shape.n_out, BufferType::full),
                 gated = b->device().make_buffer(kMaxRows, shape.n_out, BufferType::compute);
      // All rows of a step are the watched one.
      for (std::int32_t n_rows = 1; n_rows <= kMostRows; ++n_rows) {
        std::vector<float> in;
        for (std::int32_t r = 0; r < n_rows; ++r)
          in.insert(in.end(), watched.begin(), watched.end());
        const auto x = buffer(*b, in, shape.n_in, 0);
        auto& sum = static_cast<CpuBuffer&>(*added);
        std::fill_n(sum.f32(0), static_cast<std::size_t>(kMaxRows * shape.n_out), 1.0f);
        b->begin_step({}, n_rows);
        b->project(*x, *matrix, *projected);
        b->project_add(*x, *matrix, *added);
        b->project_gated(*x, *gate_up, Activation::silu, *gated);
        if (alone.empty()) alone = results_of(*projected, *added, *gated, 0);
        for (std::int32_t r = 0; r < n_rows; ++r) {
          ASSERT_EQ(results_of(*projected, *added, *gated, r), alone)
              << "row " << r << " of " << n_rows << ", " << n_threads << " threads, " << shape.n_in
              << " x " << shape.n_out;
        }
        // Rows beyond the step are nobody's.
        for (std::int32_t r = n_rows; r < kMaxRows; ++r) ASSERT_EQ(sum.f32(r)[0], 1.0f);
      }
    }
  }
}

TEST_P(SameRows, BesideOtherRows) {
  const Shape shape{160, 530};
  const std::vector<float> w = random(shape.n_out * shape.n_in), watched = random(shape.n_in);
  const auto b = backend(shape, 2);
  const auto matrix = b->device().pack({.parts = {view(w, shape)}});
  const auto out = b->device().make_buffer(kMaxRows, shape.n_out, BufferType::full);
  const auto run = [&](std::int32_t n_rows, std::int32_t place) {
    std::vector<float> in = random(n_rows * shape.n_in);
    std::copy(watched.begin(), watched.end(), in.begin() + place * shape.n_in);
    const auto x = buffer(*b, in, shape.n_in, 0);
    b->begin_step({}, n_rows);
    b->project(*x, *matrix, *out);
    const float* row = static_cast<const CpuBuffer&>(*out).f32(place);
    return std::vector<float>(row, row + shape.n_out);
  };
  const std::vector<float> alone = run(1, 0);
  for (float value : alone) ASSERT_TRUE(std::isfinite(value));
  for (std::int32_t n_rows = 1; n_rows <= kMostRows; ++n_rows) {
    for (std::int32_t place : {0, n_rows / 3, n_rows / 2, n_rows - 1})
      ASSERT_EQ(run(n_rows, place), alone) << "row " << place << " of " << n_rows;
  }
}

// Decoding would be slow without: at least one size of a quarter of the tile or less gives the
// whole tile's bits with every instruction set that was tried (AVX2, AVX-512 with and without
// bf16).
TEST_P(SameRows, AreHadFromSmallTilesToo) {
  Gemm gemm(1);
  for (const Shape& shape : {Shape{576, 288}, Shape{576, 512}, Shape{1536, 288}, Shape{33, 67}}) {
    const auto matrix = gemm.make({.n_out = shape.n_out,
                                   .n_in = shape.n_in,
                                   .chunk = shape.n_out,
                                   .type = expanded_to(type())});
    EXPECT_NE(matrix->tile_sizes() & kWholeTileOnly, 0u);
    EXPECT_NE(matrix->tile_sizes() & 0x3fu, 0u) << shape.n_in << " x " << shape.n_out;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, SameRows, ::testing::Values(ComputeType::f32, ComputeType::bf16),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace tovamill::cpu
