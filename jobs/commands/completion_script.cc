#include "jobs/commands/completion_script.h"

#include <string_view>
#include <vector>

#include "jobs/command_line/option_descriptions.h"
#include "jobs/commands/commands.h"

namespace tovamill {
namespace {

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += between;
    text += word;
  }
  return text;
}

// A word in single quotes, as both shells read it.
std::string in_single_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::vector<OptionHelp> options_of(const Subcommand& command) {
  std::vector<OptionHelp> options;
  for (const OptionSection& section : option_sections(command))
    options.insert(options.end(), section.options.begin(), section.options.end());
  return options;
}

std::vector<std::string> command_names() {
  std::vector<std::string> names;
  for (const Subcommand& command : all_commands()) names.push_back(command.name);
  names.emplace_back("help");
  return names;
}

// Whether a name or a file may be given.
bool takes_files_too(const OptionHelp& option) { return option.name == "chat-template"; }

// The branch of bash's `case` with the words of one subcommand.
std::string bash_branch(const Subcommand& command) {
  std::vector<std::string> names;
  std::string choices;
  for (const OptionHelp& option : options_of(command)) {
    names.push_back("--" + option.name);
    if (!option.choices.empty())
      choices += "        --" + option.name + ") words='" + joined(option.choices, " ") + "'" +
                 (takes_files_too(option) ? " files=1" : "") + " ;;\n";
  }
  return "    " + command.name + ")\n      options='" + joined(names, " ") +
         "'\n      case \"$previous\" in\n" + choices +
         "        --*) [[ \" $flags \" == *\" $previous \"* ]] || words=FILES ;;\n"
         "      esac ;;\n";
}

std::vector<std::string> all_flags() {
  std::vector<std::string> flags;
  for (const Subcommand& command : all_commands()) {
    for (const OptionHelp& option : options_of(command)) {
      if (option.argument.empty()) flags.push_back("--" + option.name);
    }
  }
  return flags;
}

// In what _arguments takes for a description these have a meaning of their own.
std::string described(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_option(const OptionHelp& option) {
  std::string spec = "--" + option.name;
  if (option.takes_many) spec = "*" + spec;
  spec += "[" + described(option.help) + "]";
  if (takes_files_too(option)) {
    spec += ":" + option.argument + ":{_alternative \"names:name:(" + joined(option.choices, " ") +
            ")\" \"files:file:_files\"}";
  } else if (!option.choices.empty()) {
    spec += ":" + option.argument + ":(" + joined(option.choices, " ") + ")";
  } else if (!option.argument.empty()) {
    spec += ":" + described(option.argument) + ":_files";
  }
  return "        " + in_single_quotes(spec) + " \\\n";
}

}  // namespace

std::string bash_completion() {
  std::string text =
      "# bash completion for tovamill: source this, or put it into\n"
      "# ~/.local/share/bash-completion/completions/tovamill\n"
      "_tovamill() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local options='' words='' files='' commands='" +
      joined(command_names(), " ") + "'\n  local flags='" + joined(all_flags(), " ") +
      "'\n"
      "  if [[ $COMP_CWORD -eq 1 ]]; then\n"
      "    mapfile -t COMPREPLY < <(compgen -W \"$commands --help --version\" -- \"$current\")\n"
      "    return\n"
      "  fi\n"
      "  case \"${COMP_WORDS[1]}\" in\n"
      "    help) words=$commands ;;\n";
  for (const Subcommand& command : all_commands()) text += bash_branch(command);
  return text +
         "  esac\n"
         "  if [[ $current == -* ]]; then\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$current\")\n"
         "  elif [[ -n $words && $words != FILES ]]; then\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
         "    if [[ -n $files && ${#COMPREPLY[@]} -eq 0 ]]; then\n"
         "      mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
         "    fi\n"
         "  else\n"
         "    compopt -o filenames 2>/dev/null || true\n"
         "    mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
         "  fi\n"
         "}\n"
         "complete -F _tovamill tovamill\n";
}

std::string zsh_completion() {
  std::string text =
      "#compdef tovamill\n"
      "_tovamill() {\n"
      "  local -a commands\n"
      "  commands=(\n";
  for (const Subcommand& command : all_commands())
    text += "    " + in_single_quotes(command.name + ":" + described(command.summary)) + "\n";
  text +=
      "    'help:the help of a command'\n"
      "  )\n"
      "  if (( CURRENT == 2 )); then\n"
      "    _describe command commands\n"
      "    return\n"
      "  fi\n"
      "  local command=${words[2]}\n"
      "  shift words\n"
      "  (( CURRENT-- ))\n"
      "  case $command in\n"
      "    help) _describe command commands ;;\n";
  for (const Subcommand& command : all_commands()) {
    text += "    " + command.name + ")\n      _arguments \\\n";
    for (const OptionHelp& option : options_of(command)) text += zsh_option(option);
    text += "        '*:file:_files' ;;\n";
  }
  return text + "  esac\n}\n_tovamill \"$@\"\n";
}

}  // namespace tovamill
