// Broken, hostile and absurd input through the built program: the right exit code, one line that
// names what is wrong, and never a crash.
#include "tests/jobs/bad_input.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/error_of.h"
#include "tests/support/models/file_builders.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/runs/subprocess.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::contains;
using testing::ProgramResult;
using testing::run_tovamill;
using testing::TinyModel;

TEST_F(BadInput, TheModelIsGoodToBeginWith) {
  const ProgramResult result = run_tovamill(command());
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

TEST_F(BadInput, ConfigurationsOfModels) {
  const auto set = [](const char* key, const json& value) {
    return [key, value](json& config) { config[key] = value; };
  };
  const auto without = [](const char* key) { return [key](json& config) { config.erase(key); }; };
  expect_bad_config(set("num_attention_heads", 0), "num_attention_heads");
  expect_bad_config(set("num_attention_heads", -4), "num_attention_heads");
  expect_bad_config(set("num_attention_heads", 1e18), "num_attention_heads");
  expect_bad_config(set("num_attention_heads", "four"), "num_attention_heads");
  expect_bad_config(set("num_attention_heads", 5), "config.json");
  expect_bad_config(set("num_key_value_heads", 0), "num_key_value_heads");
  expect_bad_config(set("num_key_value_heads", 3), "config.json");
  expect_bad_config(set("hidden_size", 1e18), "hidden_size");
  expect_bad_config(set("hidden_size", 0), "hidden_size");
  expect_bad_config(set("hidden_size", 128), "128");
  expect_bad_config(set("head_dim", 7), "head size 7");
  expect_bad_config(set("num_hidden_layers", 0), "num_hidden_layers");
  expect_bad_config(set("num_hidden_layers", 3), "model.layers.2");
  expect_bad_config(set("num_hidden_layers", 2147483647), "model");
  expect_bad_config(set("intermediate_size", 1), "mlp");
  expect_bad_config(set("vocab_size", 100), "embed_tokens");
  expect_bad_config(set("vocab_size", 0), "vocab_size");
  expect_bad_config(set("max_position_embeddings", 0), "max_position_embeddings");
  expect_bad_config(set("rms_norm_eps", -1), "rms_norm_eps");
  expect_bad_config(set("rope_theta", 0), "rope_theta");
  expect_bad_config(set("rope_scaling", {{"rope_type", "mrope"}, {"factor", 4.0}}), "mrope");
  expect_bad_config(set("rope_scaling", "linear"), "rope_scaling");
  expect_bad_config(set("hidden_act", "relu"), "relu");
  expect_bad_config(set("architectures", {"GPT2LMHeadModel"}), "GPT2LMHeadModel");
  expect_bad_config(set("architectures", json::array()), "architectures");
  expect_bad_config(without("hidden_size"), "hidden_size");
  expect_bad_config(without("num_hidden_layers"), "num_hidden_layers");
  expect_bad_file("config.json", "", "config.json");
  expect_bad_file("config.json", "[]", "config.json");
  expect_bad_file("config.json", "{\"hidden_size\": 6", "config.json");
  expect_bad_file("config.json", std::string(100000, '['), "config.json");
  expect_bad_file("config.json", std::string("\0\xff\xfe", 3), "config.json");
}

TEST_F(BadInput, Tokenizers) {
  expect_bad_file("tokenizer.json", "{}", "tokenizer.json");
  expect_bad_file("tokenizer.json", "[]", "tokenizer.json");
  expect_bad_file("tokenizer.json", "null", "tokenizer.json");
  expect_bad_file("tokenizer.json", "{\"model\":{\"type\":\"BPE\"", "tokenizer.json");
  expect_bad_file("tokenizer.json", std::string(200000, '['), "tokenizer.json");
  std::string nested = R"({"model":)";
  for (int i = 0; i < 50000; ++i) nested += R"({"a":)";
  expect_bad_file("tokenizer.json", nested + "1" + std::string(50001, '}'), "tokenizer.json");
  expect_bad_tokenizer([](json& t) { t["model"]["merges"] = {"nowhere tobefound"}; }, "nowhere");
  expect_bad_tokenizer([](json& t) { t["model"]["merges"] = 3; }, "merges");
  expect_bad_tokenizer(
      [](json& t) {
        t["model"]["vocab"] = {{"a", std::int64_t{1} << 40}};
      },
      "tokenizer.json");
  expect_bad_tokenizer([](json& t) { t["model"]["vocab"]["a"] = -1; }, "tokenizer.json");
  expect_bad_tokenizer([](json& t) { t["model"]["vocab"]["a"] = "x"; }, "tokenizer.json");
  expect_bad_tokenizer([](json& t) { t["model"]["vocab"] = json::object(); }, "tokenizer.json");
  expect_bad_tokenizer([](json& t) { t["model"]["type"] = "Unigram"; }, "Unigram");
  expect_bad_tokenizer([](json& t) { t["normalizer"] = {{"type", "Nonsense"}}; }, "Nonsense");
  expect_bad_tokenizer([](json& t) { t["pre_tokenizer"] = {{"type", "Nonsense"}}; }, "Nonsense");
  expect_bad_tokenizer([](json& t) { t["added_tokens"][0]["id"] = std::int64_t{1} << 40; },
                       "tokenizer.json");
  expect_bad_tokenizer([](json& t) { t["added_tokens"][0]["content"] = 5; }, "tokenizer.json");
  const json bad_pattern = {{"type", "Split"},
                            {"pattern", {{"Regex", "(unclosed"}}},
                            {"behavior", "Isolated"},
                            {"invert", false}};
  expect_bad_tokenizer([&](json& t) { t["pre_tokenizer"] = bad_pattern; }, "tokenizer.json");
  expect_bad_file("tokenizer_config.json", "[", "tokenizer_config.json");
}

TEST_F(BadInput, Safetensors) {
  const std::string good = testing::content_of(model() / "model.safetensors");
  const auto bad = [&](const std::string& content) {
    expect_bad_file("model.safetensors", content, "model.safetensors");
  };
  bad("");
  bad("short");
  bad(testing::raw(std::uint64_t{1} << 60) + good.substr(8));
  bad(testing::raw(~std::uint64_t{0}) + good.substr(8));
  expect_bad_file("model.safetensors", testing::safetensors_file("{}", ""),
                  "'model.embed_tokens.weight' is missing");
  bad(testing::safetensors_file("[]", ""));
  bad(testing::safetensors_file(std::string(50000, '['), ""));
  bad(testing::safetensors_file(
      R"({"a":{"dtype":"BF16","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", ""));
  bad(testing::safetensors_file(
      R"({"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,1000000000000]}})", "abcd"));
  for (int i = 0; i < 10; ++i) bad(good.substr(0, good.size() * static_cast<std::size_t>(i) / 10));
  bad(good.substr(0, good.size() - 1));
}

TEST_F(BadInput, Gguf) {
  write_gguf_model(TinyModel{}, d.path() / "model.gguf");
  const std::string good = testing::content_of(d.path() / "model.gguf");
  ASSERT_EQ(run_tovamill(with("--model", d.path() / "model.gguf")).exit_code, 0);
  const auto bad = [&](const std::string& content, const std::string& part = "bad.gguf") {
    expect_refused(with("--model", d.write("bad.gguf", content)), 65, part);
  };
  for (std::size_t i = 0; i < 20; ++i) {
    SCOPED_TRACE(i);
    bad(good.substr(0, good.size() * i / 20 + i % 7));
  }
  bad(good.substr(0, good.size() - 1));
  bad("GGML" + good.substr(4));
  bad(good.substr(0, 4) + testing::raw(std::uint32_t{99}) + good.substr(8), "99");
  bad(good.substr(0, 8) + testing::raw(std::uint64_t{1} << 62) + good.substr(16));
  bad(good.substr(0, 16) + testing::raw(std::uint64_t{1} << 62) + good.substr(24));
  testing::GgufBuilder empty;
  bad(empty.bytes(), "general.architecture");
  testing::GgufBuilder other;
  other.text("general.architecture", "gpt2");
  bad(other.bytes(), "gpt2");
  testing::GgufBuilder huge;
  huge.text("general.architecture", "llama");
  huge.raw_tensor("token_embd.weight", 2, {std::uint64_t{1} << 40, std::uint64_t{1} << 40}, 1, 0);
  bad(huge.bytes());
}

TEST_F(BadInput, MissingPaths) {
  const std::string missing = d.path() / "missing";
  expect_refused(with("--model", missing), 66, missing);
  expect_refused(with("--corpus", missing), 66, missing);
  expect_refused(with("--corpus", missing + "/*.txt"), 66, missing);
  expect_refused(with("--config", missing), 66, missing);
  std::filesystem::create_directory(d.path() / "empty");
  expect_refused(with("--model", d.path() / "empty"), 66, "empty");
  expect_refused(with("--corpus", d.path() / "empty"), 66, "empty");
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"}) {
    SCOPED_TRACE(name);
    std::filesystem::rename(model() / name, d.path() / "aside");
    expect_refused(command(), 66, "model");
    std::filesystem::rename(d.path() / "aside", model() / name);
  }
  EXPECT_FALSE(std::filesystem::exists(d.path() / "run"));
}

TEST_F(BadInput, OptionsOutOfRange) {
  for (const char* option :
       {"--cache-size", "--chunk-tokens", "--streams", "--threads", "--block", "--pin"}) {
    SCOPED_TRACE(option);
    expect_refused(with(option, "-1"), 78, option);
    expect_refused(with(option, "99999999999999999999"), 64, option);
    expect_refused(with(option, "ten"), 64, option);
    expect_refused(with(option, ""), 64, option);
  }
  expect_refused(with("--cache-size", "0"), 78, "--cache-size");
  expect_refused(with("--memory-budget", "1"), 78, "--memory-budget");
  expect_refused(with("--memory-budget", "ten"), 64, "--memory-budget");
  expect_refused(with("--dtype", "fp8"), 64, "--dtype");
  expect_refused(with("--policy", "lru"), 64, "--policy");
  expect_refused(with("--positions", "none"), 64, "--positions");
  expect_refused(with("--device", "tpu"), 64, "--device");
  expect_refused(with("--max-bad-fraction", "2"), 78, "--max-bad-fraction");
  expect_refused(with("--max-bad-fraction", "nan"), 64, "--max-bad-fraction");
  expect_refused(with("--sync-seconds", "0"), 78, "--sync-seconds");
  expect_refused(command({"--policy", "tova-ema", "--ema", "1"}), 78, "--ema");
  expect_refused(command({"--policy", "tova-ema", "--ema", "nan"}), 64, "--ema");
  expect_refused(command({"--policy", "window", "--sinks", "512"}), 78, "--sinks");
  expect_refused(command({"--pin", "513"}), 78, "--pin");
  expect_refused(command({"stray"}), 64, "stray");
}

TEST_F(BadInput, ADeviceThatIsNotBuiltInIs69) {
  if (run_tovamill({"--version"}).out.find("CUDA not built") == std::string::npos) {
    const ProgramResult result = run_tovamill(with("--device", "cuda"));
    if (result.exit_code == 0) GTEST_SKIP() << "this program has a CUDA device";
  }
  expect_refused(with("--device", "cuda"), 69, "cuda");
}

TEST_F(BadInput, OutputsThatCannotBeMade) {
  const std::string file = d.write("file", "x");
  expect_refused(with("--out", file), 73, file);
  expect_refused(with("--out", file + "/below"), 73, file);
  expect_refused(with("--out", "/proc/run"), 73, "/proc/run");
  expect_refused(with("--out", "/dev/full"), 73, "/dev/full");
  d.write("used/thesis.txt", "precious");
  expect_refused(with("--out", d.path() / "used"), 78, "thesis.txt");
  std::vector<std::string> overwriting = with("--out", d.path() / "used");
  overwriting.push_back("--overwrite");
  expect_refused(overwriting, 78, "thesis.txt");
  EXPECT_EQ(testing::content_of(d.path() / "used/thesis.txt"), "precious");
  d.write("diary/journal/1815-06-18.md", "rain");
  overwriting = with("--out", d.path() / "diary");
  overwriting.push_back("--overwrite");
  expect_refused(overwriting, 78, "journal/1815-06-18.md");
  EXPECT_EQ(testing::content_of(d.path() / "diary/journal/1815-06-18.md"), "rain");
  if (geteuid() == 0) return;  // may write anywhere
  std::filesystem::create_directory(d.path() / "locked");
  std::filesystem::permissions(d.path() / "locked", std::filesystem::perms::owner_read);
  expect_refused(with("--out", d.path() / "locked/run"), 73, "locked");
}

TEST_F(BadInput, AFullDiskIs74AndTheRunContinues) {
  const std::string disk = d.path() / "disk";
  std::filesystem::create_directory(disk);
  d.write("corpus.jsonl", "");
  std::string lines;
  for (int i = 0; i < 400; ++i)
    lines += "{\"text\":\"" + testing::digits(100, static_cast<std::uint64_t>(i)) + "\"}\n";
  const std::string corpus = d.write("corpus.jsonl", lines);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=256k") != 0) {
    GTEST_SKIP() << "this user may not mount a small file system";
  }
  std::vector<std::string> arguments = with("--corpus", corpus);
  arguments[6] = disk + "/run";
  arguments.insert(arguments.end(), {"--trace-state", "--dtype", "f32"});
  expect_ended(run_tovamill(arguments), 74, "space");
  EXPECT_EQ(mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT, "size=64m"), 0);
  const ProgramResult again = run_tovamill(arguments);
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_TRUE(contains(again.err, "continuing")) << again.err;
  EXPECT_EQ(testing::Results(disk + "/run").id.size(), 400u);
  EXPECT_EQ(umount(disk.c_str()), 0);
}

}  // namespace
}  // namespace tovamill
