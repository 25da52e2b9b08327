#include "io/model/random_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "engine/model/model_config.h"
#include "engine/tokenizer/tokenizer.h"
#include "io/model/digest.h"
#include "kernels/types/error.h"
#include "tests/support/error_of.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;
using Parts = ModelFiles::Parts;

std::vector<float> row_of(const TensorView& tensor, std::int64_t row) {
  std::vector<float> values(static_cast<std::size_t>(tensor.n_cols()));
  dequantize_row(tensor, row, values.data());
  return values;
}

TensorView tensor_of(const ModelFiles& model, const std::string& name) {
  return model.find_tensor(name).value();
}

TEST(RandomModel, AnUnknownNameIsAUsageErrorThatNamesThoseThereAre) {
  const std::string error =
      error_of([] { ModelFiles::open("random:gpt-2", Parts::all); }, ExitCode::usage);
  for (const std::string& name : random_model_names()) EXPECT_TRUE(contains(error, name)) << name;
  EXPECT_TRUE(contains(error, "'random:gpt-2'"));
  error_of([] { ModelFiles::open("random:", Parts::tokenizer_only); }, ExitCode::usage);
}

TEST(RandomModel, EveryConfigurationAndTokenizerIsOneThatRunsUnderstand) {
  for (const std::string& name : random_model_names()) {
    const auto model = ModelFiles::open("random:" + name, Parts::tokenizer_only);
    EXPECT_EQ(model->format(), ModelFiles::Format::hugging_face);
    EXPECT_TRUE(model->tensors().empty());
    const ModelConfig config = config_from_hf(model->config(), name);
    const auto tokenizer = Tokenizer::from_hf(model->tokenizer(), model->tokenizer_config(), name);
    EXPECT_EQ(tokenizer->vocab_size(), config.shape.vocab_size) << name;
    EXPECT_EQ(tokenizer->bos_id(), 256);
    EXPECT_EQ(tokenizer->eos_id(), 257);
  }
  const ModelConfig llama =
      config_from_hf(ModelFiles::open("random:llama-7b", Parts::tokenizer_only)->config(), "7b");
  EXPECT_EQ(llama.shape.layers.at(0).sliding_window, 0);
  EXPECT_EQ(llama.shape.n_layers, 32);
  EXPECT_EQ(llama.shape.head_dim, 128);
  EXPECT_EQ(llama.shape.trained_context, 4096);
}

TEST(RandomModel, EachByteIsAToken) {
  const auto model = ModelFiles::open("random:tiny", Parts::tokenizer_only);
  const auto tokenizer = Tokenizer::from_hf(model->tokenizer(), model->tokenizer_config(), "tiny");
  const std::string text = "One \xC3\xA9, <s> </s>\n\t<unused300>";
  std::vector<TokenId> ids;
  tokenizer->encode(text, false, ids);
  ASSERT_EQ(ids.size(), text.size());
  for (std::size_t i = 0; i < text.size(); ++i)
    EXPECT_EQ(ids[i], static_cast<unsigned char>(text[i]));
  EXPECT_EQ(tokenizer->decode(ids, false), text);
  EXPECT_EQ(tokenizer->id_of("<unused319>"), 319);
}

TEST(RandomModel, HoldsEveryTensorThatItsConfigurationNeeds) {
  for (const char* name : {"tiny", "smollm2-135m"}) {
    const auto model = ModelFiles::open(std::string("random:") + name, Parts::all);
    const ModelConfig config = config_from_hf(model->config(), name);
    const ModelWeights weights = collect_weights(
        config, [&](const std::string& t) { return model->find_tensor(t); }, name);
    EXPECT_EQ(weights.layers.size(), static_cast<std::size_t>(config.shape.n_layers));
    EXPECT_EQ(weights.head.data == weights.embedding.data, config.tied_head) << name;
    EXPECT_EQ(row_of(weights.final_norm, 0),
              std::vector<float>(static_cast<std::size_t>(config.shape.hidden_size), 1.0f));
  }
}

TEST(RandomModel, WeightsAreNearlyNormal) {
  const auto model = ModelFiles::open("random:smollm2-135m", Parts::all);
  const TensorView embedding = tensor_of(*model, "model.embed_tokens.weight");
  double sum = 0.0, squares = 0.0, fourth = 0.0, n = 0.0;
  for (std::int64_t r = 0; r < 4096; ++r) {
    for (const float w : row_of(embedding, r)) {
      sum += w;
      squares += std::pow(w, 2);
      fourth += std::pow(w, 4);
      n += 1.0;
    }
  }
  // Standard errors at 2.4 M samples: 1.3e-5, 9e-6, 0.003; rounding to bf16 adds 1e-5 of the
  // square.
  EXPECT_NEAR(sum / n, 0.0, 6e-5);
  EXPECT_NEAR(std::sqrt(squares / n), 0.02, 6e-5);
  EXPECT_NEAR(fourth * n / (squares * squares), 3.0 - 1.2 / 4, 0.02);  // of four uniform numbers
}

TEST(RandomModel, NoTwoRowsAreEqual) {
  const auto model = ModelFiles::open("random:tiny", Parts::all);
  std::set<std::vector<float>> rows;
  std::size_t n = 0;
  for (const TensorView& tensor : model->tensors()) {
    if (tensor.shape.size() < 2) continue;
    for (std::int64_t r = 0; r < tensor.n_rows(); ++r, ++n) {
      std::vector<float> row = row_of(tensor, r);
      row.resize(64);
      rows.insert(std::move(row));
    }
  }
  EXPECT_EQ(rows.size(), n);
}

// Made of integers and of one rounding each: any machine and any number of threads gives these.
TEST(RandomModel, HasTheSameBitsAlways) {
  const auto model = ModelFiles::open("random:tiny", Parts::weights_only);
  Digest digest;
  for (const TensorView& tensor : model->tensors())
    digest.add(std::span(tensor.data, tensor.n_bytes));
  EXPECT_EQ(digest.hex(), "a117350e7ce6cc72");
  EXPECT_EQ(model->digest(), ModelFiles::open("random:tiny", Parts::tokenizer_only)->digest());
  EXPECT_NE(model->digest(), ModelFiles::open("random:llama-7b", Parts::tokenizer_only)->digest());
  EXPECT_TRUE(model->file_paths().empty());
  EXPECT_EQ(model->chat_template(), "");
}

}  // namespace
}  // namespace tovamill
