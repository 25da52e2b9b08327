#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/model/model_config.h"
#include "io/model/model_files.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;
using testing::TinyModel;
using testing::TinyTensor;

// A model's tensors in memory, under the names of one of the formats.
class Tensors {
 public:
  Tensors(const TinyModel& model, bool gguf) : source_(testing::tiny_tensors(model)) {
    for (const TinyTensor& t : source_) {
      const std::string& name = gguf ? t.gguf_name : t.hf_name;
      views_[name] = {name, StorageType::f32, t.shape,
                      reinterpret_cast<const std::byte*>(t.values.data()), 4 * t.values.size()};
    }
  }

  FindTensor find() const {
    return [this](const std::string& name) -> std::optional<TensorView> {
      const auto place = views_.find(name);
      return place == views_.end() ? std::nullopt : std::optional(place->second);
    };
  }
  std::map<std::string, TensorView>& views() { return views_; }

 private:
  std::vector<TinyTensor> source_;
  std::map<std::string, TensorView> views_;
};

TinyModel tiny(const std::string& architecture) {
  TinyModel model;
  model.architecture = architecture;
  return model;
}

class EveryArchitecture : public ::testing::TestWithParam<const char*> {};

std::vector<float> row(const TensorView& tensor, std::int64_t index) {
  std::vector<float> values(static_cast<std::size_t>(tensor.n_cols()));
  dequantize_row(tensor, index, values.data());
  return values;
}

TEST_P(EveryArchitecture, HoldsTheSameWeightsInBothFormats) {
  TinyModel model = tiny(GetParam());
  model.dtype = StorageType::f16;
  model.attention_bias = model.architecture == "llama";
  const testing::TemporaryDirectory directory;
  testing::write_hf_model(model, directory.path() / "hf", 2);
  testing::write_gguf_model(model, directory.path() / "m.gguf");
  const auto hf = ModelFiles::open(directory.path() / "hf", ModelFiles::Parts::all);
  const auto gguf = ModelFiles::open(directory.path() / "m.gguf", ModelFiles::Parts::all);
  const ModelConfig a = config_from_hf(hf->config(), "hf");
  const ModelConfig b = config_from_gguf(
      gguf->config(), [&](const std::string& name) { return gguf->find_tensor(name); }, "gguf");
  EXPECT_EQ(a.shape.ropes, b.shape.ropes);
  EXPECT_EQ(a.shape.norm_eps, b.shape.norm_eps);
  EXPECT_EQ(a.shape.vocab_size, b.shape.vocab_size);
  EXPECT_EQ(a.shape.head_dim, b.shape.head_dim);
  const ModelWeights left = collect_weights(
      a, [&](const auto& name) { return hf->find_tensor(name); }, "hf");
  const ModelWeights right = collect_weights(
      b, [&](const auto& name) { return gguf->find_tensor(name); }, "gguf");
  EXPECT_EQ(right.rotary.interleaved, a.architecture != "qwen2" && a.architecture != "qwen3");
  ASSERT_EQ(left.layers.size(), 2u);
  ASSERT_EQ(right.layers.size(), 2u);
  EXPECT_EQ(row(left.head, 7), row(right.head, 7));
  EXPECT_EQ(row(left.final_norm, 0), row(right.final_norm, 0));
  const LayerWeights &l = left.layers[1], &r = right.layers[1];
  const std::pair<TensorView, TensorView> pairs[] = {{l.attention_norm, r.attention_norm},
                                                     {l.v, r.v},
                                                     {l.o, r.o},
                                                     {l.ffn_norm, r.ffn_norm},
                                                     {l.gate, r.gate},
                                                     {l.up, r.up},
                                                     {l.down, r.down},
                                                     {l.v_bias, r.v_bias},
                                                     {l.o_bias, r.o_bias},
                                                     {l.q_norm, r.q_norm},
                                                     {l.k_norm, r.k_norm}};
  for (const auto& [x, y] : pairs) {
    ASSERT_EQ(x.data == nullptr, y.data == nullptr) << x.name << y.name;
    if (x.data == nullptr) continue;
    EXPECT_EQ(row(x, x.n_rows() - 1), row(y, y.n_rows() - 1)) << x.name;
  }
  // Row 1 of the interleaved layout is row head_dim / 2 of the other.
  EXPECT_EQ(row(l.q, 8), row(r.q, right.rotary.interleaved ? 1 : 8));
  EXPECT_EQ(row(l.k, 9), row(r.k, right.rotary.interleaved ? 3 : 9));
}

TEST_P(EveryArchitecture, NamesTheMissingTensor) {
  const TinyModel model = tiny(GetParam());
  for (const bool gguf : {false, true}) {
    ModelConfig config = config_from_hf(testing::tiny_config(model), "c");
    if (gguf) config.tensors = &kGgufTensors;
    const Tensors whole(model, gguf);
    const auto collect = [&](const FindTensor& find) { return collect_weights(config, find, "m"); };
    EXPECT_NO_THROW(collect(whole.find()));
    Tensors less(model, gguf);
    const auto all = less.views();
    for (const auto& [name, view] : all) {
      less.views().erase(name);
      if (name == "output.weight") {  // the head is the embedding then
        EXPECT_EQ(collect(less.find()).head.name, "token_embd.weight");
      } else {
        const std::string message = error_of([&] { collect(less.find()); });
        EXPECT_TRUE(contains(message, "m: tensor '" + name + "' is missing")) << message;
      }
      less.views()[name] = view;
    }
  }
}

TEST_P(EveryArchitecture, NamesTheTensorOfTheWrongShape) {
  const TinyModel model = tiny(GetParam());
  const ModelConfig config = config_from_hf(testing::tiny_config(model), "c");
  Tensors tensors(model, false);
  const auto all = tensors.views();
  for (const auto& [name, view] : all) {
    std::vector<std::vector<std::int64_t>> shapes(4, view.shape);
    std::reverse(shapes[0].begin(), shapes[0].end());
    shapes[1].push_back(1);
    shapes[2].back() += 1;
    shapes[3] = {};
    for (const auto& shape : shapes) {
      if (shape == view.shape) continue;
      tensors.views()[name].shape = shape;
      const std::string message = error_of([&] { collect_weights(config, tensors.find(), "m"); });
      EXPECT_TRUE(contains(message, "tensor '" + name + "' has the shape (")) << message;
    }
    tensors.views()[name] = view;
  }
}

INSTANTIATE_TEST_SUITE_P(WeightsTest, EveryArchitecture,
                         ::testing::Values("llama", "mistral", "qwen2", "qwen3", "smollm3"));

TEST(WeightsTest, AnAbsentHeadIsAnErrorUnlessTied) {
  TinyModel model = tiny("llama");
  model.tied = true;
  const Tensors tensors(model, false);
  ModelConfig config = config_from_hf(testing::tiny_config(model), "c");
  EXPECT_EQ(collect_weights(config, tensors.find(), "m").head.name, "model.embed_tokens.weight");
  config.tied_head = false;
  EXPECT_TRUE(contains(error_of([&] { collect_weights(config, tensors.find(), "m"); }),
                       "'lm_head.weight' is missing, and tie_word_embeddings is false"));
}

TEST(WeightsTest, RefusesTensorsThatNothingWouldUse) {
  const TinyModel model = tiny("llama");
  const ModelConfig config = config_from_hf(testing::tiny_config(model), "c");
  for (const char* name :
       {"self_attn.q_proj.bias", "self_attn.o_proj.bias", "self_attn.q_norm.weight",
        "self_attn.k_norm.weight", "mlp.gate_proj.bias", "mlp.down_proj.bias"}) {
    Tensors tensors(model, false);
    const std::string full = std::string("model.layers.1.") + name;
    tensors.views()[full] = tensors.views().begin()->second;
    EXPECT_TRUE(contains(error_of([&] { collect_weights(config, tensors.find(), "m"); }),
                         "'" + full + "' is not supported"));
  }
}

// Parts of quantised matrices beside plain ones.
class QuantizedWeights : public ::testing::Test {
 protected:
  void add(const std::string& name, StorageType type, const std::vector<std::int64_t>& shape) {
    tensors_.views()[name] = {name, type, shape, bytes_.data(), bytes_.size()};
  }
  ModelWeights collect() const { return collect_weights(config_, tensors_.find(), "model"); }
  std::string refused() const {
    return error_of([&] { collect(); });
  }

  const TinyModel model_ = tiny("llama");
  Tensors tensors_{model_, false};
  ModelConfig config_ = config_from_hf(testing::tiny_config(model_), "config.json");
  std::vector<std::byte> bytes_ = std::vector<std::byte>(std::size_t{320} * 64);
};

TEST_F(QuantizedWeights, RawTensorsAreRefusedWhereNothingSaysWhatTheyAre) {
  add("model.layers.1.mlp.up_proj.weight", StorageType::f8_e4m3, {96, 64});
  EXPECT_TRUE(contains(refused(), "'model.layers.1.mlp.up_proj.weight' is of the type F8_E4M3"));
}

TEST_F(QuantizedWeights, AMatrixMayBeMadeOfItsParts) {
  config_.quantization.method = QuantizationMethod::fp8;
  add("model.layers.1.mlp.up_proj.weight", StorageType::f8_e4m3, {96, 64});
  add("model.layers.1.mlp.up_proj.weight_scale_inv", StorageType::f32, {});
  EXPECT_NE(collect().layers.at(1).up.reader, nullptr);
  add("model.layers.1.mlp.up_proj.weight", StorageType::f8_e4m3, {64, 96});
  EXPECT_TRUE(contains(refused(), "has the shape (64, 96) where the configuration needs (96, 64)"));
}

TEST_F(QuantizedWeights, EmbeddingsArePlain) {
  config_.quantization.method = QuantizationMethod::fp8;
  add("model.embed_tokens.weight", StorageType::f8_e4m3, {320, 64});
  add("model.embed_tokens.weight_scale_inv", StorageType::f32, {});
  EXPECT_TRUE(contains(refused(), "is quantised, which an embedding must not be"));
}

TEST_F(QuantizedWeights, OfGptqBiasesOfZerosAreLeftOver) {
  add("model.layers.0.self_attn.q_proj.bias", StorageType::f16, {64});
  EXPECT_TRUE(contains(refused(), "q_proj.bias' is not supported"));
  config_.quantization.method = QuantizationMethod::gptq;
  EXPECT_EQ(collect().layers.at(0).q_bias.data, nullptr);
  bytes_[0] = std::byte{1};
  EXPECT_TRUE(contains(refused(), "q_proj.bias' is not supported"));
}

TEST_F(QuantizedWeights, PartsHaveTheirPlaceBesideTheMatricesOfTheModel) {
  const auto unused = [&](const char* name) {
    refuse_unused_tensors(config_, {"model.norm.weight", name}, "model");
  };
  const char* kPart = "model.layers.0.self_attn.q_proj.qzeros";
  EXPECT_TRUE(contains(error_of([&] { unused(kPart); }), "has no place"));
  config_.quantization.method = QuantizationMethod::gptq;
  EXPECT_NO_THROW(unused(kPart));
  for (const char* name :
       {"model.layers.0.self_attn.q_proj.weight_scale", "model.layers.0.self_attn.g_proj.qzeros",
        "model.layers.2.self_attn.q_proj.qzeros"})
    EXPECT_TRUE(contains(error_of([&] { unused(name); }), "has no place")) << name;
}

}  // namespace
}  // namespace tovamill
