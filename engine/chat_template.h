// How a model wants to be spoken to: the pieces of text and control tokens around a user's message.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tovamill {

// A control token by its exact content, or ordinary text.
struct PromptPiece {
  bool is_control = false;
  std::string text;

  bool operator==(const PromptPiece&) const = default;
};

struct ChatTemplate {
  std::string name;                     // "none", "chatml", "llama2", "llama3", "mistral", "qwen"
  std::vector<PromptPiece> before;      // of the user's message, a BOS not included
  std::vector<PromptPiece> after;       // of it, up to where the answer begins
  bool trims_message = false;           // white space at both ends of the message is left out
  std::vector<std::string> end_tokens;  // control tokens that end an answer, beside the model's own
};

// The names that --chat-template takes beside "auto", for messages: "none, chatml, ...".
extern const char* const kChatTemplateNames;

// By name; throws Error(usage) with the list of names.
ChatTemplate chat_template_named(std::string_view name);

// The one that gives, for one user message, what the model's own Jinja template `jinja` gives (with
// add_generation_prompt, without a system message of the caller's, thinking switched off), told by
// its shape; default system messages are read out of it. Throws Error(configuration) naming `where`
// and the list of names where the shape is none that is known.
ChatTemplate recognise_chat_template(std::string_view jinja, const std::string& where);

}  // namespace tovamill
