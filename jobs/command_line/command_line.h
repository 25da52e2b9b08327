// The command line of one subcommand, built from the list of a run's options
// (workers/options/run_options.h), and its --help.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "workers/options/run_options.h"

namespace tovamill {

// What a subcommand was asked to do.
struct Request {
  RunOptions options;
  std::map<std::string, std::string>
      extras;                         // by name, given or not: ExtraOption::initial where not
  std::vector<std::string> operands;  // what stands without an option
  bool help = false;
  bool check = false;
  bool print_config = false;

  bool flag(const std::string& extra) const { return extras.at(extra) == "true"; }
};

// Options of visit_fields that are shown together.
struct OptionGroup {
  std::string title;
  std::vector<std::string> names;
};

// An option that only one subcommand has. Without `argument` it is a flag, "true" when given.
struct ExtraOption {
  std::string name;
  std::string argument;  // as shown by --help: "FILE"
  std::string initial;
  std::string help;
};

struct Subcommand {
  std::string name;
  std::string synopsis;      // after the name: "--model M --corpus PATH... --out DIR [options]"
  std::string summary;       // a line for the list of commands
  std::string introduction;  // paragraphs for --help
  std::string examples;      // command lines for --help, one each
  std::vector<OptionGroup> groups;
  std::vector<ExtraOption> extras;
  std::string
      operand;  // as shown by --help, "FILE"; empty where none is taken. Exactly one is wanted ...
  bool takes_many = false;  // ... or at least one
  RunOptions defaults;      // where no option is given
  bool is_run = false;      // takes --check, and as several tasks its ranks share the work
  int (*run)(const Request& request) = nullptr;  // returns the exit code
};

// Reads the arguments after the subcommand's name. Options of --config come first, the command line
// wins; the last of repeated options counts, except that --corpus collects. Abbreviations are not
// guessed. Throws Error(usage), or Error(configuration) for what the file of --config says. The
// values themselves are not yet validated.
Request parse_arguments(const Subcommand& command, const std::vector<std::string>& arguments);

std::string help_text(const Subcommand& command);

// What --print-config prints: an INI file of all the options that hold, which reads back to the
// same.
std::string config_text(const Subcommand& command, const RunOptions& options);

}  // namespace tovamill
