#include "jobs/command_line/command_line.h"

#include <algorithm>
#include <boost/program_options.hpp>

#include "jobs/command_line/ini_file.h"
#include "jobs/command_line/option_descriptions.h"
#include "jobs/command_line/suggestion.h"
#include "kernels/types/error.h"
#include "workers/options/option_values.h"

namespace tovamill {
namespace {

namespace po = boost::program_options;

std::string see_help(const Subcommand& command) {
  return " (see tovamill " + command.name + " --help)";
}

[[noreturn]] void refuse(const Subcommand& command, const std::string& message) {
  throw Error(ExitCode::usage, message + see_help(command));
}

std::string without_dashes(const std::string& option) {
  const std::size_t start = option.find_first_not_of('-');
  return start == std::string::npos ? "" : option.substr(start);
}

// `--model --out DIR`: the library takes "--out" for the model.
void check_values(const Subcommand& command, const std::vector<po::option>& parsed) {
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

po::parsed_options parse_or_refuse(const Subcommand& command,
                                   const std::vector<std::string>& arguments) {
  namespace style = po::command_line_style;
  const po::options_description description = describe_options(command, Purpose::parsing);
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
    const std::vector<std::string> known = field_names();
    if (name.starts_with("--") &&
        std::find(known.begin(), known.end(), name.substr(2)) != known.end())
      refuse(command, name + " is an option of other commands, not of tovamill " + command.name);
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
        if (value.empty()) throw Error(ExitCode::usage, shown + " '' is empty: give a value");
        field.push_back(value);
      }
    } else {
      read_text(shown, values.back(), field);
    }
  });
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

void apply_command_line(const Subcommand& command, const std::vector<po::option>& parsed,
                        Request& request) {
  RunOptions given;  // lists replace those of the file as a whole
  for (const po::option& option : parsed) {
    const std::string& name = option.string_key;
    if (name.empty()) {
      request.operands.insert(request.operands.end(), option.value.begin(), option.value.end());
    } else if (name == "help" || name == "config" || name == "print-config" || name == "check") {
      request.help |= name == "help";
      request.check |= name == "check";
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
  if (!given.generation.stop.empty()) request.options.generation.stop = given.generation.stop;
}

void check_operands(const Subcommand& command, const std::vector<std::string>& operands) {
  if (command.operand.empty() && !operands.empty()) {
    const char* hint = takes(command, "corpus") ? ": paths of the corpus go after --corpus" : "";
    refuse(command, "unexpected argument '" + operands.front() + "'" + hint);
  }
  if (command.operand.empty()) return;
  if (operands.empty())
    refuse(command,
           "an argument is missing: give tovamill " + command.name + " " + command.operand);
  if (operands.size() > 1 && !command.takes_many)
    refuse(command, "one " + command.operand + " only: '" + operands[1] + "' is too many");
  if (std::find(operands.begin(), operands.end(), "") != operands.end())
    refuse(command, command.operand + " '' is empty");
}

}  // namespace

Request parse_arguments(const Subcommand& command, const std::vector<std::string>& arguments) {
  const po::parsed_options parsed = parse_or_refuse(command, arguments);
  Request request;
  request.options = command.defaults;
  for (const ExtraOption& extra : command.extras) request.extras[extra.name] = extra.initial;
  const auto asks_help = [](const po::option& option) { return option.string_key == "help"; };
  if (std::any_of(parsed.options.begin(), parsed.options.end(), asks_help)) {
    request.help = true;  // whatever else is wrong
    return request;
  }
  for (const po::option& option : parsed.options) {
    if (option.string_key != "config") continue;
    apply_config(option.value.back(), request.options);
    request.options.config_files.push_back(option.value.back());
  }
  apply_command_line(command, parsed.options, request);
  check_operands(command, request.operands);
  return request;
}

}  // namespace tovamill
