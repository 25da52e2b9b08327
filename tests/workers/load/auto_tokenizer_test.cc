// Model directories against AutoTokenizer: random combinations of tokenizer.json and of the files
// beside it (tests/support/generators/make_auto_tokenizer_goldens.py). Each gives the same ids as
// there, or is refused.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "engine/prompt/chat_template.h"
#include "engine/prompt/prompt.h"
#include "engine/text/sha256.h"
#include "kernels/types/error.h"
#include "tests/support/temporary_directory.h"
#include "workers/load/model_parts.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::TemporaryDirectory;
namespace fs = std::filesystem;

json read_golden(const std::string& name) {
  return json::parse(
      std::ifstream(TOVAMILL_SOURCE_DIR "/tests/support/goldens/tokenizers/" + name));
}

void write_case(const json& entry, const fs::path& folder) {
  json tokenizer = read_golden(entry["base"].get<std::string>() + ".json");
  tokenizer.update(entry["patch"]);
  std::ofstream(folder / "tokenizer.json") << tokenizer;
  for (const auto& [name, content] : entry["files"].items()) {
    fs::create_directories((folder / name).parent_path());
    std::ofstream file(folder / name);
    if (content.is_string()) {
      file << content.get<std::string>();
    } else {
      file << content;
    }
  }
}

std::string digest_of(const std::vector<std::vector<TokenId>>& rows) {
  std::string text;
  for (const auto& row : rows) {
    for (const TokenId id : row) text += std::to_string(id) + " ";
    text += "\n";
  }
  return sha256_hex(text);
}

struct Outcome {
  std::string ids, plain, chat;  // digests; empty: refused
  std::string refusal, chat_refusal;
  bool is_noted = false;  // that AutoTokenizer is not followed
};

Outcome outcome_of(const ModelFiles& files, const json& golden) {
  Outcome out;
  const auto tokenizer = tokenizer_of(files);
  out.is_noted = tokenizer->description().find("of transformers 5 drops") != std::string::npos;
  std::vector<std::vector<TokenId>> plain, rows;
  const SurroundingTokens around = surrounding_tokens(*tokenizer, BosMode::automatic);
  for (const json& text : golden["texts"]) {
    tokenizer->encode(text.get<std::string>(), true, plain.emplace_back());
    rows.push_back(around.leading);
    rows.back().insert(rows.back().end(), plain.back().begin(), plain.back().end());
    rows.back().insert(rows.back().end(), around.trailing.begin(), around.trailing.end());
  }
  out.ids = digest_of(rows);
  out.plain = digest_of(plain);
  try {
    const std::string jinja = files.chat_template();
    if (jinja.empty()) {
      out.chat_refusal = "none";
      return out;
    }
    const ChatTemplate chat =
        read_chat_template(jinja, special_tokens_of(files, *tokenizer), "model");
    const PromptBuilder builder(*tokenizer, chat,
                                chat.starts_with_bos ? tokenizer->bos_id() : std::nullopt);
    out.chat = digest_of({builder
                              .build(PromptTemplate::parse("{document}", "test"),
                                     golden["message"].get<std::string>(), "")
                              .ids});
  } catch (const Error& e) {
    out.chat_refusal = e.what();
  }
  return out;
}

// How many cases came out how.
struct Counts {
  int equal = 0, refused = 0, noted = 0, chat_equal = 0, chat_refused = 0, chat_none = 0;
};

void compare(const json& entry, const json& golden, Counts& counts) {
  const TemporaryDirectory folder;
  write_case(entry, folder.path());
  const json& expected = entry["expected"];
  Outcome got;
  try {
    const auto files = ModelFiles::open(folder.path(), ModelFiles::Parts::tokenizer_only);
    got = outcome_of(*files, golden);
  } catch (const Error& e) {
    got.refusal = e.what();
    if (std::getenv("TOVAMILL_TELL")) std::cout << got.refusal << "\n";
    ++counts.refused;
    return;
  }
  if (expected.contains("error")) return;
  if (got.is_noted) {
    ++counts.noted;
    return;
  }
  EXPECT_EQ(got.plain, expected["plain"].get<std::string>());
  EXPECT_EQ(got.ids, expected["ids"].get<std::string>());
  ++counts.equal;
  if (std::getenv("TOVAMILL_TELL") && got.chat.empty()) std::cout << got.chat_refusal << "\n";
  if (got.chat_refusal == "none") {
    EXPECT_FALSE(expected.contains("chat"));
    ++counts.chat_none;
  } else if (!got.chat_refusal.empty()) {
    ++counts.chat_refused;
  } else {
    ASSERT_TRUE(expected.contains("chat"));
    EXPECT_EQ(got.chat, expected["chat"].get<std::string>());
    ++counts.chat_equal;
  }
}

void compare_all(const json& golden, Counts& counts) {
  for (std::size_t i = 0; i < golden["cases"].size(); ++i) {
    const json& entry = golden["cases"][i];
    SCOPED_TRACE("case " + std::to_string(i) + ", " + entry["base"].get<std::string>());
    compare(entry, golden, counts);
  }
}

TEST(AutoTokenizer, EveryCombinationOfFilesIsTokenisedAlikeOrRefused) {
  const char* other = std::getenv("TOVAMILL_AUTO_GOLDEN");
  const json golden =
      other != nullptr ? json::parse(std::ifstream(other)) : read_golden("auto.json");
  Counts counts;
  compare_all(golden, counts);
  RecordProperty("equal", counts.equal);
  RecordProperty("refused", counts.refused);
  std::cout << counts.equal << " equal, " << counts.refused << " refused, " << counts.noted
            << " noted; chats: " << counts.chat_equal << " equal, " << counts.chat_refused
            << " refused, " << counts.chat_none << " without a template\n";
  EXPECT_GT(counts.equal, 100);
  EXPECT_GT(counts.chat_equal, 30);
}

// Which class is chosen for the model types of many families
// (tests/support/generators/make_auto_class_goldens.py).
TEST(AutoTokenizer, EveryChoiceOfAClassIsTokenisedAlikeOrRefused) {
  Counts counts;
  compare_all(read_golden("auto_classes.json"), counts);
  std::cout << counts.equal << " equal, " << counts.refused << " refused, " << counts.noted
            << " noted\n";
  EXPECT_GT(counts.equal, 80);
}

}  // namespace
}  // namespace tovamill
