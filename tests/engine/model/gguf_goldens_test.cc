// GGUF files whose keys and tensors are absent, stand elsewhere, contradict each other, or are
// beside what the model needs: each gives what llama.cpp b11739 computes, or is refused by name.
// The cases stand in goldens/model_files/gguf_cases.json, made by make_gguf_goldens.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "engine/tokenizer/tokenizer.h"
#include "io/files/json_file.h"
#include "io/model/model_files.h"
#include "tests/support/attention/run_document.h"
#include "tests/support/error_of.h"
#include "tests/support/models/file_builders.h"
#include "tests/support/models/golden_file.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::contains;
using testing::error_of;
using testing::FileTensor;
using testing::GgufBuilder;
using testing::raw;

constexpr double kNllTolerance = 1e-4;  // nats per token: float32 in another order

const fs::path& golden_folder() {
  static const fs::path path = fs::path(TOVAMILL_SOURCE_DIR) / "tests/support/goldens";
  return path;
}

const json& gguf_table() {
  static const json table =
      read_json_object((golden_folder() / "model_files/gguf_cases.json").string(), 1 << 20);
  return table;
}

enum GgufType : std::uint32_t { u32 = 4, i32 = 5, f32 = 6, boolean = 7, text = 8, array = 9 };

GgufType type_named(const std::string& name) {
  if (name == "u32") return u32;
  if (name == "i32") return i32;
  if (name == "f32") return f32;
  return name == "bool" ? boolean : text;
}

std::string value_bytes(GgufType type, const json& value) {
  switch (type) {
    case f32:
      return raw(value.get<float>());
    case boolean:
      return raw(static_cast<std::uint8_t>(value.get<bool>()));
    case text:
      return testing::gguf_string(value.get<std::string>());
    default:
      return raw(value.get<std::uint32_t>());
  }
}

void put(GgufBuilder& builder, const std::string& key, GgufType type, const json& value) {
  if (!value.is_array()) {
    builder.raw_value(key, type, value_bytes(type, value));
    return;
  }
  std::string bytes = raw(static_cast<std::uint32_t>(type)) + raw(std::uint64_t{value.size()});
  for (const json& element : value) bytes += value_bytes(type, element);
  builder.raw_value(key, array, bytes);
}

void put_keys(GgufBuilder& builder, const json& metadata, const json& item) {
  for (const auto& [key, value] : metadata.items()) {
    const auto& removed = item.at("remove");
    if (item.at("set").contains(key) ||
        std::find(removed.begin(), removed.end(), key) != removed.end())
      continue;
    put(builder, key, value.is_string() ? text : value.is_number_float() ? f32 : u32, value);
  }
  for (const auto& [key, value] : item.at("set").items())
    put(builder, key, type_named(value.at(0)), value.at(1));
}

FileTensor in_float32(const TensorView& tensor, std::int64_t roll = 0) {
  const std::int64_t n_rows = tensor.shape.size() == 1 ? 1 : tensor.shape.front();
  const auto n_columns = static_cast<std::size_t>(tensor.shape.back());
  std::vector<float> values(static_cast<std::size_t>(n_rows) * n_columns);
  for (std::int64_t row = 0; row < n_rows; ++row)
    dequantize_row(tensor, row, values.data() + static_cast<std::size_t>(row) * n_columns);
  std::rotate(values.rbegin(),
              values.rbegin() + roll * static_cast<std::ptrdiff_t>(n_rows == 1 ? 1 : n_columns),
              values.rend());
  return {tensor.name, StorageType::f32, tensor.shape, testing::encode(values, StorageType::f32)};
}

void put_tensors(GgufBuilder& builder, const ModelFiles& base, const json& item) {
  std::vector<FileTensor> tensors;
  for (const TensorView& t : base.tensors()) tensors.push_back(in_float32(t));
  for (const json& change : item.at("tensors")) {
    const std::string name = change.at("name");
    std::erase_if(tensors, [&](const FileTensor& t) { return t.name == name; });
    if (change.contains("removed")) continue;
    if (change.at("value").is_number()) {
      const std::vector<float> values(change.at("n"), change.at("value"));
      tensors.push_back({name,
                         StorageType::f32,
                         {static_cast<std::int64_t>(values.size())},
                         testing::encode(values, StorageType::f32)});
    } else {
      tensors.push_back(in_float32(base.find_tensor(change.at("like")).value(), change.at("roll")));
      tensors.back().name = name;
    }
  }
  for (const FileTensor& t : tensors) builder.tensor(t);
}

double gguf_mean_nll(const fs::path& model, const std::vector<std::int32_t>& ids) {
  const auto run = testing::run_document(
      model.string(), ids, {.cache = {.policy = Policy::full, .positions = Positions::absolute}});
  return std::accumulate(run.nll.begin(), run.nll.end(), 0.0) / static_cast<double>(run.nll.size());
}

TEST(GgufGoldenTest, ModelsAreComputedAsLlamaCppDoesOrRefusedByName) {
  EXPECT_GE(gguf_table().at("models").size(), 50u);
  for (const json& item : gguf_table().at("models")) {
    SCOPED_TRACE(item.at("name").get<std::string>());
    const std::string base = item.at("base");
    const testing::TemporaryDirectory folder;
    const fs::path path = folder.path() / "model.gguf";
    const auto files = ModelFiles::open((golden_folder() / "models" / (base + ".gguf")).string(),
                                        ModelFiles::Parts::weights_only);
    GgufBuilder builder;
    put_keys(builder, files->config(), item);
    put_tensors(builder, *files, item);
    std::ofstream(path, std::ios::binary) << builder.bytes();
    auto ids = testing::load_golden(base + "-gguf").ids;
    ids.resize(gguf_table().at("n_tokens"));
    if (item.contains("nll")) {
      double nll = 0;
      EXPECT_NO_THROW(nll = gguf_mean_nll(path, ids));
      EXPECT_NEAR(nll, item.at("nll").get<double>(), kNllTolerance);
    } else {
      const std::string message = error_of([&] { gguf_mean_nll(path, ids); });
      EXPECT_TRUE(contains(message, item.at("refused").get<std::string>())) << message;
    }
  }
}

std::vector<TokenId> ids_with_what_stands_around(const json& metadata, const std::string& text) {
  const auto tokenizer = Tokenizer::from_gguf(metadata, "model.gguf");
  std::vector<TokenId> ids = tokenizer->leading();
  tokenizer->encode(text, false, ids);
  ids.insert(ids.end(), tokenizer->trailing().begin(), tokenizer->trailing().end());
  return ids;
}

TEST(GgufGoldenTest, TokenizersCutAsLlamaCppDoesOrAreRefusedByName) {
  EXPECT_GE(gguf_table().at("tokenizers").size(), 40u);
  const std::string text = gguf_table().at("text");
  for (const json& item : gguf_table().at("tokenizers")) {
    SCOPED_TRACE(item.at("name").get<std::string>());
    json metadata = gguf_table().at("bases").at(item.at("base"));
    for (const auto& [key, value] : item.at("set").items()) metadata[key] = value;
    for (const std::string key : item.at("remove")) metadata.erase(key);
    const json tokens = metadata.at("tokenizer.ggml.tokens");
    for (const auto& [token, type] : item.at("types").items()) {
      const auto at = std::find(tokens.begin(), tokens.end(), token) - tokens.begin();
      metadata["tokenizer.ggml.token_type"][static_cast<std::size_t>(at)] = type;
    }
    if (item.contains("ids")) {
      std::vector<TokenId> ids;
      EXPECT_NO_THROW(ids = ids_with_what_stands_around(metadata, text));
      EXPECT_EQ(ids, item.at("ids").get<std::vector<TokenId>>());
    } else {
      const std::string message = error_of([&] { ids_with_what_stands_around(metadata, text); });
      EXPECT_TRUE(contains(message, item.at("refused").get<std::string>())) << message;
    }
  }
}

}  // namespace
}  // namespace tovamill
