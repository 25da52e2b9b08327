#include "engine/prompt/chat_template.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/prompt/jinja.h"
#include "kernels/types/error.h"
#include "kernels/types/printable.h"

namespace tovamill {

const char* const kChatTemplateNames = "none, chatml, llama2, llama3, mistral, qwen";

namespace {

using Kind = PromptSegment::Kind;

constexpr std::string_view kStart = "<|im_start|>", kEnd = "<|im_end|>";
constexpr std::string_view kHeader = "<|start_header_id|>", kHeaderEnd = "<|end_header_id|>\n\n";
constexpr std::string_view kTurnEnd = "<|eot_id|>";
constexpr std::string_view kNoThoughts = "<think>\n\n</think>\n\n";
constexpr std::string_view kQwenSystem =
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";

// Stand-ins of which no template knows.
constexpr char kMark = '\x01';
constexpr char kBos[] = "\x01<bos>";
constexpr char kMessage[] = "The miller's 7 Words";
constexpr char kPaddedStart[] = " \n\t The miller's 7 Words";
constexpr char kPaddedEnd[] = "The miller's 7 Words\n\t ";

std::string joined(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const std::string_view part : parts) out += part;
  return out;
}

// The length of the control token that `text` begins with; 0: none.
std::size_t control_length(std::string_view text) {
  for (const std::string_view token : {"[INST]", "[/INST]", "<s>", "</s>", "<think>", "</think>"}) {
    if (text.starts_with(token)) return token.size();
  }
  if (!text.starts_with("<|")) return 0;
  std::size_t end = 2;
  while (end < text.size() && end < 64 &&
         ((text[end] >= 'a' && text[end] <= 'z') || (text[end] >= '0' && text[end] <= '9') ||
          text[end] == '_')) {
    ++end;
  }
  return text.substr(end).starts_with("|>") ? end + 2 : 0;
}

std::vector<PromptSegment> pieces_of(std::string_view text) {
  std::vector<PromptSegment> pieces;
  while (!text.empty()) {
    const std::size_t length = control_length(text);
    if (length > 0) {
      pieces.push_back({text[0] == '[' ? Kind::control_if_known : Kind::control,
                        std::string(text.substr(0, length))});
    } else {
      if (pieces.empty() || pieces.back().kind != Kind::text) pieces.push_back({});
      pieces.back().text += text[0];
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return pieces;
}

bool has_control(std::string_view text) {
  for (; !text.empty(); text.remove_prefix(1)) {
    if (control_length(text) > 0) return true;
  }
  return false;
}

// What a template prints around the message.
struct Surroundings {
  std::string before, after;
};

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool take_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

// The system message of `before`, which is [`opening` system `closing`] `user`; empty if there is
// none, nullopt if it is something else.
std::optional<std::string> system_message(std::string_view before, std::string_view opening,
                                          std::string_view closing, std::string_view user) {
  if (!take_suffix(before, user)) return std::nullopt;
  if (before.empty()) return "";
  if (!take_prefix(before, opening) || !take_suffix(before, closing) || has_control(before)) {
    return std::nullopt;
  }
  return std::string(before);
}

// "chatml", "qwen", or nothing where it is another kind.
std::string chatml_name(const Surroundings& around) {
  const auto system = system_message(around.before, joined({kStart, "system\n"}),
                                     joined({kEnd, "\n"}), joined({kStart, "user\n"}));
  std::string_view after = around.after;
  if (!system || !take_prefix(after, joined({kEnd, "\n", kStart, "assistant\n"}))) return {};
  if (!after.empty() && after != kNoThoughts) return {};
  const bool qwen = !after.empty() || system->find("Qwen") != std::string::npos;
  return qwen ? "qwen" : "chatml";
}

std::string llama3_name(const Surroundings& around) {
  std::string_view before = around.before;
  take_prefix(before, "<|begin_of_text|>");
  const auto system = system_message(before, joined({kHeader, "system", kHeaderEnd}), kTurnEnd,
                                     joined({kHeader, "user", kHeaderEnd}));
  return system && around.after == joined({kTurnEnd, kHeader, "assistant", kHeaderEnd}) ? "llama3"
                                                                                        : "";
}

std::string inst_name(const Surroundings& around, bool trims_end) {
  std::string_view before = around.before, after = around.after;
  take_prefix(before, "<s>");
  take_prefix(before, " ");
  if (!take_prefix(before, "[INST]")) return {};
  take_prefix(before, " ");
  take_prefix(after, " ");
  if (!take_prefix(after, "[/INST]") || (!after.empty() && after != " ")) return {};
  if (before.empty()) return trims_end ? "llama2" : "mistral";
  const auto system = system_message(before, "<<SYS>>\n", "\n<</SYS>>\n\n", "");
  return system ? "llama2" : "";
}

std::vector<std::string> end_tokens_of(std::string_view name) {
  if (name == "none") return {};
  if (name == "llama3") return {"<|eot_id|>", "<|eom_id|>"};
  if (name == "chatml" || name == "qwen") return {std::string(kEnd)};
  return {"</s>"};
}

ChatTemplate made_of(std::string name, const Surroundings& around) {
  ChatTemplate out;
  out.end_tokens = end_tokens_of(name);
  out.name = std::move(name);
  out.before = pieces_of(around.before);
  out.after = pieces_of(around.after);
  return out;
}

// A model's own template, and what it sees beside the message.
struct OwnTemplate {
  std::string_view jinja;
  nlohmann::json variables;
  std::string bos;  // the content of bos_token, which `variables` has a stand-in of

  std::string rendered(const std::string& message) const {
    nlohmann::json all = variables;
    all["messages"] = nlohmann::json::array({{{"role", "user"}, {"content", message}}});
    return render_jinja(jinja, all);
  }
};

OwnTemplate own_template(std::string_view jinja,
                         const std::map<std::string, std::string>& special_tokens) {
  nlohmann::json variables = {{"add_generation_prompt", true},
                              {"enable_thinking", false},
                              {"tools", nullptr},
                              {"documents", nullptr}};
  for (const auto& [name, content] : special_tokens)
    variables[name] = name == "bos_token" ? kBos : content;
  const auto bos = special_tokens.find("bos_token");
  return {jinja, std::move(variables), bos == special_tokens.end() ? "" : bos->second};
}

// Messages that a template must treat as kMessage.
std::vector<std::string> more_messages() {
  std::string pages;
  for (int i = 0; i < 2000; ++i)
    pages += i % 50 == 49 ? "\n\n" : "Word " + std::to_string(i) + (i % 9 == 8 ? ".\n" : ", ");
  return {"a",
          "42",
          "What is this?",
          "<think>\nHm.\n</think>\n\nYes",
          "{{ x }} {% y %} \"z\" \\ 'w' & <b>",
          "\u00e9t\u00e9 \u4e2d\u6587 \U0001f600",
          pages + "."};
}

[[noreturn]] void refuse_template(const std::string& where, const std::string& reason) {
  throw Error(ExitCode::configuration, where + ": its chat template is not known here (" + reason +
                                           "): name the nearest with --chat-template, one of " +
                                           kChatTemplateNames);
}

// Whether a template that prints `around` around the message takes the white space off one that is
// padded at one end. Throws JinjaError where it does something else with it.
bool is_trimmed(const std::string& printed, const char* padded, const Surroundings& around) {
  if (printed == around.before + padded + around.after) return false;
  if (printed == around.before + kMessage + around.after) return true;
  throw JinjaError(1, "it changes white space of the message");
}

ChatTemplate recognise(const OwnTemplate& own, const std::string& where) {
  const std::string once = own.rendered(kMessage);
  const std::size_t at = once.find(kMessage);
  if (at == std::string::npos) refuse_template(where, "it leaves the message out or changes it");
  Surroundings around{once.substr(0, at), once.substr(at + std::string_view(kMessage).size())};
  if (around.after.find(kMessage) != std::string::npos)
    refuse_template(where, "it says the message twice");
  for (const std::string& message : more_messages()) {
    if (own.rendered(message) != around.before + message + around.after)
      refuse_template(where, "what it prints depends on what the message holds, or on its length");
  }
  const bool trims_start = is_trimmed(own.rendered(kPaddedStart), kPaddedStart, around);
  const bool trims_end = is_trimmed(own.rendered(kPaddedEnd), kPaddedEnd, around);
  const bool starts_with_bos = around.before.starts_with(kBos);
  if (starts_with_bos) around.before.erase(0, std::string_view(kBos).size());
  if ((around.before + around.after).find(kMark) != std::string::npos) {
    refuse_template(where, "it puts a BOS between its texts");
  }
  if (starts_with_bos && !own.bos.empty() && around.before.starts_with(own.bos))
    refuse_template(where, "it puts a BOS twice before its texts");
  std::string name = chatml_name(around);
  if (name.empty()) name = llama3_name(around);
  if (name.empty()) name = inst_name(around, trims_end);
  if (name.empty()) {
    refuse_template(where, "it puts " + printable(around.before) + " before a message and " +
                               printable(around.after) + " behind it");
  }
  ChatTemplate out = made_of(std::move(name), around);
  out.trims_start = trims_start;
  out.trims_end = trims_end;
  out.starts_with_bos = starts_with_bos;
  return out;
}

}  // namespace

ChatTemplate chat_template_named(std::string_view name) {
  ChatTemplate out;
  const std::string user = joined({kStart, "user\n"});
  const std::string answer = joined({kEnd, "\n", kStart, "assistant\n"});
  if (name == "none") {
    out = made_of("none", {});
  } else if (name == "chatml") {
    out = made_of("chatml", {user, answer});
  } else if (name == "qwen") {
    out = made_of("qwen", {joined({kStart, "system\n", kQwenSystem, kEnd, "\n", user}), answer});
  } else if (name == "llama2") {
    out = made_of("llama2", {"[INST] ", " [/INST]"});
  } else if (name == "llama3") {
    out = made_of("llama3", {joined({kHeader, "user", kHeaderEnd}),
                             joined({kTurnEnd, kHeader, "assistant", kHeaderEnd})});
  } else if (name == "mistral") {
    out = made_of("mistral", {"[INST] ", "[/INST]"});
  } else {
    throw Error(ExitCode::usage, "--chat-template " + printable(name) +
                                     " is not known: choose auto or one of " + kChatTemplateNames);
  }
  out.trims_start = out.trims_end = name == "llama2" || name == "llama3";
  out.starts_with_bos = name == "llama2" || name == "llama3" || name == "mistral";
  return out;
}

ChatTemplate recognise_chat_template(std::string_view jinja,
                                     const std::map<std::string, std::string>& special_tokens,
                                     const std::string& where) {
  try {
    return recognise(own_template(jinja, special_tokens), where);
  } catch (const JinjaError& e) {
    refuse_template(where, e.what());
  }
}

}  // namespace tovamill
