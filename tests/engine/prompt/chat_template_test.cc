// Templates of the shapes that models come with, against what Jinja renders for them
// (tests/support/generators/make_chat_goldens.py).
#include "engine/prompt/chat_template.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "tests/support/error_of.h"
#include "tests/support/models/real_tokenizers.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;

const std::map<std::string, std::string> kSpecialTokens{{"bos_token", "<s>"},
                                                        {"eos_token", "</s>"}};

ChatTemplate read(const std::string& jinja, const ChatSettings& settings = {}) {
  return read_chat_template(jinja, kSpecialTokens, "m.gguf", settings);
}

// Empty: the template refuses the message.
std::optional<std::string> rendered(const ChatTemplate& chat, const std::string& message,
                                    const std::string& bos = "<s>") {
  try {
    return (chat.starts_with_bos ? bos : "") +
           to_utf8_of(chat.rendered(jinja_text(message, JinjaOrigin::message)));
  } catch (const JinjaError&) {
    return std::nullopt;
  }
}

nlohmann::json golden_of(const std::string& name) {
  const nlohmann::json golden = testing::golden_json("chat_templates/templates.json");
  for (const auto& entry : golden["known"]) {
    if (entry["name"] == name) return entry;
  }
  throw std::logic_error("no template of " + name);
}

ChatTemplate known(const std::string& name) {
  return read(golden_of(name)["template"].get<std::string>());
}

// Characters of the record as 'r', the template's as '.'.
std::string origins(JinjaTextView text) {
  std::string out;
  for (const char32_t c : text) out += (c & JinjaOrigin::record) != 0 ? 'r' : '.';
  return out;
}

TEST(ChatTemplate, SaysWhatJinjaDoesWithAndWithoutASystemMessage) {
  const nlohmann::json golden = testing::golden_json("chat_templates/templates.json");
  ASSERT_GT(golden["known"].size(), 35u);
  int n_systems = 0;
  for (const auto& entry : golden["known"]) {
    const auto name = entry["name"].get<std::string>();
    const auto bos = entry["bos"].get<std::string>();
    for (const char* key : {"rendered", "with_system"}) {
      const bool has_system = key == std::string("with_system");
      std::optional<ChatTemplate> chat;
      try {
        const auto tokens =
            bos.empty()
                ? std::map<std::string, std::string>{{"eos_token", "</s>"}, {"bos_token", ""}}
                : std::map<std::string, std::string>{{"eos_token", "</s>"}, {"bos_token", bos}};
        chat = read_chat_template(
            entry["template"].get<std::string>(), tokens, name,
            {.system = has_system ? golden["system"].get<std::string>() : std::string()});
      } catch (const Error& e) {
        ASSERT_TRUE(has_system) << e.what();
        EXPECT_TRUE(contains(e.what(), "--system: the chat template of " + name)) << e.what();
        continue;
      }
      n_systems += has_system ? 1 : 0;
      for (std::size_t i = 0; i < golden["messages"].size(); ++i) {
        const auto text = rendered(*chat, golden["messages"][i].get<std::string>(), bos);
        const nlohmann::json& expected = entry[key][i];
        EXPECT_EQ(text.has_value(), !expected.is_null()) << name << ", message " << i;
        if (text && !expected.is_null()) {
          EXPECT_EQ(*text, expected.get<std::string>()) << name;
        }
      }
    }
  }
  EXPECT_GT(n_systems, 20);
}

TEST(ChatTemplate, TellsTheRecordFromTheTemplate) {
  const auto text = [](const char* name) {
    return known(name).rendered(jinja_text("a <|im_end|>", JinjaOrigin::message));
  };
  EXPECT_TRUE(origins(text("ChatML in capitals")).find("rrrrrrrrrrrr..") != std::string::npos);
  const JinjaText twice = text("ChatML with the message twice");
  EXPECT_EQ(std::count_if(twice.begin(), twice.end(),
                          [](char32_t c) { return (c & JinjaOrigin::message) != 0; }),
            24);
  // What the template puts into the message is the template's.
  const JinjaText replaced = text("ChatML with characters replaced");
  EXPECT_TRUE(contains(to_utf8_of(replaced), "a <|im_<|im_end|>nd|>"));
  EXPECT_TRUE(contains(origins(replaced), "rrrrrrr..........rrrr"));
}

TEST(ChatTemplate, EndsWhereTheTemplatePutsAnEndBehindAnAnswer) {
  EXPECT_TRUE(known("SmolLM2-Instruct").after_reply.starts_with("<|im_end|>"));
  EXPECT_TRUE(known("Llama-3.1-Instruct").after_reply.starts_with("<|eot_id|>"));
  EXPECT_EQ(known("Llama-3.1-Instruct").end_tokens, std::vector<std::string>{"<|eom_id|>"});
  EXPECT_EQ(known("Mistral-Instruct-v0.3").after_reply, "</s>");
  EXPECT_TRUE(known("Gemma").after_reply.starts_with("<end_of_turn>"));
  EXPECT_TRUE(known("gpt-oss").after_reply.starts_with("<|return|>"));
  EXPECT_EQ(read("{{ messages[0].content }}").after_reply, "");
}

TEST(ChatTemplate, SwitchesReasoningOffByTheTemplatesOwnSwitch) {
  EXPECT_EQ(known("Qwen3").reasoning, "enable_thinking=false");
  EXPECT_EQ(known("gpt-oss").reasoning, "reasoning_effort=low");
  EXPECT_EQ(known("Qwen2.5-Instruct").reasoning, "");
  EXPECT_TRUE(known("a model that always thinks").begins_thinking);
  EXPECT_FALSE(known("Qwen3").begins_thinking);
  EXPECT_TRUE(known("gpt-oss").answers_in_channels);
  EXPECT_FALSE(known("Qwen3").answers_in_channels);
  const std::pair<const char*, const char*> cases[] = {
      {"{% if thinking %}<t>{% endif %}", "thinking=false"},
      {"{% if thinking_budget is not defined %}{% set thinking_budget = -1 %}{% endif %}"
       "{{ thinking_budget }}",
       "thinking_budget=0"},
      {"{% set e = reasoning_effort | default('high') %}{{ e }}", "reasoning_effort=low"},
      {"{% if reasoning_effort not in ['none', 'high'] %}{{ raise_exception('x') }}{% endif %}",
       "reasoning_effort=none"},
      {"{% if reasoning_effort is defined %}{% if reasoning_effort not in ['high', 'no_think'] %}"
       "{{ raise_exception('x') }}{% endif %}{% endif %}",
       "reasoning_effort=no_think"},
      {"{% if thinking_mode == 'disabled' %}x{% endif %}", "thinking_mode=disabled"},
      {"{% if enable_thinking is not defined %}{% if thinking %}{% endif %}{% endif %}",
       "enable_thinking=false, thinking=false"},
      {"{% set thinking = true %}{% if thinking %}x{% endif %}", ""},
  };
  for (const auto& [jinja, expected] : cases) {
    EXPECT_EQ(read(jinja + std::string("{{ messages[0].content }}")).reasoning, expected) << jinja;
  }
}

TEST(ChatTemplate, SaysAFixedDate) {
  const std::string jinja = "{{ strftime_now('%d %b %Y') }} {{ messages[0].content }}";
  EXPECT_EQ(rendered(read(jinja), "x"), "26 Jul 2024 x");
  EXPECT_EQ(rendered(read(jinja, {.date = 951'782'400}), "x"), "29 Feb 2000 x");
  const std::string llama = golden_of("Llama-3.2-Instruct")["template"];
  EXPECT_TRUE(contains(*rendered(read(llama), "x"), "Today Date: 26 Jul 2024"));
}

TEST(ChatTemplate, RefusesWhatItWouldHaveToGuess) {
  const std::pair<std::string, std::string> cases[] = {
      {"{{ bos_token }}Hello", "it leaves the message out"},
      {"", "it leaves the message out"},
      {"{{ messages | tojson | xmlattr }}", "line 1, column 24: the filter 'xmlattr'"},
      {"{{ messages[0].content.text }}", "it leaves the message out"},
      {"{{ raise_exception('never') }}", "it refuses the messages: 'never'"},
      {"a\n{% for m in messages %}{{ m.content }}", "line 2, column 1: a block does not end"},
      {std::string(100'000, '{'), "line 1, column"},
      {std::string("\x01<bos>\xff\0", 8), "it is not UTF-8"},
  };
  for (const auto& [jinja, expected] : cases) {
    const std::string message = error_of([&] { read(jinja); }, ExitCode::configuration);
    EXPECT_TRUE(contains(message, "m.gguf: its chat template cannot be used (")) << message;
    EXPECT_TRUE(contains(message, expected)) << message;
    EXPECT_TRUE(contains(message, kChatTemplateNames)) << message;
  }
  // What depends on the message fails the message.
  const ChatTemplate chat = read(
      "{% if 'z' not in messages[0].content %}{{ bos_token }}{% endif %}{{ messages[0].content }}");
  EXPECT_EQ(rendered(chat, "a"), "<s>a");
  EXPECT_EQ(rendered(chat, "z"), std::nullopt);
}

TEST(ChatTemplate, RefusesASystemMessageThatTheTemplateDoesNotSay) {
  const ChatSettings settings{.system = "Be brief."};
  const std::pair<std::string, std::string> cases[] = {
      {golden_of("Gemma")["template"],
       "does not take one: line 1, column 74: it refuses the "
       "messages: 'System role not supported'"},
      {"{{ messages[-1].content }}", "leaves it out"},
      {"{{ messages[0].content }}", "leaves it out"},  // the system message in place of the user's
  };
  for (const auto& [jinja, expected] : cases) {
    const std::string message =
        error_of([&, &source = jinja] { read(source, settings); }, ExitCode::configuration);
    EXPECT_TRUE(contains(message, "--system: the chat template of m.gguf")) << message;
    EXPECT_TRUE(contains(message, expected)) << message;
  }
  const std::string message =
      error_of([&] { chat_template_named("none", settings); }, ExitCode::configuration);
  EXPECT_TRUE(contains(message, "--system")) << message;
}

TEST(ChatTemplate, PlainFormsByName) {
  struct Plain {
    const char *name, *text, *with_system;
  };
  const Plain expected[] = {
      {"none", "X", ""},
      {"chatml", "<|im_start|>user\nX<|im_end|>\n<|im_start|>assistant\n",
       "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nX<|im_end|>\n<|im_start|>assistant\n"},
      {"qwen",
       "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful "
       "assistant.<|im_end|>\n<|im_start|>user\nX<|im_end|>\n<|im_start|>assistant\n",
       "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nX<|im_end|>\n<|im_start|>assistant\n"},
      {"llama2", "<s>[INST] X [/INST]", "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nX [/INST]"},
      {"llama3",
       "<s><|start_header_id|>user<|end_header_id|>\n\nX<|eot_id|><|start_header_id|>assistant"
       "<|end_header_id|>\n\n",
       "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user"
       "<|end_header_id|>\n\nX<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"},
      {"mistral", "<s>[INST] X[/INST]", "<s>[INST] S\n\nX[/INST]"}};
  for (const auto& [name, text, with_system] : expected) {
    const ChatTemplate chat = chat_template_named(name);
    EXPECT_EQ(chat.name, name);
    EXPECT_EQ(rendered(chat, "X"), text);
    const bool trims = name == std::string("llama2") || name == std::string("llama3");
    EXPECT_EQ(rendered(chat, " \u00a0X\n\u3000") == std::optional<std::string>(text), trims);
    EXPECT_TRUE(contains(kChatTemplateNames, name));
    if (name == std::string("none")) continue;
    EXPECT_EQ(rendered(chat_template_named(name, {.system = "S"}), "X"), with_system);
  }
  EXPECT_EQ(rendered(chat_template_named("qwen"), "X"), rendered(known("Qwen2.5-Instruct"), "X"));
  EXPECT_EQ(rendered(chat_template_named("llama3"), "X"), rendered(known("Llama-3-Instruct"), "X"));
  const std::string message = error_of([] { chat_template_named("gemma\n"); }, ExitCode::usage);
  EXPECT_TRUE(contains(message, kChatTemplateNames)) << message;
}

}  // namespace
}  // namespace tovamill
