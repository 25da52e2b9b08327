// How a model wants to be spoken to: the pieces of text and control tokens around a user's message.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tovamill {

// A control token by its exact content, or ordinary text.
struct PromptSegment {
  enum class Kind : std::uint8_t {
    text,
    control,
    control_if_known,  // ordinary text for tokenizers that have no such control token
  };
  Kind kind = Kind::text;
  std::string text;

  bool operator==(const PromptSegment&) const = default;
};

struct ChatTemplate {
  std::string name;                   // "none", "chatml", "llama2", "llama3", "mistral", "qwen"
  std::vector<PromptSegment> before;  // of the user's message, the tokenizer's BOS not included
  std::vector<PromptSegment> after;   // of it, up to where the answer begins
  bool starts_with_bos = false;       // the template itself puts the tokenizer's BOS first
  // White space at these ends of the message is left out, as Python's strip() does.
  bool trims_start = false, trims_end = false;
  std::vector<std::string> end_tokens;  // control tokens that end an answer, beside the model's
                                        // own; those that the tokenizer has count
};

// The names that --chat-template takes beside "auto", for messages: "none, chatml, ...".
extern const char* const kChatTemplateNames;

// By name: "none" is nothing at all, "chatml", "llama2" and "llama3" have no system message,
// "mistral" is as in version 0.3 of Mistral-7B-Instruct, "qwen" has the system message of Qwen2.5
// and no thinking. Throws Error(usage) with the list of names.
ChatTemplate chat_template_named(std::string_view name);

// The one that gives, for one user message, what the model's own Jinja template `jinja` gives (with
// add_generation_prompt, without a system message of the caller's, without today's date, thinking
// switched off). The template sees the special tokens (bos_token, eos_token and so on, by name). It
// is run with messages that stand for all, a word and some pages long, with white space at their
// ends, with signs and other scripts; what it puts around them must be the same, and of a known
// kind. Throws Error(configuration) naming `where` and the list of names where
// it is not, or the template does what engine/prompt/jinja.h does not know. Time and memory are
// bounded whatever `jinja` holds.
ChatTemplate recognise_chat_template(std::string_view jinja,
                                     const std::map<std::string, std::string>& special_tokens,
                                     const std::string& where);

}  // namespace tovamill
