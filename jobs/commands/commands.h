// The subcommands, each in a file of its own.
#pragma once

#include <string>
#include <vector>

#include "jobs/command_line/command_line.h"

namespace tovamill {

Subcommand score_command();
Subcommand summarize_command();
Subcommand generate_command();
Subcommand probe_command();
Subcommand tokenize_command();
Subcommand plan_command();
Subcommand status_command();
Subcommand inspect_command();
Subcommand merge_command();
Subcommand export_command();
Subcommand compare_command();
Subcommand report_command();
Subcommand tune_command();
Subcommand rescore_command();
Subcommand doctor_command();
Subcommand completion_command();

// In the order of the program's help.
std::vector<Subcommand> all_commands();

// What the program is for: lines that --help and the manual begin with.
std::string program_purpose();

// The groups of options that several subcommands share.
OptionGroup corpus_group();
OptionGroup machine_group();
OptionGroup running_group();
OptionGroup ranks_group();

// The results.h5 of an operand, which is one or a run directory with one. Throws Error(no_input).
std::string results_of_operand(const std::string& operand);

// The program as `main` calls it: dispatches on the first argument, returns the exit code. Throws
// what goes wrong.
int run_program(const std::vector<std::string>& arguments);

// What `tovamill --version` prints: this build and the libraries it was made with.
std::string version_text();
// The lines of version_text after the first: "oneDNN 2.6.3", ...
std::vector<std::string> library_lines();

}  // namespace tovamill
