// Model files in which keys and tensors contradict each other, stand elsewhere, or are beside what
// the model needs: each gives what transformers 5.24 computes, or is refused by name. The cases,
// with where the like was reported, stand in goldens/model_files/cases.json, made by
// make_config_goldens.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "io/files/json_file.h"
#include "io/model/model_files.h"
#include "tests/support/attention/run_document.h"
#include "tests/support/error_of.h"
#include "tests/support/models/file_builders.h"
#include "tests/support/models/golden_file.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::contains;
using testing::error_of;
using testing::FileTensor;
using testing::TemporaryDirectory;
using testing::TinyModel;

constexpr double kTolerance = 1e-4;  // nats per token: float32 against float64

const fs::path& goldens() {
  static const fs::path path = fs::path(TOVAMILL_SOURCE_DIR) / "tests/support/goldens";
  return path;
}

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// The literals that Python writes stand as "@NaN@" in the table.
std::string with_literals(std::string text) {
  for (const std::string literal : {"NaN", "Infinity", "-Infinity"}) {
    const std::string quoted = "\"@" + literal + "@\"";
    for (std::size_t at = 0; (at = text.find(quoted, at)) != std::string::npos;)
      text.replace(at, quoted.size(), literal);
  }
  return text;
}

std::string rolled(const TensorView& tensor, std::int64_t by) {
  std::string bytes(reinterpret_cast<const char*>(tensor.data), tensor.n_bytes);
  const auto row = static_cast<std::ptrdiff_t>(tensor.n_bytes) / tensor.shape.front();
  std::rotate(bytes.begin(), bytes.end() - row * by, bytes.end());
  return bytes;
}

void write_case(const json& item, const fs::path& folder) {
  const fs::path base = goldens() / "models" / item.at("base").get<std::string>();
  json config = read_json_object((base / "config.json").string(), 1 << 20);
  for (const std::string key : item.at("remove")) config.erase(key);
  for (const auto& [key, value] : item.at("set").items()) config[key] = value;
  write(folder / "config.json", with_literals(config.dump()));
  const auto files = ModelFiles::open(base.string(), ModelFiles::Parts::weights_only);
  std::vector<FileTensor> tensors;
  for (const TensorView& t : files->tensors())
    tensors.push_back({t.name, t.storage, t.shape, rolled(t, 0)});
  for (const json& change : item.at("tensors")) {
    const auto name = change.at("name").get<std::string>();
    if (change.contains("removed")) {
      std::erase_if(tensors, [&](const FileTensor& t) { return t.name == name; });
      continue;
    }
    const TensorView like = files->find_tensor(change.at("like").get<std::string>()).value();
    tensors.push_back({name, like.storage, like.shape, rolled(like, change.at("roll"))});
  }
  write(folder / "model.safetensors", testing::safetensors_file(tensors));
}

double mean_nll(const fs::path& model, const std::vector<std::int32_t>& ids) {
  const auto run = testing::run_document(
      model.string(), ids, {.cache = {.policy = Policy::full, .positions = Positions::absolute}});
  return std::accumulate(run.nll.begin(), run.nll.end(), 0.0) / static_cast<double>(run.nll.size());
}

TEST(ConfigGoldenTest, AreComputedAsTransformersDoesOrRefusedByName) {
  const json table = read_json_object((goldens() / "model_files/cases.json").string(), 1 << 20);
  EXPECT_GE(table.at("cases").size(), 50u);
  for (const json& item : table.at("cases")) {
    SCOPED_TRACE(item.at("name").get<std::string>());
    const TemporaryDirectory folder;
    write_case(item, folder.path());
    auto ids = testing::load_golden(item.at("base")).ids;
    ids.resize(table.at("n_tokens"));
    if (item.contains("nll")) {
      double nll = 0;
      EXPECT_NO_THROW(nll = mean_nll(folder.path(), ids));
      EXPECT_NEAR(nll, item.at("nll").get<double>(), kTolerance);
    } else {
      const std::string message = error_of([&] { mean_nll(folder.path(), ids); });
      EXPECT_TRUE(contains(message, item.at("refused").get<std::string>())) << message;
    }
  }
}

// llama.cpp multiplies q and k with rope.scaling.attn_factor (llama-context.cpp, ggml_rope_ext), so
// that the model is one whose rows of q and k are so much larger (ggml-org/llama.cpp#17945).
TEST(ConfigGoldenTest, AttentionFactorsOfGgufAreThoseOfLlamaCpp) {
  const TemporaryDirectory folder;
  TinyModel model;
  testing::write_hf_model(model, folder.path() / "hf");
  model.attention_factor = 1.5;
  testing::write_gguf_model(model, folder.path() / "m.gguf");
  const auto files =
      ModelFiles::open((folder.path() / "hf").string(), ModelFiles::Parts::weights_only);
  std::vector<FileTensor> tensors;
  for (const testing::TinyTensor& t : testing::tiny_tensors(model)) {
    std::vector<float> values = t.values;
    if (contains(t.hf_name, "q_proj") || contains(t.hf_name, "k_proj"))
      for (float& v : values) v *= 1.5f;
    tensors.push_back(
        {t.hf_name, StorageType::f32, t.shape, testing::encode(values, StorageType::f32)});
  }
  std::vector<std::int32_t> ids(64);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i * 37 % 300);
  const double plain = mean_nll(folder.path() / "hf", ids);
  write(folder.path() / "hf/model.safetensors", testing::safetensors_file(tensors));
  const double expected = mean_nll(folder.path() / "hf", ids);
  EXPECT_NEAR(mean_nll(folder.path() / "m.gguf", ids), expected, 1e-5);
  EXPECT_GT(std::abs(expected - plain), 1e-4);
}

}  // namespace
}  // namespace tovamill
