// Templates of the shapes that models come with, against what Jinja renders for them
// (tests/support/generators/make_chat_goldens.py).
#include "engine/prompt/chat_template.h"

#include <gtest/gtest.h>

#include "tests/support/error_of.h"
#include "tests/support/models/real_tokenizers.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;
using Kind = PromptSegment::Kind;

const std::map<std::string, std::string> kSpecialTokens{{"bos_token", "<s>"},
                                                        {"eos_token", "</s>"}};

std::string text_of(const std::vector<PromptSegment>& pieces) {
  std::string out;
  for (const PromptSegment& piece : pieces) out += piece.text;
  return out;
}

// As Python's strip(), for the white space of the goldens' messages.
std::string trimmed(std::string text, bool start, bool end) {
  bool again = true;
  while (again) {
    again = false;
    for (const std::string space : {" ", "\n", "\u00a0", "\u3000"}) {
      if (start && text.starts_with(space)) text.erase(0, space.size()), again = true;
      if (end && text.ends_with(space)) text.resize(text.size() - space.size()), again = true;
    }
  }
  return text;
}

std::string rendered(const ChatTemplate& chat, const std::string& message, const std::string& bos) {
  return (chat.starts_with_bos ? bos : "") + text_of(chat.before) +
         trimmed(message, chat.trims_start, chat.trims_end) + text_of(chat.after);
}

ChatTemplate known(const std::string& name) {
  const nlohmann::json golden = testing::golden_json("chat_templates/templates.json");
  for (const auto& entry : golden["known"]) {
    if (entry["name"] == name) {
      return recognise_chat_template(entry["template"].get<std::string>(), kSpecialTokens, name);
    }
  }
  throw std::logic_error("no template of " + name);
}

TEST(ChatTemplate, SaysWhatTheModelsOwnTemplateDoes) {
  const nlohmann::json golden = testing::golden_json("chat_templates/templates.json");
  ASSERT_GT(golden["known"].size(), 15u);
  for (const auto& entry : golden["known"]) {
    const auto name = entry["name"].get<std::string>();
    const ChatTemplate chat =
        recognise_chat_template(entry["template"].get<std::string>(), kSpecialTokens, "model");
    EXPECT_EQ(chat.name, entry["family"].get<std::string>()) << name;
    for (std::size_t i = 0; i < golden["messages"].size(); ++i) {
      const auto message = golden["messages"][i].get<std::string>();
      EXPECT_EQ(rendered(chat, message, entry["bos"].get<std::string>()),
                entry["rendered"][i].get<std::string>())
          << name;
    }
  }
}

TEST(ChatTemplate, TellsControlTokensFromText) {
  const ChatTemplate smollm = known("SmolLM2-Instruct");
  const std::vector<PromptSegment> before{
      {Kind::control, "<|im_start|>"},
      {Kind::text, "system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"},
      {Kind::control, "<|im_end|>"},
      {Kind::text, "\n"},
      {Kind::control, "<|im_start|>"},
      {Kind::text, "user\n"}};
  EXPECT_EQ(smollm.before, before);
  EXPECT_EQ(smollm.end_tokens, std::vector<std::string>{"<|im_end|>"});
  const ChatTemplate mistral = known("Mistral-Instruct-v0.3");
  EXPECT_TRUE(mistral.starts_with_bos);
  EXPECT_EQ(mistral.before,
            (std::vector<PromptSegment>{{Kind::control_if_known, "[INST]"}, {Kind::text, " "}}));
  EXPECT_EQ(mistral.after, (std::vector<PromptSegment>{{Kind::control_if_known, "[/INST]"}}));
  const ChatTemplate qwen = known("Qwen3");
  EXPECT_EQ(qwen.after[qwen.after.size() - 4], (PromptSegment{Kind::control, "<think>"}));
  EXPECT_TRUE(known("Llama-3.1-Instruct").trims_start);
  const ChatTemplate llama2 = known("Llama-2-chat with a default system message");
  EXPECT_FALSE(llama2.trims_start);
  EXPECT_TRUE(llama2.trims_end);
}

TEST(ChatTemplate, RefusesWhatItWouldHaveToGuess) {
  const nlohmann::json golden = testing::golden_json("chat_templates/templates.json");
  ASSERT_GT(golden["refused"].size(), 10u);
  for (const auto& [name, source] : golden["refused"].items()) {
    SCOPED_TRACE(name);
    const std::string message = error_of(
        [&] { recognise_chat_template(source.get<std::string>(), kSpecialTokens, "m.gguf"); },
        ExitCode::configuration);
    EXPECT_TRUE(contains(message, "m.gguf: its chat template is not known here (")) << message;
    EXPECT_TRUE(contains(message, kChatTemplateNames)) << message;
  }
  for (const std::string& source : {std::string(), std::string("{{ messages | tojson }}"),
                                    std::string(100'000, '{'), std::string("\x01<bos>\xff\0", 8)}) {
    error_of([&] { recognise_chat_template(source, kSpecialTokens, "m.gguf"); },
             ExitCode::configuration);
  }
}

TEST(ChatTemplate, PlainFormsByName) {
  const std::pair<const char*, const char*> expected[] = {
      {"none", "X"},
      {"chatml", "<|im_start|>user\nX<|im_end|>\n<|im_start|>assistant\n"},
      {"qwen",
       "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful "
       "assistant.<|im_end|>\n<|im_start|>user\nX<|im_end|>\n<|im_start|>assistant\n"},
      {"llama2", "<s>[INST] X [/INST]"},
      {"llama3",
       "<s><|start_header_id|>user<|end_header_id|>\n\nX<|eot_id|><|start_header_id|>assistant"
       "<|end_header_id|>\n\n"},
      {"mistral", "<s>[INST] X[/INST]"}};
  for (const auto& [name, text] : expected) {
    const ChatTemplate chat = chat_template_named(name);
    EXPECT_EQ(chat.name, name);
    EXPECT_EQ(rendered(chat, "X", "<s>"), text);
    EXPECT_TRUE(contains(kChatTemplateNames, name));
  }
  EXPECT_EQ(chat_template_named("qwen").before, known("Qwen2.5-Instruct").before);
  EXPECT_EQ(chat_template_named("llama3").before, known("Llama-3-Instruct").before);
  const std::string message = error_of([] { chat_template_named("gemma\n"); }, ExitCode::usage);
  EXPECT_TRUE(contains(message, kChatTemplateNames)) << message;
}

}  // namespace
}  // namespace tovamill
