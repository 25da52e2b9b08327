#include "engine/prompt/chat_template.h"

#include <algorithm>
#include <array>

#include "kernels/types/error.h"
#include "kernels/types/printable.h"

namespace tovamill {

const char* const kChatTemplateNames = "none, chatml, llama2, llama3, mistral, qwen";

namespace {

// A template that is chosen by name. Each has room for a system message.
struct NamedTemplate {
  const char* name;
  const char* jinja;
  std::vector<std::string> control_tokens, end_tokens;
};

constexpr char kChatml[] =
    R"({% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }})"
    R"({% endfor %}{{ '<|im_start|>assistant\n' }})";
constexpr char kQwen[] =
    R"({% if messages[0].role != 'system' %}{{ '<|im_start|>system\nYou are Qwen, created by )"
    R"(Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}{% endif %})"
    R"({% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }})"
    R"({% endfor %}{{ '<|im_start|>assistant\n' }})";
constexpr char kLlama2[] =
    R"({% set text = messages[-1].content %}{% if messages[0].role == 'system' %}{% set text = )"
    R"('<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' + text %}{% endif %})"
    R"({{ bos_token + '[INST] ' + text.strip() + ' [/INST]' }})";
constexpr char kLlama3[] =
    R"({{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + )"
    R"('<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}{% endfor %})"
    R"({{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }})";
constexpr char kMistral[] =
    R"({{ bos_token + '[INST] ' }}{% if messages[0].role == 'system' %}{{ messages[0].content + )"
    R"('\n\n' }}{% endif %}{{ messages[-1].content + '[/INST]' }})";

const std::vector<NamedTemplate>& named_templates() {
  static const std::vector<NamedTemplate> all{
      {"none", "{{ messages[-1].content }}", {}, {}},
      {"chatml", kChatml, {"<|im_start|>", "<|im_end|>"}, {"<|im_end|>"}},
      {"llama2", kLlama2, {}, {"</s>"}},
      {"llama3",
       kLlama3,
       {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
       {"<|eot_id|>", "<|eom_id|>"}},
      {"mistral", kMistral, {}, {"</s>"}},
      {"qwen", kQwen, {"<|im_start|>", "<|im_end|>"}, {"<|im_end|>"}},
  };
  return all;
}

constexpr char kProbe[] = "The miller's 7 Words";
constexpr char kAnyBos[] = "<s>";  // of named templates, which do not show it

bool has_origin(JinjaTextView text, char32_t origin) {
  return std::any_of(text.begin(), text.end(), [origin](char32_t c) { return (c & origin) != 0; });
}

JinjaValue message_of(const char32_t* role, JinjaText content) {
  return JinjaValue::object({{U"role", JinjaText(role)}, {U"content", std::move(content)}});
}

// The system message, where there is one, and the user's.
JinjaItems messages_of(const ChatSettings& settings, JinjaText message) {
  JinjaItems messages;
  if (!settings.system.empty()) {
    messages.push_back(message_of(U"system", jinja_text(settings.system, JinjaOrigin::system)));
  }
  messages.push_back(message_of(U"user", std::move(message)));
  return messages;
}

JinjaText text_of(const ChatTemplate& chat, JinjaItems messages, bool asks,
                  std::set<std::string>* missing = nullptr) {
  std::size_t n = 0;
  for (const JinjaValue& message : messages)
    n += message.object()->members[1].second.text()->size();
  JinjaVariables variables = chat.variables;
  variables.insert_or_assign("messages", JinjaValue::list(std::move(messages)));
  variables.insert_or_assign("add_generation_prompt", JinjaValue(asks));
  return chat.jinja.render(variables, n, chat.settings.date, missing);
}

// How many characters at the front are the content of bos_token.
std::size_t bos_length(const ChatTemplate& chat, JinjaTextView text) {
  const std::size_t n = jinja_text(chat.bos).size();
  if (n == 0 || text.size() < n) return 0;
  const bool all = std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(n),
                               [](char32_t c) { return (c & JinjaOrigin::bos) != 0; });
  return all ? n : 0;
}

[[noreturn]] void refuse_chat_template(const std::string& where, const std::string& reason) {
  throw Error(ExitCode::configuration, where + ": its chat template cannot be used (" + reason +
                                           "): choose another with --chat-template, a file or " +
                                           "one of " + kChatTemplateNames);
}

// What a template puts behind an assistant's message; empty where it takes none.
std::string after_reply_of(const ChatTemplate& chat) {
  JinjaItems messages = messages_of({}, jinja_text(kProbe));
  messages.push_back(message_of(U"assistant", jinja_text(kProbe, JinjaOrigin::reply)));
  try {
    const JinjaText text = text_of(chat, std::move(messages), false);
    const auto last = std::find_if(text.rbegin(), text.rend(),
                                   [](char32_t c) { return (c & JinjaOrigin::reply) != 0; });
    return last == text.rend() ? "" : to_utf8_of(JinjaText(last.base(), text.end()));
  } catch (const JinjaError&) {
    return {};
  }
}

// What the template does with a message like any other; where it cannot, why.
void probe_template(ChatTemplate& chat, std::string_view jinja, const std::string& where) {
  const JinjaText probe = jinja_text(kProbe, JinjaOrigin::message);
  JinjaText text;
  std::set<std::string> missing;
  // The values of some switches decide whether others are read; without them it may refuse all.
  for (bool again = true; again;) {
    const std::size_t n_before = missing.size();
    try {
      text = text_of(chat, messages_of({}, probe), true, &missing);
      again = missing.size() > n_before;
    } catch (const JinjaError&) {
      if (missing.size() == n_before) throw;
    }
    chat.reasoning = switch_reasoning_off(jinja, missing, chat.variables);
  }
  if (!has_origin(text, JinjaOrigin::message))
    refuse_chat_template(where, "it leaves the message out");
  chat.starts_with_bos = bos_length(chat, text) > 0;
  const std::string printed = to_utf8_of(jinja_stripped(text, nullptr, false, true));
  chat.begins_thinking = printed.ends_with("<think>");
  chat.answers_in_channels = printed.ends_with("<|start|>assistant") &&
                             jinja.find("<|channel|>") != std::string_view::npos;
  chat.after_reply = after_reply_of(chat);
  if (chat.after_reply.starts_with("<|eot_id|>")) chat.end_tokens = {"<|eom_id|>"};
}

// Throws where the template does not say the system message.
void probe_system(const ChatTemplate& chat, const std::string& where) {
  const JinjaText probe = jinja_text(kProbe, JinjaOrigin::message);
  std::string reason = "leaves it out";
  try {
    const JinjaText text = text_of(chat, messages_of(chat.settings, probe), true);
    if (has_origin(text, JinjaOrigin::system) && has_origin(text, JinjaOrigin::message) &&
        (bos_length(chat, text) > 0) == chat.starts_with_bos) {
      return;
    }
  } catch (const JinjaError& e) {
    reason = std::string("does not take one: ") + e.what();
  }
  throw Error(ExitCode::configuration, "--system: the chat template of " + where +
                                           " has no system message (it " + reason +
                                           "): put the text into --prompt");
}

}  // namespace

JinjaText ChatTemplate::rendered(JinjaText message) const {
  if (name == "none") return message;
  JinjaText text = text_of(*this, messages_of(settings, std::move(message)), true);
  const std::size_t n = bos_length(*this, text);
  if ((n > 0) != starts_with_bos)
    throw JinjaError({}, "whether a BOS comes first depends on the message");
  text.erase(0, n);
  return text;
}

bool is_chat_template_name(std::string_view name) {
  const auto& all = named_templates();
  return std::any_of(all.begin(), all.end(),
                     [name](const NamedTemplate& entry) { return entry.name == name; });
}

ChatTemplate chat_template_named(std::string_view name, const ChatSettings& settings) {
  for (const NamedTemplate& entry : named_templates()) {
    if (entry.name != name) continue;
    if (name == "none" && !settings.system.empty()) {
      throw Error(ExitCode::configuration,
                  "--system does not go with the chat template none, which has no system message: "
                  "put the text into --prompt, or choose another --chat-template");
    }
    ChatTemplate out{.name = entry.name,
                     .jinja = JinjaTemplate(entry.jinja),
                     .settings = settings,
                     .bos = kAnyBos,
                     .control_tokens = entry.control_tokens,
                     .end_tokens = entry.end_tokens};
    out.variables.emplace("bos_token", jinja_text(kAnyBos, JinjaOrigin::bos));
    out.starts_with_bos = name == "llama2" || name == "llama3" || name == "mistral";
    return out;
  }
  throw Error(ExitCode::usage, "--chat-template " + printable(name) +
                                   " is neither a file nor known: give a Jinja file, auto or one "
                                   "of " +
                                   kChatTemplateNames);
}

ChatTemplate read_chat_template(std::string_view jinja,
                                const std::map<std::string, std::string>& special_tokens,
                                const std::string& where, const ChatSettings& settings,
                                const std::string& name) {
  try {
    ChatTemplate chat{.name = name, .jinja = JinjaTemplate(jinja), .settings = settings};
    for (const auto& [token, content] : special_tokens) {
      const bool is_bos = token == "bos_token";
      if (is_bos) chat.bos = content;
      chat.variables.insert_or_assign(token, jinja_text(content, is_bos ? JinjaOrigin::bos : 0));
    }
    for (const char* none : {"tools", "documents"}) chat.variables.insert_or_assign(none, nullptr);
    probe_template(chat, jinja, where);
    if (!settings.system.empty()) probe_system(chat, where);
    return chat;
  } catch (const JinjaError& e) {
    refuse_chat_template(where, e.what());
  }
}

}  // namespace tovamill
