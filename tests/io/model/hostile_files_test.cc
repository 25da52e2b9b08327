// Complete model files with one byte changed, one stretch removed or the end cut off: each either
// loads, tensors and all, or throws Error, and never makes the reader allocate much more than the
// file is long.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <new>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "engine/model/model_config.h"
#include "io/model/model_files.h"
#include "kernels/types/error.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/temporary_directory.h"

namespace {

std::atomic<std::size_t> allocated_bytes{0};
std::atomic<std::size_t> peak_bytes{0};

}  // namespace

// For this test program only: counts what is allocated. Not under the address sanitizer, which has
// its own operators.
#ifndef TOVAMILL_SANITIZED
void* operator new(std::size_t n_bytes) {
  void* memory = std::malloc(n_bytes);
  if (memory == nullptr) throw std::bad_alloc();
  const std::size_t now = allocated_bytes += malloc_usable_size(memory);
  std::size_t peak = peak_bytes;
  while (now > peak && !peak_bytes.compare_exchange_weak(peak, now)) {
  }
  return memory;
}

void operator delete(void* memory) noexcept {
  if (memory == nullptr) return;
  allocated_bytes -= malloc_usable_size(memory);
  std::free(memory);
}

void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }
#endif

namespace tovamill {
namespace {

using testing::TemporaryDirectory;
using testing::TinyModel;

TinyModel tiny() {
  TinyModel model;
  model.n_layers = 1;
  model.hidden_size = 8;
  model.intermediate_size = 8;
  model.n_heads = 2;
  model.n_kv_heads = 1;
  model.head_dim = 4;
  model.vocab_size = 300;
  return model;
}

// What a program does with a model's files up to the first token. True if all went well.
bool loads(const std::string& path) {
  try {
    const auto files = ModelFiles::open(path, ModelFiles::Parts::all);
    const FindTensor find = [&](const std::string& name) { return files->find_tensor(name); };
    const bool gguf = files->format() == ModelFiles::Format::gguf;
    const ModelConfig config = gguf ? config_from_gguf(files->config(), find, path)
                                    : config_from_hf(files->config(), path);
    collect_weights(config, find, path);
    for (const TensorView& tensor : files->tensors()) {
      std::vector<float> row(static_cast<std::size_t>(tensor.n_cols()));
      for (std::int64_t i = 0; i < tensor.n_rows(); ++i) dequantize_row(tensor, i, row.data());
    }
    files->digest();
    return true;
  } catch (const Error& e) {
    EXPECT_TRUE(e.code() == ExitCode::bad_data || e.code() == ExitCode::no_input) << e.what();
    return false;
  }
}

// Rewrites `victim` with changed contents and loads the model at `path`, many times over.
void mutate(const std::string& path, const std::string& victim, std::size_t n_changeable,
            int n_rounds) {
  const std::string whole = testing::content_of(victim);
  ASSERT_TRUE(loads(path));
  std::mt19937 random(7);
  const auto below = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  int n_loaded = 0;
  for (int round = 0; round < n_rounds; ++round) {
    std::string content = whole;
    const std::size_t at = below(std::min(n_changeable, whole.size()));
    const std::size_t kind = below(8);
    if (kind == 6) content.resize(at);
    if (kind == 7) content.erase(at, 1 + below(9));
    // Mostly single bytes: any, all ones, or one bit.
    if (kind < 3) content[at] = static_cast<char>(below(256));
    if (kind == 3) content[at] = '\xff';
    if (kind == 4) content[at] = static_cast<char>(content[at] ^ (1 << below(8)));
    if (kind == 5) content.replace(at, std::min<std::size_t>(8, content.size() - at), 8, '\x7f');
    std::ofstream(victim, std::ios::binary) << content;
    const std::size_t before = allocated_bytes;
    peak_bytes = before;
    n_loaded += loads(path) ? 1 : 0;
    ASSERT_LE(peak_bytes - before, (4u << 20) + 20 * content.size())
        << "round " << round << " at byte " << at << " kind " << kind;
    if (::testing::Test::HasFailure())
      FAIL() << "round " << round << " at byte " << at << " kind " << kind;
  }
  // Neither is everything refused nor everything taken.
  EXPECT_GT(n_loaded, 0);
  EXPECT_LT(n_loaded, n_rounds);
}

TEST(HostileFilesTest, AChangedGgufFileLoadsOrIsRefused) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() / "m.gguf";
  TinyModel model = tiny();
  model.rope_scaling = {{"rope_type", "llama3"},
                        {"factor", 8.0},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", 4.0},
                        {"original_max_position_embeddings", 64}};
  testing::write_gguf_model(model, path);
  mutate(path, path, 12'000, 2500);
}

TEST(HostileFilesTest, AChangedSafetensorsFileLoadsOrIsRefused) {
  const TemporaryDirectory directory;
  testing::write_hf_model(tiny(), directory.path());
  mutate(directory.path(), directory.path() / "model.safetensors", 1500, 1500);
}

TEST(HostileFilesTest, AChangedConfigLoadsOrIsRefused) {
  const TemporaryDirectory directory;
  testing::write_hf_model(tiny(), directory.path());
  mutate(directory.path(), directory.path() / "config.json", 10'000, 1000);
}

TEST(HostileFilesTest, AChangedIndexLoadsOrIsRefused) {
  const TemporaryDirectory directory;
  testing::write_hf_model(tiny(), directory.path(), 2);
  mutate(directory.path(), directory.path() / "model.safetensors.index.json", 2000, 300);
}

}  // namespace
}  // namespace tovamill
