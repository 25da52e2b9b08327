// How a model wants to be spoken to. Its Jinja template is run for each message, with characters
// that know where they come from: what the template says is told from what a record holds,
// whatever the template does to it (trims it, writes it in capitals, cuts it).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/prompt/jinja.h"

namespace tovamill {

// What a caller adds to the messages.
struct ChatSettings {
  std::string system{};            // a system message; empty: none
  std::int64_t date = kJinjaDate;  // today's, for templates that say it
};

struct ChatTemplate {
  std::string name;  // "none", "chatml", "llama2", "llama3", "mistral", "qwen", "of the model", ...
  JinjaTemplate jinja;
  JinjaVariables variables{};  // all but the messages
  ChatSettings settings{};
  bool starts_with_bos = false;               // the template itself puts the tokenizer's BOS first
  std::string bos{};                          // its content, where known
  std::vector<std::string> control_tokens{};  // those that the tokenizer must have
  std::vector<std::string> end_tokens{};  // those that end an answer, if the tokenizer has them,
                                          // beside the model's own
  std::string after_reply{};              // what the template puts behind an assistant's message
  std::string reasoning{};                // "enable_thinking=false"; empty where it has no switch
  bool begins_thinking = false;           // the prompt ends with "<think>"
  bool answers_in_channels = false;       // the answer is in the format of gpt-oss, harmony

  // What stands in the prompt for a user's message, without the BOS at its front. Characters of
  // the message keep their origins. Throws JinjaError where the template refuses the message.
  JinjaText rendered(JinjaText message) const;
};

// The names that --chat-template takes beside "auto", for messages: "none, chatml, ...".
extern const char* const kChatTemplateNames;
bool is_chat_template_name(std::string_view name);

// By name: "none" is nothing at all, "chatml", "llama2" and "llama3" have no system message of
// their own, "mistral" is as in version 0.3 of Mistral-7B-Instruct, "qwen" has the system message
// of Qwen2.5 and no thinking. Throws Error(usage) with the list of names, Error(configuration) for
// a system message with "none".
ChatTemplate chat_template_named(std::string_view name, const ChatSettings& settings = {});

// A model's own, or one of a file: the Jinja template `jinja`, with add_generation_prompt. It sees
// the special tokens (bos_token, eos_token and so on, by name). Reasoning is switched off, or down,
// by each of the switches in chat_switches.cc that it reads. Throws Error(configuration) naming
// `where` where the template leaves the message or the system message out, refuses them, or does
// what engine/prompt/jinja.h does not know. Time and memory are bounded whatever `jinja` holds.
ChatTemplate read_chat_template(std::string_view jinja,
                                const std::map<std::string, std::string>& special_tokens,
                                const std::string& where, const ChatSettings& settings = {},
                                const std::string& name = "of the model");

// Adds the switches of reasoning that `jinja` reads, with the value that switches it off, to
// `variables`; says which: "enable_thinking=false". `missing`: the variables that it looked for.
std::string switch_reasoning_off(std::string_view jinja, const std::set<std::string>& missing,
                                 JinjaVariables& variables);

}  // namespace tovamill
