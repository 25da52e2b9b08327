#include "io/model/model_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <string>

#include "tests/support/error_of.h"
#include "tests/support/models/file_builders.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::contains;
using testing::error_of;
using testing::TemporaryDirectory;
using testing::TinyModel;
using Parts = ModelFiles::Parts;

class ModelFilesTest : public ::testing::Test {
 protected:
  std::string hf(int n_shards = 1) {
    testing::write_hf_model(TinyModel{}, path("hf"), n_shards);
    return path("hf");
  }
  std::string gguf() {
    testing::write_gguf_model(TinyModel{}, path("m.gguf"));
    return path("m.gguf");
  }
  std::string path(const std::string& name) const { return directory_.path() / name; }
  void write(const std::string& name, std::string_view content) const {
    directory_.write(name, content);
  }
  void remove(const std::string& name) const { fs::remove(directory_.path() / name); }
  std::string error(const std::string& name, ExitCode code, Parts parts = Parts::all) const {
    return error_of([&] { ModelFiles::open(path(name), parts); }, code);
  }

 private:
  TemporaryDirectory directory_;
};

TEST_F(ModelFilesTest, OpensADirectory) {
  const auto model = ModelFiles::open(hf(), Parts::all);
  EXPECT_EQ(model->format(), ModelFiles::Format::hugging_face);
  EXPECT_EQ(model->path(), path("hf"));
  EXPECT_EQ(model->config().at("model_type"), "llama");
  EXPECT_EQ(model->tokenizer().at("model").at("type"), "BPE");
  EXPECT_EQ(model->tokenizer_config().at("eos_token"), "<|endoftext|>");
  EXPECT_EQ(model->generation_config().at("eos_token_id"), 319);
  EXPECT_EQ(model->tensors().size(), testing::tiny_tensors(TinyModel{}).size());
  EXPECT_TRUE(model->find_tensor("model.norm.weight"));
  EXPECT_FALSE(model->find_tensor("output_norm.weight"));
}

TEST_F(ModelFilesTest, OpensAGgufFile) {
  const auto model = ModelFiles::open(gguf(), Parts::all);
  EXPECT_EQ(model->format(), ModelFiles::Format::gguf);
  EXPECT_EQ(model->config().at("llama.block_count"), 2);
  EXPECT_TRUE(model->tokenizer().is_null());
  EXPECT_TRUE(model->find_tensor("output_norm.weight"));
  EXPECT_EQ(
      ModelFiles::open(gguf(), Parts::tokenizer_only)->config().at("tokenizer.ggml.tokens").size(),
      320u);
}

TEST_F(ModelFilesTest, ShardsHoldTheSameTensorsAsOneFile) {
  const auto one = ModelFiles::open(hf(), Parts::all);
  testing::write_hf_model(TinyModel{}, path("sharded"), 3);
  const auto sharded = ModelFiles::open(path("sharded"), Parts::all);
  ASSERT_EQ(one->tensors().size(), sharded->tensors().size());
  for (const TensorView& tensor : one->tensors()) {
    const TensorView other = sharded->find_tensor(tensor.name).value();
    ASSERT_EQ(tensor.n_bytes, other.n_bytes);
    EXPECT_TRUE(std::equal(tensor.data, tensor.data + tensor.n_bytes, other.data)) << tensor.name;
  }
}

TEST_F(ModelFilesTest, TheTokenizerNeedsNoWeights) {
  hf();
  for (const char* name : {"hf/model.safetensors", "hf/config.json", "hf/generation_config.json",
                           "hf/tokenizer_config.json"}) {
    remove(name);
  }
  const auto model = ModelFiles::open(path("hf"), Parts::tokenizer_only);
  EXPECT_TRUE(model->config().is_null());
  EXPECT_TRUE(model->generation_config().is_null());
  EXPECT_FALSE(model->tokenizer().is_null());
  EXPECT_TRUE(model->tensors().empty());
}

TEST_F(ModelFilesTest, NamesWhatIsMissing) {
  const ExitCode missing = ExitCode::no_input;
  EXPECT_TRUE(contains(error("nowhere", missing), "nowhere: does not exist"));
  write("file/x", "");
  EXPECT_TRUE(contains(error("file/x/y", missing), "does not exist"));
  hf();
  remove("hf/model.safetensors");
  EXPECT_TRUE(
      contains(error("hf", missing), "neither model.safetensors nor model.safetensors.index.json"));
  write("hf/pytorch_model.bin", "x");
  EXPECT_TRUE(contains(error("hf", missing), "save the model as safetensors"));
  remove("hf/tokenizer.json");
  EXPECT_TRUE(contains(error("hf", missing), "has no tokenizer.json"));
  EXPECT_TRUE(contains(error("hf", missing, Parts::tokenizer_only), "has no tokenizer.json"));
  write("hf/tokenizer.model", "x");
  EXPECT_TRUE(contains(error("hf", missing), "only tokenizer.model"));
  write("hf/tekken.json", "{}");
  EXPECT_TRUE(contains(error("hf", missing), "only tekken.json, which is not read"));
  remove("hf/config.json");
  EXPECT_TRUE(contains(error("hf", missing), "has no config.json"));
}

TEST_F(ModelFilesTest, RefusesWhatIsNoModel) {
  write("text", "hello");
  EXPECT_TRUE(contains(error("text", ExitCode::bad_data), "not a GGUF file"));
  write("empty.gguf", "");
  EXPECT_TRUE(contains(error("empty.gguf", ExitCode::bad_data), "empty.gguf: byte 0"));
}

TEST_F(ModelFilesTest, RefusesBadJson) {
  hf();
  const std::string deep = std::string(100'000, '[');
  const std::pair<std::string, std::string> cases[] = {
      {"", "config.json: is not valid JSON"},
      {"{", "is not valid JSON (UTF-8) at byte"},
      {"{} x", "is not valid JSON"},
      {"[]", "is not a JSON object"},
      {"3", "is not a JSON object"},
      {"{\"a\": \"\xff\"}", "is not valid JSON (UTF-8) at byte 8"},
      {"{\"a\xc3\x28\": 1}", "is not valid JSON"},
      {"{\"a\": 1e999}", "out of range"},
      {"{\"a\": NaN, \"b\": [-Infinity}", "is not valid JSON (UTF-8) at byte 27"},
      {"{\"a\": NaNs}", "is not valid JSON (UTF-8) at byte 10"},
      {"{\"a\": Infinit}", "is not valid JSON (UTF-8) at byte 7"},
      {"{\"a\": +Infinity}", "is not valid JSON (UTF-8) at byte 7"},
      {"{NaN: 1}", "is not valid JSON (UTF-8) at byte 2"},
      {"{\"a\": " + deep, "more than 64 deep"},
      {"{\"a\": \"\\\"\", \"b\": " + deep, "more than 64 deep"},
      {"{\"a\": " + std::string(70, '[') + std::string(70, ']') + "}", "more than 64 deep"},
      {std::string(17u << 20, ' '), "has 17,825,792 bytes, more than the 16,777,216"},
  };
  for (const auto& [content, expected] : cases) {
    SCOPED_TRACE(content.substr(0, 40));
    write("hf/config.json", content);
    const std::string message = error("hf", ExitCode::bad_data);
    EXPECT_TRUE(contains(message, expected)) << message;
  }
  // Brackets inside of strings are not nesting.
  write("hf/config.json", "{\"a\": \"" + deep + "\"}");
  EXPECT_NO_THROW(ModelFiles::open(path("hf"), Parts::all));
}

// As Python's json module does (huggingface/transformers#42959, ai-dynamo/dynamo#3043).
TEST_F(ModelFilesTest, ReadsTheNumbersThatPythonWrites) {
  hf();
  write("hf/config.json",
        R"({"a": NaN, "b": [0.0, Infinity,-Infinity], "c": "NaN \\\"Infinity", "NaN": 1,)"
        R"( "d": {"__float__": "-Infinity"}, "e": {"__float__": "other"}, "f": {"__float__": 1}})");
  const nlohmann::json config = ModelFiles::open(path("hf"), Parts::all)->config();
  EXPECT_TRUE(std::isnan(config.at("a").get<double>()));
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(config.at("b").get<std::vector<double>>(), (std::vector{0.0, kInfinity, -kInfinity}));
  EXPECT_EQ(config.at("c"), "NaN \\\"Infinity");
  EXPECT_EQ(config.at("NaN"), 1);
  EXPECT_EQ(config.at("d").get<double>(), -kInfinity);
  EXPECT_EQ(config.at("e").at("__float__"), "other");
  EXPECT_EQ(config.at("f").at("__float__"), 1);
}

TEST_F(ModelFilesTest, RefusesTensorsThatTheIndexDoesNotName) {
  hf(2);
  const std::string index = path("hf/model.safetensors.index.json");
  nlohmann::json content = nlohmann::json::parse(std::ifstream(index));
  content.at("weight_map").erase("model.norm.weight");
  write("hf/model.safetensors.index.json", content.dump());
  EXPECT_TRUE(contains(error("hf", ExitCode::bad_data),
                       "has the tensor 'model.norm.weight', which model.safetensors.index.json does"
                       " not name"));
  // But for buffers that follow from the configuration.
  content.at("weight_map")["model.norm.weight"] = "model-00002-of-00002.safetensors";
  content.at("weight_map")["model.layers.0.self_attn.rotary_emb.inv_freq"] =
      "model-00001-of-00002.safetensors";
  write("hf/model.safetensors.index.json", content.dump());
  EXPECT_NO_THROW(ModelFiles::open(path("hf"), Parts::all));
}

// transformers would apply it where PEFT is installed, and not where it is not.
TEST_F(ModelFilesTest, RefusesAdaptersBesideTheWeights) {
  hf();
  for (const char* name : {"adapter_config.json", "adapter_model.safetensors"}) {
    write(std::string("hf/") + name, "{}");
    EXPECT_TRUE(contains(error("hf", ExitCode::bad_data), std::string("has an adapter (") + name));
    EXPECT_NO_THROW(ModelFiles::open(path("hf"), Parts::tokenizer_only));
    remove(std::string("hf/") + name);
  }
}

TEST_F(ModelFilesTest, RefusesBadIndexes) {
  hf(2);
  const std::string shard = "model-00001-of-00002.safetensors";
  const auto with_map = [](const nlohmann::json& map) {
    return nlohmann::json({{"weight_map", map}}).dump();
  };
  const auto one = [&](const nlohmann::json& name) {
    return with_map({{"model.embed_tokens.weight", name}});
  };
  const std::pair<std::string, std::string> cases[] = {
      {"{}", "has no object 'weight_map'"},
      {with_map(nlohmann::json::array()), "has no object 'weight_map'"},
      {with_map(nlohmann::json::object()), "has no object 'weight_map'"},
      {one("../hf/" + shard), "is not a plain file name"},
      {one("/etc/passwd"), "is not a plain file name: '/etc/passwd'"},
      {one(".."), "is not a plain file name"},
      {one(""), "is not a plain file name"},
      {one(std::string(shard + '\0' + "x")), "is not a plain file name"},
      {one(5), "is not a plain file name"},
      {one(nullptr), "is not a plain file name"},
      {one("model-00002-of-00002.safetensors"), "has no tensor 'model.embed_tokens.weight'"},
      {with_map({{"another", shard}}), "has no tensor 'another'"},
  };
  for (const auto& [content, expected] : cases) {
    SCOPED_TRACE(content);
    write("hf/model.safetensors.index.json", content);
    const std::string message = error("hf", ExitCode::bad_data);
    EXPECT_TRUE(contains(message, expected)) << message;
  }
  write("hf/model.safetensors.index.json", one("gone.safetensors"));
  EXPECT_TRUE(contains(error("hf", ExitCode::no_input), "has no file 'gone.safetensors'"));
  // The same tensor in two shards.
  fs::copy_file(path("hf/" + shard), path("hf/copy.safetensors"));
  write("hf/model.safetensors.index.json", with_map({{"model.embed_tokens.weight", shard},
                                                     {"model.norm.weight", "copy.safetensors"}}));
  EXPECT_TRUE(contains(error("hf", ExitCode::bad_data), "is there twice: also in "));
}

TEST_F(ModelFilesTest, TheChatTemplateIsWhereTheFilesHaveIt) {
  const auto chat_template = [&] {
    return ModelFiles::open(path("hf"), Parts::tokenizer_only)->chat_template();
  };
  const auto configure = [&](const nlohmann::json& value) {
    write("hf/tokenizer_config.json", nlohmann::json({{"chat_template", value}}).dump());
  };
  hf();
  EXPECT_EQ(chat_template(), "");
  configure("{{ a }}");
  EXPECT_EQ(chat_template(), "{{ a }}");
  configure(nullptr);
  EXPECT_EQ(chat_template(), "");
  configure({{{"name", "tool_use"}, {"template", "t"}}, {{"name", "default"}, {"template", "d"}}});
  EXPECT_EQ(chat_template(), "d");
  configure({{"tool_use", "t"}, {"default", "d"}});
  EXPECT_EQ(chat_template(), "d");
  // transformers has no template to use either, and says so.
  configure({{{"name", "tool_use"}, {"template", "t"}}});
  EXPECT_THROW(chat_template(), BadData);
  configure("");
  EXPECT_THROW(chat_template(), BadData);
  configure(nullptr);
  write("hf/chat_template.json", R"({"chat_template": "p"})");
  EXPECT_THROW(chat_template(), BadData);
  remove("hf/chat_template.json");
  write("hf/additional_chat_templates/rag.jinja", "r");
  EXPECT_THROW(chat_template(), BadData);
  remove("hf/additional_chat_templates/rag.jinja");
  write("hf/chat_template.jinja", "caf\u00e9\n");
  EXPECT_EQ(chat_template(), "caf\u00e9\n");
  remove("hf/tokenizer_config.json");
  EXPECT_EQ(chat_template(), "caf\u00e9\n");
  remove("hf/chat_template.jinja");
  EXPECT_EQ(chat_template(), "");

  EXPECT_EQ(ModelFiles::open(gguf(), Parts::all)->chat_template(), "");
  testing::GgufBuilder with;
  write("with.gguf", with.text("tokenizer.chat_template", "{{ g }}").bytes());
  EXPECT_EQ(ModelFiles::open(path("with.gguf"), Parts::all)->chat_template(), "{{ g }}");
}

TEST_F(ModelFilesTest, RefusesBadChatTemplates) {
  hf();
  const auto message = [&](const std::string& name) {
    return error_of([&] { ModelFiles::open(path(name), Parts::tokenizer_only)->chat_template(); });
  };
  const nlohmann::json bad[] = {5,
                                true,
                                {{"name", "default"}},
                                nlohmann::json::array({"x"}),
                                nlohmann::json::array({{{"name", "default"}}}),
                                nlohmann::json::array({{{"name", "default"}, {"template", 5}}})};
  for (const nlohmann::json& value : bad) {
    SCOPED_TRACE(value.dump());
    write("hf/tokenizer_config.json", nlohmann::json({{"chat_template", value}}).dump());
    EXPECT_TRUE(contains(message("hf"), "tokenizer_config.json: its chat template is "));
    // Only who asks for it is told.
    EXPECT_NO_THROW(ModelFiles::open(path("hf"), Parts::all));
  }
  const std::string large((1 << 20) + 1, 'x');
  write("hf/tokenizer_config.json", nlohmann::json({{"chat_template", large}}).dump());
  EXPECT_TRUE(contains(message("hf"), "has 1,048,577 bytes"));
  write("hf/chat_template.jinja", large);
  EXPECT_TRUE(
      contains(message("hf"), "chat_template.jinja: its chat template has 1,048,577 bytes"));
  write("hf/chat_template.jinja", "ab\xff");
  EXPECT_TRUE(contains(message("hf"), "is not UTF-8 at its byte 2"));
  testing::GgufBuilder number;
  write("number.gguf", number.u32("tokenizer.chat_template", 5).bytes());
  EXPECT_TRUE(contains(message("number.gguf"), "is neither a text nor a list"));
}

TEST_F(ModelFilesTest, AFileOfTheChatTemplateIsPartOfTheModel) {
  const auto open = [&] { return ModelFiles::open(path("hf"), Parts::all); };
  hf();
  const auto without = open();
  const std::size_t n_without = without->file_paths().size();
  write("hf/chat_template.jinja", "{{ a }}");
  const auto with = open();
  const auto paths = with->file_paths();
  EXPECT_EQ(paths.size(), n_without + 1);
  EXPECT_EQ(std::count(paths.begin(), paths.end(), path("hf/chat_template.jinja")), 1);
  EXPECT_NE(with->digest(), without->digest());
  write("hf/chat_template.jinja", "{{ b }}");
  EXPECT_NE(open()->digest(), with->digest());
  remove("hf/chat_template.jinja");
  EXPECT_EQ(open()->digest(), without->digest());
}

TEST_F(ModelFilesTest, TheDigestIsThatOfTheContent) {
  const std::function<std::string(const std::string&)> digest = [](const std::string& file) {
    return ModelFiles::open(file, Parts::all)->digest();
  };
  TinyModel other;
  other.seed = 2;
  const std::string first = digest(hf());
  EXPECT_EQ(first.size(), 16u);
  testing::write_hf_model(TinyModel{}, path("elsewhere"));
  EXPECT_EQ(digest(path("elsewhere")), first);
  testing::write_hf_model(other, path("other"));
  EXPECT_NE(digest(path("other")), first);
  write("elsewhere/generation_config.json", "{}");
  EXPECT_NE(digest(path("elsewhere")), first);

  const std::string file_digest = digest(gguf());
  testing::write_gguf_model(other, path("m.gguf"));
  EXPECT_NE(digest(path("m.gguf")), file_digest);
  testing::write_gguf_model(TinyModel{}, path("m.gguf"));
  EXPECT_EQ(digest(path("m.gguf")), file_digest);
}

}  // namespace
}  // namespace tovamill
