#include "jobs/command_line.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <memory>
#include <sstream>
#include <type_traits>

#include "jobs/ini_file.h"
#include "jobs/suggestion.h"
#include "kernels/error.h"
#include "workers/option_text.h"

namespace tovamill {
namespace {

namespace po = boost::program_options;

constexpr unsigned kHelpColumns = 80;

template <class Field>
constexpr bool kIsList = std::is_same_v<std::remove_const_t<Field>, std::vector<std::string>>;
template <class Field>
constexpr bool kIsFlag = std::is_same_v<std::remove_const_t<Field>, bool>;

bool takes(const Command& command, std::string_view name) {
  return std::any_of(command.groups.begin(), command.groups.end(), [&](const OptionGroup& group) {
    return std::find(group.names.begin(), group.names.end(), name) != group.names.end();
  });
}

std::vector<std::string> option_names(const Command& command) {
  std::vector<std::string> names;
  for (const OptionGroup& group : command.groups)
    names.insert(names.end(), group.names.begin(), group.names.end());
  for (const ExtraOption& extra : command.extras) names.push_back(extra.name);
  if (!command.groups.empty()) names.insert(names.end(), {"config", "print-config"});
  names.push_back("help");
  return names;
}

// What --help shows for the argument of a field.
template <class Field>
std::string argument_name(std::string_view name, const Field&) {
  if (kIsList<Field>) return "PATH...";
  if (name == "model" || name == "out") return "PATH";
  if (name == "memory-budget" || name == "max-record-bytes") return "BYTES";
  if (name == "glob") return "PATTERN";
  if (name == "text-key" || name == "id-key") return "KEY";
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

enum class Purpose { parsing, help };

// A flag, which may also be given as --strict=false to undo the file of --config; --help shows it
// without a value.
po::value_semantic* flag_semantic(Purpose purpose) {
  auto* value = po::value<std::string>();
  return purpose == Purpose::help ? value->zero_tokens() : value;
}

template <class Field>
po::value_semantic* semantic_of(std::string_view name, const Field& field, Purpose purpose) {
  if constexpr (kIsList<Field>) {
    return po::value<std::vector<std::string>>()->multitoken()->value_name(
        argument_name(name, field));
  } else if constexpr (kIsFlag<Field>) {
    return flag_semantic(purpose);
  } else {
    return po::value<std::string>()->value_name(argument_name(name, field));
  }
}

std::unique_ptr<po::options_description> describe_group(const OptionGroup& group, Purpose purpose) {
  auto description =
      std::make_unique<po::options_description>(group.title, kHelpColumns, kHelpColumns / 2);
  const RunOptions defaults;
  for (const std::string& wanted : group.names) {
    visit_fields(defaults, [&](std::string_view name, const auto& field, Effect, const char* help) {
      if (name != wanted) return;
      description->add_options()(wanted.c_str(), semantic_of(name, field, purpose),
                                 (help + default_note(field)).c_str());
    });
  }
  return description;
}

po::options_description describe(const Command& command, Purpose purpose) {
  po::options_description all(kHelpColumns, kHelpColumns / 2);
  for (const OptionGroup& group : command.groups) all.add(*describe_group(group, purpose));
  po::options_description others("Other options", kHelpColumns, kHelpColumns / 2);
  for (const ExtraOption& extra : command.extras) {
    const std::string note =
        extra.initial.empty() || extra.argument.empty() ? "" : " [" + extra.initial + "]";
    po::value_semantic* semantic = extra.argument.empty()
                                       ? flag_semantic(purpose)
                                       : po::value<std::string>()->value_name(extra.argument);
    others.add_options()(extra.name.c_str(), semantic, (extra.help + note).c_str());
  }
  if (!command.groups.empty()) {
    others.add_options()("config", po::value<std::string>()->value_name("FILE"),
                         "read options from an INI file; the command line wins");
    others.add_options()("print-config", po::bool_switch(),
                         "print all options that hold as an INI file, and stop");
  }
  others.add_options()(purpose == Purpose::help ? "help" : "help,h", po::bool_switch(),
                       "print this help, and stop");
  all.add(others);
  return all;
}

std::string see_help(const Command& command) {
  return " (see tovamill " + command.name + " --help)";
}

[[noreturn]] void refuse(const Command& command, const std::string& message) {
  throw Error(ExitCode::usage, message + see_help(command));
}

std::string without_dashes(const std::string& option) {
  const std::size_t start = option.find_first_not_of('-');
  return start == std::string::npos ? "" : option.substr(start);
}

std::vector<std::string> flag_names(const Command& command) {
  std::vector<std::string> names;
  const RunOptions defaults;
  visit_fields(defaults, [&](std::string_view name, const auto& field, Effect, const char*) {
    if (kIsFlag<std::remove_reference_t<decltype(field)>> && takes(command, name))
      names.emplace_back(name);
  });
  for (const ExtraOption& extra : command.extras) {
    if (extra.argument.empty()) names.push_back(extra.name);
  }
  return names;
}

// `--model --out DIR`: the library takes "--out" for the model.
void check_values(const Command& command, const std::vector<po::option>& parsed) {
  const std::vector<std::string> names = option_names(command);
  for (const po::option& option : parsed) {
    const bool is_separate = option.original_tokens.size() > 1;
    if (option.string_key.empty() || !is_separate || !option.value.front().starts_with("--"))
      continue;
    const std::string name = option.value.front().substr(2, option.value.front().find('=') - 2);
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      refuse(command, "--" + option.string_key + " needs a value");
    }
  }
}

po::parsed_options parse_or_refuse(const Command& command,
                                   const std::vector<std::string>& arguments) {
  namespace style = po::command_line_style;
  const po::options_description description = describe(command, Purpose::parsing);
  // A flag alone is given its value here, or the library would take the next word for it.
  const auto expand_flag = [flags = flag_names(command)](const std::string& word) {
    const bool is_flag = word.starts_with("--") &&
                         std::find(flags.begin(), flags.end(), word.substr(2)) != flags.end();
    return is_flag ? std::pair<std::string, std::string>(word.substr(2), "true")
                   : std::pair<std::string, std::string>();
  };
  try {
    const po::parsed_options parsed = po::command_line_parser(arguments)
                                          .options(description)
                                          .style(style::default_style & ~style::allow_guessing)
                                          .extra_parser(expand_flag)
                                          .run();
    check_values(command, parsed.options);
    return parsed;
  } catch (const po::unknown_option& error) {
    const std::string name = error.get_option_name();
    const std::string hint = did_you_mean(without_dashes(name), option_names(command), "--");
    refuse(command, "unknown option '" + name + "'" + hint);
  } catch (const po::invalid_command_line_syntax& error) {
    const std::string name = "--" + without_dashes(error.get_option_name());
    if (error.kind() == po::invalid_syntax::extra_parameter)
      refuse(command, name + " takes no value");
    refuse(command, name + " needs a value");
  } catch (const po::error& error) {
    refuse(command, error.what());
  }
}

// Puts the texts given for one option into its field.
void set_field(RunOptions& options, std::string_view wanted, const std::string& shown,
               const std::vector<std::string>& values) {
  visit_fields(options, [&](std::string_view name, auto& field, Effect, const char*) {
    if (name != wanted) return;
    if constexpr (kIsList<std::remove_reference_t<decltype(field)>>) {
      for (const std::string& value : values) {
        if (value.empty()) throw Error(ExitCode::usage, shown + " '' is empty: give a path");
        field.push_back(value);
      }
    } else {
      read_text(shown, values.back(), field);
    }
  });
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

// One file serves all subcommands: it may hold options that this one does not take.
void apply_config(const std::string& path, RunOptions& options) {
  const std::vector<std::string> known = field_names();
  std::vector<std::string> seen;
  for (const IniEntry& entry : read_ini(path)) {
    const std::string where = path + ":" + std::to_string(entry.line) + ": ";
    if (std::find(known.begin(), known.end(), entry.key) == known.end()) {
      throw Error(ExitCode::configuration, where + "unknown option '" + entry.key + "'" +
                                               did_you_mean(entry.key, known, ""));
    }
    const bool again = std::find(seen.begin(), seen.end(), entry.key) != seen.end();
    if (again && !is_list(entry.key))
      throw Error(ExitCode::configuration, where + entry.key + " is given twice");
    seen.push_back(entry.key);
    try {
      set_field(options, entry.key, entry.key, {entry.value});
    } catch (const Error& error) {
      throw Error(ExitCode::configuration, where + error.what());
    }
  }
}

void apply_command_line(const Command& command, const std::vector<po::option>& parsed,
                        Request& request) {
  RunOptions given;  // lists replace those of the file as a whole
  for (const po::option& option : parsed) {
    const std::string& name = option.string_key;
    if (name.empty()) {
      request.operands.insert(request.operands.end(), option.value.begin(), option.value.end());
    } else if (name == "help" || name == "config" || name == "print-config") {
      request.help |= name == "help";
      request.print_config |= name == "print-config";
    } else if (takes(command, name)) {
      const std::vector<std::string> values =
          option.value.empty() ? std::vector<std::string>{"true"} : option.value;
      set_field(is_list(name) ? given : request.options, name, "--" + name, values);
    } else {
      request.extras[name] = option.value.empty() ? "true" : option.value.back();
    }
  }
  if (!given.corpus.paths.empty()) request.options.corpus.paths = given.corpus.paths;
}

void check_operands(const Command& command, const std::vector<std::string>& operands) {
  if (command.operand.empty() && !operands.empty()) {
    const char* hint = takes(command, "corpus") ? ": paths of the corpus go after --corpus" : "";
    refuse(command, "unexpected argument '" + operands.front() + "'" + hint);
  }
  if (command.operand.empty()) return;
  if (operands.empty())
    refuse(command,
           "an argument is missing: give tovamill " + command.name + " " + command.operand);
  if (operands.size() > 1)
    refuse(command, "one " + command.operand + " only: '" + operands[1] + "' is too many");
  if (operands.front().empty()) refuse(command, command.operand + " '' is empty");
}

}  // namespace

Request parse_arguments(const Command& command, const std::vector<std::string>& arguments) {
  const po::parsed_options parsed = parse_or_refuse(command, arguments);
  Request request;
  for (const ExtraOption& extra : command.extras) request.extras[extra.name] = extra.initial;
  const auto asks_help = [](const po::option& option) { return option.string_key == "help"; };
  if (std::any_of(parsed.options.begin(), parsed.options.end(), asks_help)) {
    request.help = true;  // whatever else is wrong
    return request;
  }
  for (const po::option& option : parsed.options) {
    if (option.string_key == "config") apply_config(option.value.back(), request.options);
  }
  apply_command_line(command, parsed.options, request);
  check_operands(command, request.operands);
  return request;
}

std::string help_text(const Command& command) {
  std::ostringstream options;
  options << describe(command, Purpose::help);
  std::string text =
      "Usage: tovamill " + command.name + " " + command.synopsis + "\n\n" + command.introduction;
  std::istringstream lines(options.str());
  for (std::string line; std::getline(lines, line);) {
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";  // wrapped lines end in blanks
  }
  return text + (command.examples.empty() ? "" : "\nExamples:\n" + command.examples);
}

std::string config_text(const Command& command, const RunOptions& options) {
  return "# tovamill " + command.name + " --config THIS_FILE\n" +
         config_lines(options, [&](std::string_view name) { return takes(command, name); });
}

}  // namespace tovamill
