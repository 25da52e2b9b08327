// Chat templates of published models against transformers, where a directory has them: see
// tests/support/generators/compare_chat_templates.py.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "engine/prompt/chat_template.h"
#include "engine/prompt/prompt.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

using nlohmann::json;

struct PublishedCounts {
  int equal = 0, different = 0, refused = 0, refused_by_both = 0;
};

std::string rendered_or_error(const ChatTemplate& chat, const std::string& message,
                              std::string& error) {
  try {
    const std::string text = to_utf8_of(chat.rendered(jinja_text(message, JinjaOrigin::message)));
    return (chat.starts_with_bos ? chat.bos : "") + text;
  } catch (const JinjaError& e) {
    error = e.what();
    return {};
  }
}

// A template of which transformers makes nothing of any message is no case.
bool is_usable(const json& rendered) {
  return std::any_of(rendered.begin(), rendered.end(),
                     [](const json& text) { return !text.is_null(); });
}

void compare_texts(const json& entry, const json& head, const std::string& system,
                   const char* expected_key, PublishedCounts& counts) {
  const auto name = entry["name"].get<std::string>();
  const json& expected = entry[expected_key];
  std::optional<ChatTemplate> chat;
  try {
    chat = read_chat_template(entry["jinja"].get<std::string>(), entry["special_tokens"], name,
                              {.system = system});
  } catch (const Error& e) {
    if (is_usable(expected)) {
      ++counts.refused;
      std::cout << "refused: " << (system.empty() ? "" : "(system) ") << e.what() << "\n";
    } else {
      ++counts.refused_by_both;
    }
    return;
  }
  bool equal = true;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    std::string error;
    const std::string text =
        rendered_or_error(*chat, head["messages"][i].get<std::string>(), error);
    if (expected[i].is_null() && !error.empty()) continue;
    EXPECT_EQ(error, "") << name << ", message " << i;
    EXPECT_FALSE(expected[i].is_null()) << name << ", message " << i;
    if (!expected[i].is_null()) {
      EXPECT_EQ(text, expected[i].get<std::string>()) << name;
    }
    equal = equal && !expected[i].is_null() && text == expected[i].get<std::string>();
  }
  ++(equal ? counts.equal : counts.different);
}

void compare_ids(const std::filesystem::path& folder, const json& entry, const json& head,
                 PublishedCounts& counts) {
  const auto name = entry["name"].get<std::string>();
  const json file = json::parse(std::ifstream(folder / entry["tokenizer"].get<std::string>()));
  bool equal = true;
  try {
    const auto tokenizer = Tokenizer::from_hf(file, entry["tokenizer_config"], name);
    const ChatTemplate chat =
        read_chat_template(entry["jinja"].get<std::string>(), entry["special_tokens"], name);
    const PromptBuilder builder(*tokenizer, chat,
                                chat.starts_with_bos ? tokenizer->id_of(chat.bos) : std::nullopt);
    for (std::size_t i = 0; i < entry["ids"].size(); ++i) {
      if (entry["ids"][i].is_null()) continue;
      const auto ids = builder
                           .build(PromptTemplate::parse("{document}", "bare"),
                                  head["messages"][i].get<std::string>(), "")
                           .ids;
      const auto expected = entry["ids"][i].get<std::vector<TokenId>>();
      if (ids == expected) continue;
      equal = false;
      ADD_FAILURE() << name << ", message " << i << "\n"
                    << tokenizer->decode(ids, true).substr(0, 600) << "\n"
                    << tokenizer->decode(expected, true).substr(0, 600);
    }
  } catch (const Error& e) {
    if (!is_usable(entry["rendered"])) return void(++counts.refused_by_both);
    ++counts.refused;
    std::cout << "refused (ids): " << e.what() << "\n";
    return;
  }
  ++(equal ? counts.equal : counts.different);
}

void tell(const char* what, const PublishedCounts& counts) {
  std::cout << what << ": " << counts.equal << " templates equal, " << counts.different
            << " different, " << counts.refused << " refused, " << counts.refused_by_both
            << " refused by both\n";
}

// The directory that TOVAMILL_CHAT_TEMPLATES names: no test where it names none.
std::vector<std::string> template_folders() {
  const char* folder = std::getenv("TOVAMILL_CHAT_TEMPLATES");
  return folder == nullptr ? std::vector<std::string>{} : std::vector<std::string>{folder};
}

class PublishedTemplates : public ::testing::TestWithParam<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PublishedTemplates);
INSTANTIATE_TEST_SUITE_P(Folder, PublishedTemplates, ::testing::ValuesIn(template_folders()));

TEST_P(PublishedTemplates, GiveWhatTransformersMakesOfThem) {
  const std::string& folder = GetParam();
  std::ifstream cases(std::filesystem::path(folder) / "cases.jsonl");
  std::string line;
  ASSERT_TRUE(std::getline(cases, line));
  const json head = json::parse(line);
  PublishedCounts texts, systems, ids;
  while (std::getline(cases, line)) {
    const json entry = json::parse(line);
    compare_texts(entry, head, "", "rendered", texts);
    compare_texts(entry, head, head["system"], "rendered_with_system", systems);
    compare_ids(folder, entry, head, ids);
  }
  tell("texts", texts);
  tell("texts with a system message", systems);
  tell("ids", ids);
  EXPECT_GE(ids.equal, 25);
}

}  // namespace
}  // namespace tovamill
