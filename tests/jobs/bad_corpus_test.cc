// Broken, hostile and absurd corpora and what only shows in documents, through the built program.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/jobs/bad_input.h"
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

TEST_F(BadInput, ACorpusOfBadRecordsOnlyHasNoPerplexity) {
  const std::string corpus =
      d.write("bad.jsonl", "{\n{\"text\":\"\"}\n{\"text\":7}\nnull\n[1]\n\xff\xff\n" +
                               std::string(100000, '[') + "\n");
  for (const char* format : {"text", "json"}) {
    std::vector<std::string> arguments = with("--corpus", corpus);
    arguments.insert(arguments.end(), {"--log-format", format});
    const ProgramResult result = run_tovamill(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const bool is_text = format == std::string("text");
    EXPECT_TRUE(
        contains(result.out, is_text ? "perplexity per token  -\n" : "\"perplexity_token\":null"))
        << result.out;
    EXPECT_FALSE(contains(result.out, "nan")) << result.out;
  }
  const testing::Results r(d.path() / "run");
  EXPECT_EQ(r.failure_reason.size(), 7u);
  EXPECT_EQ(r.failure_line, (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 7}));
}

// Corpora that are not what their endings say, or break off: failures by name, and the rest is
// scored.
TEST_F(BadInput, CorporaThatAreNotWhatTheyShouldBe) {
  const auto reasons = [&](const std::string& name, const std::string& content,
                           const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = with("--corpus", d.write(name, content));
    arguments.push_back("--overwrite");
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult result = run_tovamill(arguments);
    EXPECT_EQ(result.exit_code, 0) << name << ": " << result.err;
    return testing::Results(d.path() / "run").failure_reason;
  };
  using Reasons = std::vector<std::string>;
  EXPECT_EQ(reasons("a.txt", ""), Reasons{"empty"});
  EXPECT_EQ(reasons("a.txt", "\xef\xbb\xbf"), Reasons{"empty"});
  EXPECT_EQ(reasons("a.txt", "good\xc3"), Reasons{"invalid-utf8"});
  EXPECT_EQ(reasons("a.txt", "\xed\xa0\x80"), Reasons{"invalid-utf8"});
  EXPECT_EQ(reasons("a.txt", std::string("words\0words", 11)), Reasons{});
  EXPECT_EQ(reasons("a.txt", std::string(5, '\0')), Reasons{"invalid-utf8"});
  EXPECT_EQ(reasons("a.txt", "  \n \t\n"), Reasons{});
  EXPECT_EQ(reasons("a.txt.gz", "no gzip at all").size(), 1u);
  EXPECT_EQ(reasons("a.txt.zst", "no zstd at all").size(), 1u);
  EXPECT_EQ(reasons("a.txt.xz", "no xz at all").size(), 1u);
  EXPECT_EQ(reasons("a.jsonl.xz", std::string("\xfd\x37zXZ\0", 6)).size(), 1u);
  EXPECT_EQ(reasons("a.txt.bz2", "no bzip2 at all").size(), 1u);
  EXPECT_EQ(reasons("a.jsonl.bz2", "BZh9").size(), 1u);
  EXPECT_EQ(reasons("a.jsonl.gz", std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03", 10)).size(), 1u);
  EXPECT_EQ(reasons("a.jsonl.zst", "\x28\xb5\x2f\xfd").size(), 1u);
  EXPECT_EQ(reasons("a.txt", std::string(2000, 'x'), {"--max-record-bytes", "1000"}),
            Reasons{"too-large"});
  EXPECT_EQ(reasons("a.jsonl", "{\"text\":\"" + std::string(2000, 'x') + "\"}\n{\"text\":\"good\"}",
                    {"--max-record-bytes", "1000"}),
            Reasons{"too-large"});
  EXPECT_EQ(reasons("a.jsonl", R"({"text":"a\u0000b"})"), Reasons{});
  EXPECT_EQ(reasons("a.jsonl", R"({"text":"\ud800"})").size(), 1u);
  EXPECT_EQ(reasons("a.jsonl", R"({"text":"good","id":")" + std::string(5000, 'i') + "\"}"),
            Reasons{});
  EXPECT_EQ(reasons("a.jsonl", R"({"text":"good","id":["no"]})"), Reasons{});
  expect_refused(with("--corpus", d.write("a.pdf", "x")), 64, "a.pdf");
}

// File names are bytes; those that are not UTF-8 are as good as others, and continue as others.
TEST_F(BadInput, NamesThatAreNotUtf8AreNoObstacle) {
  const std::string name = "caf\xe9";
  d.write(name + ".txt", "a text");
  write_hf_model(TinyModel{}, d.path() / name);
  const std::vector<std::string> arguments{"score",
                                           "--model",
                                           d.path() / name,
                                           "--corpus",
                                           d.path() / (name + ".txt"),
                                           "--out",
                                           d.path() / (name + "-run"),
                                           "--token-nll"};
  for (int start = 0; start < 2; ++start) {
    for (const char* format : {"text", "json"}) {
      std::vector<std::string> all = arguments;
      all.insert(all.end(), {"--log-format", format});
      const ProgramResult result = run_tovamill(all);
      EXPECT_EQ(result.exit_code, 0) << result.err;
    }
  }
  std::vector<std::string> other = arguments;
  other.insert(other.end(), {"--cache-size", "7"});
  expect_refused(other, 78, "--cache-size was 512 and is 7");
  const std::string results = d.path() / (name + "-run") / "results.h5";
  for (const char* format : {"csv", "jsonl"}) {
    const ProgramResult result = run_tovamill({"export", results, "--format", format});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(contains(result.out, "caf")) << result.out;
  }
  for (const std::string& file : {results, (d.path() / name).string()}) {
    const ProgramResult result = run_tovamill({"inspect", file});
    EXPECT_EQ(result.exit_code, 0) << result.err;
  }
  const ProgramResult ids = run_tovamill(
      {"tokenize", "--model", d.path() / name, "--corpus", d.path() / (name + ".txt")});
  EXPECT_EQ(ids.exit_code, 0) << ids.err;
  expect_refused(
      {"score", "--model", d.path() / "\xe9", "--corpus", d.path() / (name + ".txt"), "--out", "o"},
      66, "\xe9");
}

TEST_F(BadInput, StrictAndTooManyBadRecordsAre65) {
  const std::string corpus = d.write("bad.jsonl", "{\"text\":\"good\"}\n{\"text\":\n");
  std::vector<std::string> arguments = with("--corpus", corpus);
  arguments.push_back("--strict");
  expect_ended(run_tovamill(arguments), 65, "bad.jsonl, line 2, byte 16");
  EXPECT_TRUE(contains(testing::content_of(d.path() / "run/status.json"), "\"failed\""));
  arguments.back() = "--max-bad-fraction=0.4";
  expect_ended(run_tovamill(arguments), 65, "--max-bad-fraction 0.4");
  EXPECT_TRUE(contains(testing::content_of(d.path() / "run/status.json"), "\"exit_code\": 65"));
}

// A token that the tokenizer knows and the model does not cannot be looked up.
TEST_F(BadInput, TokensBeyondTheModelFailTheirDocuments) {
  TinyModel small;
  small.vocab_size = 300;
  write_hf_model(small, model());
  d.write("model/tokenizer.json", testing::tiny_tokenizer_json(320).dump());
  const std::string corpus =
      d.write("two.jsonl", "{\"text\":\"one <|endoftext|> two\"}\n{\"text\":\"three\"}\n");
  std::vector<std::string> arguments = with("--corpus", corpus);
  arguments.push_back("--parse-special");
  const ProgramResult result = run_tovamill(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const testing::Results r(d.path() / "run");
  EXPECT_EQ(r.failure_reason, std::vector<std::string>{"bad-tokens"});
  EXPECT_EQ(r.failure_line, std::vector<std::uint64_t>{1});
}

// The same of a BOS and of what a chat template writes (huggingface/transformers#26714).
TEST_F(BadInput, SpecialTokensBeyondTheModelFailTheirDocuments) {
  TinyModel small;
  small.vocab_size = 300;
  write_hf_model(small, model());
  json tokenizer = testing::tiny_tokenizer_json(320);
  json id_320 = tokenizer.at("added_tokens").at(0), id_321 = id_320;
  id_320.update({{"id", 320}, {"content", "<|im_start|>"}});
  id_321.update({{"id", 321}, {"content", "<|im_end|>"}});
  tokenizer.at("added_tokens").push_back(id_320);
  tokenizer.at("added_tokens").push_back(id_321);
  d.write("model/tokenizer.json", tokenizer.dump());
  const std::string corpus = d.write("two.jsonl", "{\"text\":\"one\"}\n{\"text\":\"three\"}\n");
  std::vector<std::string> arguments = with("--corpus", corpus);
  arguments.insert(arguments.end(), {"--bos", "always"});
  const ProgramResult scored = run_tovamill(arguments);
  const testing::Results r(d.path() / "run");
  EXPECT_EQ(r.failure_reason, (std::vector<std::string>{"bad-tokens", "bad-tokens"})) << scored.err;
  const std::string texts = d.path() / "texts";
  const ProgramResult written =
      run_tovamill({"generate", "--model", model(), "--corpus", corpus, "--out", texts,
                    "--max-new-tokens", "2", "--chat-template", "chatml", "--bos", "never"});
  EXPECT_EQ(testing::Results(texts).failure_reason,
            (std::vector<std::string>{"bad-tokens", "bad-tokens"}))
      << written.err;
}

TEST_F(BadInput, WeightsThatAreNoNumbersFailTheDocuments) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  d.write("corpus.txt", testing::digits(700, 1));
  for (const StorageType dtype : {StorageType::bf16, StorageType::f16}) {
    for (const float value : {kNan, kInf, -kInf}) {
      for (const char* layer : {"embed_tokens", "layers.1.self_attn.k_proj", "lm_head"}) {
        SCOPED_TRACE(std::string(layer) + " " + std::to_string(value));
        std::vector<testing::FileTensor> file;
        for (const auto& t : testing::tiny_tensors(TinyModel{})) {
          std::string bytes = testing::encode(t.values, dtype);
          const std::uint16_t f16 = std::isnan(value) ? 0x7e00 : value > 0 ? 0x7c00 : 0xfc00;
          const auto one = testing::raw(dtype == StorageType::bf16 ? bf16_from_float(value) : f16);
          if (contains(t.hf_name, layer)) {
            for (std::size_t i = 0; i < bytes.size(); i += 2) bytes.replace(i, 2, one);
          }
          file.push_back({t.hf_name, dtype, t.shape, bytes});
        }
        d.write("model/model.safetensors", testing::safetensors_file(file));
        const ProgramResult result = run_tovamill(command({"--overwrite", "--cache-size", "64"}));
        EXPECT_EQ(result.exit_code, 0) << result.err;
        EXPECT_EQ(testing::Results(d.path() / "run").failure_reason,
                  std::vector<std::string>{"not-finite"});
      }
    }
  }
}

}  // namespace
}  // namespace tovamill
