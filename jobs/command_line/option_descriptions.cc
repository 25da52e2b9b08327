#include "jobs/command_line/option_descriptions.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <sstream>

#include "workers/options/option_values.h"

namespace tovamill {
namespace {

namespace po = boost::program_options;

constexpr unsigned kHelpColumns = 80;

// What --help shows for the argument of a field.
template <class Field>
std::string argument_name(std::string_view name, const Field&) {
  if (name == "stop" || name == "system") return "TEXT";
  if (name == "prompt-date") return "DATE";
  if (name == "chat-template") return "NAME|FILE";
  if (name == "prompt" || name == "stream-jsonl" || name == "haystack" || name == "budgets")
    return "FILE";
  if (name == "tasks" || name == "lengths" || name == "depths") return "LIST";
  if (kIsList<Field>) return "PATH...";
  if (name == "model" || name == "out") return "PATH";
  if (name == "memory-budget" || name == "max-record-bytes") return "BYTES";
  if (name == "part") return "I/N";
  if (name == "glob") return "PATTERN";
  if (name.ends_with("-key")) return "KEY";
  if (std::is_integral_v<Field>) return "N";
  if (std::is_floating_point_v<Field>) return "X";
  return "NAME";
}

// " [512]", or nothing for a list, a flag or an empty text.
template <class Field>
std::string default_note(const Field& field) {
  if constexpr (kIsList<Field> || kIsFlag<Field>) {
    return "";
  } else {
    constexpr std::uint64_t gib = 1u << 30;
    std::string text = text_of(field);
    if constexpr (std::is_same_v<std::remove_const_t<Field>, std::uint64_t>) {
      if (field != 0 && field % gib == 0) text = std::to_string(field / gib) + "G";
    }
    return text.empty() ? "" : " [" + text + "]";
  }
}

template <class Field>
OptionHelp describe(std::string_view name, const Field& field, const char* help) {
  OptionHelp option{.name = std::string(name), .help = help + default_note(field)};
  if constexpr (!kIsFlag<Field>) option.argument = argument_name(name, field);
  if constexpr (std::is_enum_v<Field>) option.choices = names_of_enum<Field>();
  if constexpr (requires { choices_of(field); }) option.choices = choices_of(field);
  if constexpr (std::is_same_v<Field, std::string>) option.choices = names_of_option(name);
  option.takes_many = kIsList<Field>;
  return option;
}

OptionHelp describe(const ExtraOption& extra) {
  const bool has_note = !extra.initial.empty() && !extra.argument.empty();
  return {.name = extra.name,
          .argument = extra.argument,
          .help = extra.help + (has_note ? " [" + extra.initial + "]" : "")};
}

OptionSection describe_group(const OptionGroup& group, const RunOptions& defaults) {
  OptionSection section{group.title, {}};
  for (const std::string& wanted : group.names) {
    visit_fields(defaults, [&](std::string_view name, const auto& field, Effect, const char* help) {
      if (name == wanted) section.options.push_back(describe(name, field, help));
    });
  }
  return section;
}

po::value_semantic* semantic_of(const OptionHelp& option, Purpose purpose) {
  if (option.takes_many)
    return po::value<std::vector<std::string>>()->multitoken()->value_name(option.argument);
  auto* value = po::value<std::string>();
  if (!option.argument.empty()) return value->value_name(option.argument);
  return purpose == Purpose::help ? value->zero_tokens() : value;
}

bool ends_the_program(const OptionHelp& option) {
  return option.name == "help" || option.name == "check" || option.name == "print-config";
}

}  // namespace

std::vector<OptionSection> option_sections(const Subcommand& command) {
  std::vector<OptionSection> sections;
  for (const OptionGroup& group : command.groups)
    sections.push_back(describe_group(group, command.defaults));
  OptionSection others{"Other options", {}};
  for (const ExtraOption& extra : command.extras) others.options.push_back(describe(extra));
  if (!command.groups.empty()) {
    others.options.push_back({.name = "config",
                              .argument = "FILE",
                              .help = "read options from an INI file; the command line wins"});
    others.options.push_back(
        {.name = "print-config", .help = "print all options that hold as an INI file, and stop"});
  }
  if (command.is_run) {
    others.options.push_back({.name = "check",
                              .help = "find what is wrong with options, model, corpus and run "
                                      "directory, and stop before anything is made"});
  }
  others.options.push_back({.name = "help", .help = "print this help, and stop"});
  sections.push_back(std::move(others));
  return sections;
}

po::options_description describe_options(const Subcommand& command, Purpose purpose) {
  po::options_description all(kHelpColumns, kHelpColumns / 2);
  for (const OptionSection& section : option_sections(command)) {
    po::options_description description(section.title, kHelpColumns, kHelpColumns / 2);
    for (const OptionHelp& option : section.options) {
      const bool has_letter = option.name == "help" && purpose == Purpose::parsing;
      po::value_semantic* semantic =
          ends_the_program(option) ? po::bool_switch() : semantic_of(option, purpose);
      description.add_options()((option.name + (has_letter ? ",h" : "")).c_str(), semantic,
                                option.help.c_str());
    }
    all.add(description);
  }
  return all;
}

bool takes(const Subcommand& command, std::string_view name) {
  return std::any_of(command.groups.begin(), command.groups.end(), [&](const OptionGroup& group) {
    return std::find(group.names.begin(), group.names.end(), name) != group.names.end();
  });
}

std::vector<std::string> option_names(const Subcommand& command) {
  std::vector<std::string> names;
  for (const OptionSection& section : option_sections(command)) {
    for (const OptionHelp& option : section.options) names.push_back(option.name);
  }
  return names;
}

std::vector<std::string> flag_names(const Subcommand& command) {
  std::vector<std::string> names;
  for (const OptionSection& section : option_sections(command)) {
    for (const OptionHelp& option : section.options) {
      if (option.argument.empty() && !ends_the_program(option)) names.push_back(option.name);
    }
  }
  return names;
}

bool is_list(std::string_view wanted) {
  bool list = false;
  const RunOptions defaults;
  visit_fields(defaults, [&](std::string_view name, const auto& field, Effect, const char*) {
    if (name == wanted) list = kIsList<std::remove_reference_t<decltype(field)>>;
  });
  return list;
}

std::vector<std::string> field_names() {
  std::vector<std::string> names;
  const RunOptions defaults;
  visit_fields(defaults, [&](std::string_view name, const auto&, Effect, const char*) {
    names.emplace_back(name);
  });
  return names;
}

std::string help_text(const Subcommand& command) {
  std::ostringstream options;
  options << describe_options(command, Purpose::help);
  std::string text =
      "Usage: tovamill " + command.name + " " + command.synopsis + "\n\n" + command.introduction;
  std::istringstream lines(options.str());
  for (std::string line; std::getline(lines, line);) {
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";  // wrapped lines end in blanks
  }
  return text + (command.examples.empty() ? "" : "\nExamples:\n" + command.examples);
}

std::string config_text(const Subcommand& command, const RunOptions& options) {
  return "# tovamill " + command.name + " --config THIS_FILE\n" +
         config_lines(options, [&](std::string_view name) { return takes(command, name); });
}

}  // namespace tovamill